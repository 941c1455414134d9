// That `onetrip/neon` can stand where `@neondatabase/serverless` is imported, checked by the compiler alone: each of its
// types and values is assignable to the original's, and the original's to it.

import type * as Theirs from "@neondatabase/serverless";
import type * as Ours from "../dist/neon/index.js";

/** Fails to compile unless each is assignable to the other. */
function mutual<A extends B, B extends C, C = A>(): void {}

mutual<typeof Ours.neon, typeof Theirs.neon>();
mutual<typeof Ours.types, typeof Theirs.types>();
mutual<typeof Ours.NeonDbError, typeof Theirs.NeonDbError>();
mutual<typeof Ours.NeonQueryPromise, typeof Theirs.NeonQueryPromise>();
mutual<typeof Ours.SqlTemplate, typeof Theirs.SqlTemplate>();
mutual<typeof Ours.UnsafeRawSql, typeof Theirs.UnsafeRawSql>();
mutual<typeof Ours.DatabaseError, typeof Theirs.DatabaseError>();
mutual<typeof Ours.errorFields, typeof Theirs.errorFields>();
mutual<typeof Ours.escapeIdentifier, typeof Theirs.escapeIdentifier>();
mutual<typeof Ours.escapeLiteral, typeof Theirs.escapeLiteral>();
mutual<typeof Ours.warnIfBrowser, typeof Theirs.warnIfBrowser>();
// Theirs is a class of sockets that has the settings as static members.
mutual<typeof Ours.neonConfig, Pick<typeof Theirs.neonConfig, keyof Ours.NeonConfig | "defaults" | "opts">>();
mutual<Pick<typeof Theirs.defaults, keyof typeof Ours.defaults>, typeof Ours.defaults>();

mutual<Ours.NeonDbError, Theirs.NeonDbError>();
mutual<Ours.DatabaseError, Theirs.DatabaseError>();
mutual<Ours.SqlTemplate, Theirs.SqlTemplate>();
mutual<Ours.UnsafeRawSql, Theirs.UnsafeRawSql>();
mutual<Ours.NeonConfig, Theirs.NeonConfig>();
mutual<Ours.FetchEndpointOptions, Theirs.FetchEndpointOptions>();
mutual<Ours.WebSocketConstructor, Theirs.WebSocketConstructor>();
mutual<Ours.WebSocketLike, Theirs.WebSocketLike>();
mutual<Ours.CustomTypesConfig, Theirs.CustomTypesConfig>();
mutual<Ours.FieldDef, Theirs.FieldDef>();
mutual<Ours.ParameterizedQuery, Theirs.ParameterizedQuery>();
mutual<Ours.ProcessQueryResultOptions, Theirs.ProcessQueryResultOptions>();
mutual<Ours.NeonQueryInTransaction, Theirs.NeonQueryInTransaction>();
mutual<Ours.QueryResult, Theirs.QueryResult>();
mutual<Ours.QueryArrayResult, Theirs.QueryArrayResult>();
mutual<Ours.QueryResultBase, Theirs.QueryResultBase>();
mutual<Ours.QueryResultRow, Theirs.QueryResultRow>();

/** The types that depend on the form of rows and results, for one choice of both. */
function forms<ArrayMode extends boolean, FullResults extends boolean>() {
  return {
    ours: {} as {
      options: Ours.HTTPQueryOptions<ArrayMode, FullResults>;
      transaction: Ours.HTTPTransactionOptions<ArrayMode, FullResults>;
      sql: Ours.NeonQueryFunction<ArrayMode, FullResults>;
      inTransaction: Ours.NeonQueryFunctionInTransaction<ArrayMode, FullResults>;
      query: Ours.NeonQueryPromise<ArrayMode, FullResults>;
      results: Ours.FullQueryResults<ArrayMode>;
      rows: Ours.QueryRows<ArrayMode>;
    },
    theirs: {} as {
      options: Theirs.HTTPQueryOptions<ArrayMode, FullResults>;
      transaction: Theirs.HTTPTransactionOptions<ArrayMode, FullResults>;
      sql: Theirs.NeonQueryFunction<ArrayMode, FullResults>;
      inTransaction: Theirs.NeonQueryFunctionInTransaction<ArrayMode, FullResults>;
      query: Theirs.NeonQueryPromise<ArrayMode, FullResults>;
      results: Theirs.FullQueryResults<ArrayMode>;
      rows: Theirs.QueryRows<ArrayMode>;
    },
  };
}
const objects = forms<false, false>();
mutual<typeof objects.ours, typeof objects.theirs>();
const arrays = forms<true, false>();
mutual<typeof arrays.ours, typeof arrays.theirs>();
const full = forms<false, true>();
mutual<typeof full.ours, typeof full.theirs>();
const fullArrays = forms<true, true>();
mutual<typeof fullArrays.ours, typeof fullArrays.theirs>();

// What programs write.
export async function program(neon: typeof Ours.neon | typeof Theirs.neon): Promise<number> {
  const rows = await neon("")`select 1 as one`;
  const one: number = rows[0].one;
  const { rowCount, fields } = await neon("", { fullResults: true })`select 1`;
  const [[first]] = await neon("").transaction((sql) => [sql`select 1`], {
    arrayMode: true,
    isolationLevel: "Serializable",
  });
  // @ts-expect-error: there is no such level
  await neon("").transaction([], { isolationLevel: "Snapshot" });
  // @ts-expect-error: rows are an array
  rows.one;
  return one + rowCount + fields.length + first[0];
}
