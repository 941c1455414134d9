// A query of `neon()` as the user holds it, and its text.

import type { HTTPQueryOptions, ParameterizedQuery } from "./public.js";

type QueryData = SqlTemplate | ParameterizedQuery;
type Execute<ArrayMode extends boolean, FullResults extends boolean, T> = (
  queryData: QueryData | QueryData[],
  opts?: HTTPQueryOptions<ArrayMode, FullResults> | HTTPQueryOptions<ArrayMode, FullResults>[],
) => Promise<T>;

/**
 * A query that is sent when it is awaited, **each time anew**: that is how its original does it. (The queries of
 * `connect` run once, however often they are awaited.)
 */
export interface NeonQueryPromise<ArrayMode extends boolean, FullResults extends boolean, T = any> extends Promise<T> {}
export class NeonQueryPromise<ArrayMode extends boolean, FullResults extends boolean, T = any> {
  constructor(
    public execute: Execute<ArrayMode, FullResults, T>,
    public queryData: QueryData,
    public opts?: HTTPQueryOptions<ArrayMode, FullResults> | undefined,
  ) {}

  then<A = T, B = never>(
    resolve?: ((value: T) => A | PromiseLike<A>) | undefined | null,
    reject?: ((reason: any) => B | PromiseLike<B>) | undefined | null,
  ): Promise<A | B> {
    return this.execute(this.queryData, this.opts).then(resolve, reject);
  }

  catch<A = never>(reject?: ((reason: any) => A | PromiseLike<A>) | undefined | null): Promise<T | A> {
    return this.execute(this.queryData, this.opts).catch(reject);
  }

  finally(finallyFn?: (() => void) | undefined | null): Promise<T> {
    return this.execute(this.queryData, this.opts).finally(finallyFn);
  }
}

/** A tagged template: texts with a value between each two. */
export class SqlTemplate {
  constructor(
    public strings: ReadonlyArray<string>,
    public values: any[],
  ) {}

  /** The statement with its `$n`, behind what `result` holds already. */
  toParameterizedQuery(result: { query: string; params: any[] } = { query: "", params: [] }): {
    query: string;
    params: any[];
  } {
    this.strings.forEach((text, index) => {
      result.query += text;
      if (index >= this.values.length) return;
      const value: unknown = this.values[index];
      if (value instanceof UnsafeRawSql) result.query += value.sql;
      else if (value instanceof NeonQueryPromise) {
        const { queryData } = value;
        if (queryData instanceof SqlTemplate) queryData.toParameterizedQuery(result);
        else if (queryData.params?.length) throw new Error("This query is not composable");
        else result.query += queryData.query;
      } else {
        result.params.push(value);
        result.query += `$${result.params.length}${isBytes(value) ? "::bytea" : ""}`;
      }
    });
    return result;
  }
}

/** Text that is part of a statement as it is; `sql.unsafe` makes it. */
export class UnsafeRawSql {
  constructor(public sql: string) {}
}

/** Whether a value is sent as bytea. */
export function isBytes(value: unknown): value is ArrayBufferView | ArrayBuffer {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}
