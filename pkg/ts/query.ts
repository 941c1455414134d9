// A query as the user holds it: built at once, composed when it is sent, run once.

import { UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { QuotedIdentifier, parameterText } from "./parameters.js";
import type { FullResult, Query, RowOf } from "./types.js";

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

/** Sends queries as one group. Resolves to a result for each, in the form that each wants. */
export type Send = (queries: readonly LazyQuery<unknown>[], options: Options, stack: Trace) => Promise<unknown[]>;

/** A query that starts with the first `then`. */
export class LazyQuery<Result> implements Query<Result> {
  #promise: Promise<Result> | undefined;
  readonly #trace: Trace;

  constructor(
    /** @internal */ readonly send: Send,
    /** @internal A template, or a text with its `$n` and their list. */
    readonly source: Template | { readonly text: string; readonly params: readonly unknown[] },
    /** @internal */ readonly wanted: Wanted,
    /** The function that the user called: the stack of an error begins above it. */
    caller: (...args: never[]) => unknown,
  ) {
    this.#trace = new Trace(caller);
    // A console shows a query's class, not its statement and parameters.
    for (const name of ["send", "source", "wanted"]) Object.defineProperty(this, name, { enumerable: false });
  }

  get [Symbol.toStringTag](): string {
    return "Query";
  }

  full(): Query<FullResult<RowOf<Result>>> {
    if (this.#promise !== undefined) throw new UsageError("The query was sent already; call full() before awaiting it.");
    return new LazyQuery<FullResult<RowOf<Result>>>(this.send, this.source, { ...this.wanted, fullResults: true }, this.full);
  }

  /**
   * @internal Makes the query a part of a transaction: its promise is then the transaction's result at its place.
   */
  join(results: Promise<unknown[]>, index: number): void {
    this.#promise = results.then((all) => all[index] as Result);
    // Whoever awaits the transaction sees its error; nobody needs to await each query, too.
    this.#promise.catch(() => {});
  }

  /** @internal */
  get sent(): boolean {
    return this.#promise !== undefined;
  }

  // eslint-disable-next-line unicorn/no-thenable -- a lazy promise is the point.
  then<A = Result, B = never>(onFulfilled?: ((value: Result) => A | PromiseLike<A>) | null, onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B> {
    return this.#start().then(onFulfilled, onRejected);
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Result | B> {
    return this.#start().catch(onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<Result> {
    return this.#start().finally(onFinally);
  }

  #start(): Promise<Result> {
    return (this.#promise ??= this.send([this as LazyQuery<unknown>], this.wanted.options, this.#trace).then((results) => results[0] as Result));
  }
}

/** Where the user called, kept for the stack of an error that comes later. */
export class Trace {
  stack?: string;

  constructor(caller: (...args: never[]) => unknown) {
    // V8 (and JavaScriptCore) leave out the frames below `caller`; elsewhere the whole stack is kept.
    const capture = (Error as { captureStackTrace?: (target: object, below: unknown) => void }).captureStackTrace;
    if (capture !== undefined) capture(this, caller);
    else this.stack = new Error().stack ?? "";
  }

  /** Lets `error` point to the user's call. */
  give(error: Error): void {
    const frames = (this.stack ?? "").split("\n").filter((line) => /^\s+at |@/.test(line));
    if (frames.length > 0) error.stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
  }
}

/** The statement of a query: fragments put in their places, parameters numbered through. */
export function compose(source: LazyQuery<unknown>["source"]): Composed {
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
      if (!("texts" in value.source)) {
        if (value.source.params.length > 0) {
          throw new UsageError("A query made by sql.query with parameters cannot be a fragment: its $n have numbers already. Make it with sql`…`.");
        }
        text += value.source.text;
      } else {
        text += composeTemplate(value.source, params, depth + 1);
      }
    } else {
      params.push(parameterText(value, params.length + 1));
      text += `$${params.length}`;
    }
    text += texts[index + 1];
  });
  return text;
}
