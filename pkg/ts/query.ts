// A query as the user holds it: built at once, composed when it is sent, run once.

import { UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { QuotedIdentifier, parameterText } from "./parameters.js";
import type { FullResult, Query, RowOf, TransactionMode } from "./types.js";

/** What a query is made of: texts with a value between each two. */
export interface Template {
  readonly texts: readonly string[];
  readonly values: readonly unknown[];
}

/** A statement with its numbered parameters. */
export interface Composed {
  readonly text: string;
  readonly params: (string | null)[];
}

/** How a query's result is wanted. */
export interface Wanted {
  readonly options: Options;
  readonly arrayRows: boolean;
  readonly fullResults: boolean;
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
}

/** What a query holds. */
export interface Parts {
  readonly sender: Sender;
  /** A template, or a text with its `$n` and their list. */
  readonly source: Template | { readonly text: string; readonly params: readonly unknown[] };
  readonly wanted: Wanted;
}

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

  get [Symbol.toStringTag](): string {
    return "Query";
  }

  full(): Query<FullResult<RowOf<Result>>> {
    if (isSent(this as LazyQuery<unknown>))
      throw new UsageError("The query was sent already; call full() before awaiting it.");
    return new LazyQuery<FullResult<RowOf<Result>>>({
      ...this.#parts,
      wanted: { ...this.#parts.wanted, fullResults: true },
    });
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

  #start(): Promise<Result> {
    // Nothing is awaited here: it would be a frame of the stack that an error shows.
    return (this.#promise ??= (this.#joined?.() ??
      this.#parts.sender.one(this as LazyQuery<unknown>)) as Promise<Result>);
  }
}

/** The statement of a query: fragments put in their places, parameters numbered through. */
export function compose({ source }: Parts): Composed {
  const params: (string | null)[] = [];
  if ("text" in source) {
    source.params.forEach((value, index) => params.push(parameterText(value, index + 1)));
    return { text: source.text, params };
  }
  const text = composeTemplate(source, params, 0);
  return { text, params };
}

const NESTING_LIMIT = 100;

function composeTemplate({ texts, values }: Template, params: (string | null)[], depth: number): string {
  if (depth > NESTING_LIMIT) throw new UsageError(`The query nests more than ${NESTING_LIMIT} fragments.`);
  let text = texts[0];
  values.forEach((value, index) => {
    if (value instanceof QuotedIdentifier) {
      text += value.text;
    } else if (value instanceof LazyQuery) {
      const { source } = partsOf(value);
      if ("text" in source) {
        if (source.params.length > 0) {
          throw new UsageError(
            "A query made by sql.query with parameters cannot be a fragment: its $n have numbers already. Make it with sql`…`.",
          );
        }
        text += source.text;
      } else {
        text += composeTemplate(source, params, depth + 1);
      }
    } else {
      params.push(parameterText(value, params.length + 1));
      text += `$${params.length}`;
    }
    text += texts[index + 1];
  });
  return text;
}
