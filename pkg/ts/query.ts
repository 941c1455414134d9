// A query as the user holds it: built at once, composed when it is sent, run once.

import { UsageError } from "./errors.js";
import { SqlFragment, templateOf, type Template } from "./fragments.js";
import type { Options } from "./options.js";
import { TypedValue, parameterText } from "./parameters.js";
import { column, full, maybeOne, one, rows, value, type Form } from "./results.js";
import type { Statement } from "./statement.js";
import type { Query, TransactionMode } from "./types.js";

/** How a query's result is wanted. */
export interface Wanted {
  readonly options: Options;
  readonly arrayRows: boolean;
  readonly form: Form;
}

/** Sends queries to one database, and gives each its result in the form that it wants. */
export interface Sender {
  /** Sends one. */
  one(query: LazyQuery<unknown>): Promise<unknown>;
  /** Sends several as one transaction. */
  transaction(
    queries: readonly LazyQuery<unknown>[],
    options: Options,
    mode: TransactionMode | undefined,
  ): Promise<unknown[]>;
  /** Sends one, and gives its answer as it comes from the endpoint. */
  response(query: LazyQuery<unknown>): Promise<Response>;
}

/** What a statement is written as: a template, or a text with its `$n` and their list. */
export type Source = Template | { readonly text: string; readonly params: readonly unknown[] };

/** What a query holds. */
export type Parts = Source & { readonly sender: Sender; readonly wanted: Wanted };

/** The parts of a query. */
export let partsOf: (query: LazyQuery<unknown>) => Parts;
/** Whether a query was sent, or belongs to a transaction. */
export let isSent: (query: LazyQuery<unknown>) => boolean;
/** Makes a query a part of a transaction: its promise is then the transaction's result at its place. */
export let join: (query: LazyQuery<unknown>, results: Promise<unknown[]>, index: number) => void;

/** A query that starts with the first `then`. */
export class LazyQuery<Result> implements Query<Result> {
  #promise: Promise<Result> | undefined;
  #joined: (() => Promise<unknown>) | undefined;
  // Private, so that a console shows neither the statement nor its parameters.
  readonly #parts: Parts;

  static {
    partsOf = (query) => query.#parts;
    isSent = (query) => query.#promise !== undefined || query.#joined !== undefined;
    join = (query, results, index) => {
      // Not before it is asked for: whoever awaits the transaction sees its error, nobody needs to await each query, too,
      // and engines trace a promise back to who awaits it only if that is one.
      query.#joined = () => results.then((all) => all[index]);
    };
  }

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get [Symbol.toStringTag](): "Query" {
    return "Query";
  }

  full(): LazyQuery<never> {
    return this.#as(full);
  }

  one(): LazyQuery<never> {
    return this.#as(one);
  }

  maybeOne(): LazyQuery<never> {
    return this.#as(maybeOne);
  }

  value(): LazyQuery<never> {
    return this.#as(value, true);
  }

  column(): LazyQuery<never> {
    return this.#as(column, true);
  }

  arrays(): LazyQuery<never> {
    return this.#as(rows, true);
  }

  response(): Promise<Response> {
    if (isSent(this as LazyQuery<unknown>)) throw new UsageError("The query was sent already.");
    const response = this.#parts.sender.response(this as LazyQuery<unknown>);
    // Whoever awaits the query, too, or puts it into a transaction, is told that it was sent.
    this.#joined = () => response.then(() => Promise.reject(new UsageError("The query was sent by response().")));
    return response;
  }

  then<A = Result, B = never>(
    onFulfilled?: ((value: Result) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#start().then(onFulfilled, onRejected);
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Result | B> {
    return this.#start().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<Result> {
    return this.#start().finally(onFinally);
  }

  /** The same statement with a result of another form. */
  #as(form: Form, arrayRows = this.#parts.wanted.arrayRows): LazyQuery<never> {
    if (isSent(this as LazyQuery<unknown>))
      throw new UsageError("The query was sent already; choose its form before it is awaited.");
    const { wanted } = this.#parts;
    if (wanted.form !== rows)
      throw new UsageError("The query has its form already: full(), one(), maybeOne(), value() or column().");
    return new LazyQuery({ ...this.#parts, wanted: { ...wanted, form, arrayRows } });
  }

  #start(): Promise<Result> {
    // Nothing is awaited here: it would be a frame of the stack that an error shows.
    return (this.#promise ??= (this.#joined?.() ??
      this.#parts.sender.one(this as LazyQuery<unknown>)) as Promise<Result>);
  }
}

/** The statement of a query: fragments put in their places, parameters numbered through. */
export function statementOf(query: LazyQuery<unknown>): Statement {
  const parts = partsOf(query);
  const { options: mapping, arrayRows, form } = parts.wanted;
  const statement: Composing = {
    text: "",
    params: [],
    types: undefined,
    mapping,
    arrayRows,
    commandTag: form === full,
  };
  append(statement, parts, 0);
  if (statement.params.length > PARAMETERS_LIMIT) {
    throw new UsageError(
      `The statement has ${statement.params.length} parameters, and PostgreSQL takes ${PARAMETERS_LIMIT}. Send many rows as one, by json_populate_recordset or by arrays to unnest.`,
    );
  }
  return statement;
}

interface Composing extends Statement {
  text: string;
  readonly params: (string | null)[];
  types: number[] | undefined;
  readonly mapping: Options;
}

/** PostgreSQL counts them in 16 bits. */
export const PARAMETERS_LIMIT = 65_535;
const NESTING_LIMIT = 100;

function append(composed: Composing, source: Source, depth: number): void {
  const { params } = composed;
  if ("text" in source) {
    if (depth > 0 && source.params.length > 0) {
      throw new UsageError(
        "A query made by sql.query with parameters cannot be a fragment: its $n are numbered. Make it with sql`…`.",
      );
    }
    for (const value of source.params) appendParameter(composed, value);
    composed.text = depth > 0 ? composed.text + source.text : source.text;
    return;
  }
  if (depth > NESTING_LIMIT)
    throw new UsageError(`The query nests more than ${NESTING_LIMIT} fragments; put many side by side with sql.join.`);
  const { texts, values } = source;
  composed.text += texts[0];
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value instanceof LazyQuery) {
      append(composed, partsOf(value), depth + 1);
    } else if (value instanceof SqlFragment) {
      const template = templateOf(value);
      if (value.isList && template.values.length === 0) appendEmptyList(composed);
      else append(composed, template, depth + 1);
    } else {
      const cast = appendParameter(composed, value);
      composed.text += `$${params.length}${cast}`;
    }
    composed.text += texts[index + 1];
  }
}

/** Appends a parameter; returns the cast that gives it its type, if it was given one by name. */
function appendParameter(composed: Composing, value: unknown): string {
  const { params } = composed;
  const { encoders } = composed.mapping;
  const number = params.length + 1;
  if (!(value instanceof TypedValue)) {
    params.push(parameterText(value, number, encoders));
    return "";
  }
  params.push(value.text(number, encoders));
  if (typeof value.type === "string") return value.cast;
  const types = (composed.types ??= []);
  while (types.length < number - 1) types.push(0);
  types.push(value.type);
  return "";
}

/**
 * PostgreSQL has no `in ()`. An empty array it has, which any type can be compared with; `in (null)` would make
 * `not in` find nothing, and an empty subquery has a type that does not fit.
 */
function appendEmptyList(composed: Composing): void {
  const operator = /(\bnot\s+)?\bin\s*$/i.exec(composed.text);
  if (operator === null) throw new UsageError("An empty sql.list can only stand behind in or not in.");
  composed.text = composed.text.slice(0, operator.index) + (operator[1] ? "<> all ('{}')" : "= any ('{}')");
}
