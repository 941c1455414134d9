// What the user holds: `sql` as a function and its members, which make queries and send nothing themselves.

import { UsageError } from "./errors.js";
import { merge, modeOf, type Options } from "./options.js";
import { fragments } from "./fragments.js";
import { jsonValue, nameOf } from "./parameters.js";
import { LazyQuery, isSent, join, partsOf, type Sender, type Wanted } from "./query.js";
import { full, rows } from "./results.js";
import type { Query, QueryOptions, Sql, SqlValue, TransactionOptions } from "./types.js";

/**
 * Makes `sql`. Everything that `with` derives from it shares its `sender`, which tells that queries belong to the same
 * database.
 */
export function makeSql(sender: Sender, defaults: Options): Sql {
  const wanted: Wanted = { options: defaults, arrayRows: false, form: rows };

  function sql(texts: unknown, ...values: unknown[]): LazyQuery<never> {
    if (!Array.isArray(texts) || !("raw" in texts)) {
      throw new UsageError(
        "Write sql`select …` as a template, or use sql.query(text, params): a function cannot tell values from text.",
      );
    }
    if (texts.includes(undefined))
      throw new UsageError("The template holds a malformed escape: write \\\\ for a backslash.");
    return new LazyQuery({ sender, texts: texts as string[], values, wanted });
  }

  const members: Pick<Sql, "query" | "transaction" | "json" | "with"> = {
    query(text: string, params: readonly SqlValue[] = [], options?: QueryOptions): LazyQuery<never> {
      if (typeof text !== "string")
        throw new UsageError(`sql.query needs the statement as a string, not ${nameOf(text)}.`);
      if (!Array.isArray(params))
        throw new UsageError(`sql.query needs the parameters as an array, not ${nameOf(params)}.`);
      return new LazyQuery({
        sender,
        text,
        params,
        wanted: options === undefined ? wanted : wantedBy(options, defaults),
      });
    },

    transaction(queries: readonly Query<unknown>[], options?: TransactionOptions): Promise<never> {
      const { isolationLevel, readOnly, deferrable, ...rest } = options ?? {};
      const mode = modeOf({ isolationLevel, readOnly, deferrable });
      const merged = merge(defaults, rest);
      const list = transactionOf(queries, sender);
      const results = list.length === 0 ? Promise.resolve([]) : sender.transaction(list, merged, mode);
      list.forEach((query, index) => join(query, results, index));
      return results as Promise<never>;
    },

    json: jsonValue,
    with(options) {
      return makeSql(sender, merge(defaults, options));
    },
  };
  return Object.assign(sql, fragments, members) as unknown as Sql;
}

function wantedBy({ arrayRows = false, fullResults = false, ...options }: QueryOptions, defaults: Options): Wanted {
  return { options: merge(defaults, options), arrayRows, form: fullResults ? full : rows };
}

function transactionOf(queries: unknown, sender: Sender): LazyQuery<unknown>[] {
  if (!Array.isArray(queries))
    throw new UsageError("sql.transaction needs an array of queries: sql.transaction([sql`…`, sql`…`]).");
  return queries.map((query: unknown, index) => {
    if (!(query instanceof LazyQuery))
      throw new UsageError(
        `Query ${index} of the transaction is no query (it is of type ${nameOf(query)}; do not await the queries).`,
      );
    if (partsOf(query).sender !== sender)
      throw new UsageError(`Query ${index} of the transaction belongs to another connection.`);
    if (isSent(query)) throw new UsageError(`Query ${index} of the transaction was sent already; make a new one.`);
    if (queries.indexOf(query) !== index)
      throw new UsageError(`Query ${index} of the transaction is there twice; make a new one.`);
    return query;
  });
}
