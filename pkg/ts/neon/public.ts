// The types of `@neondatabase/serverless` (1.2) for SQL over HTTP, so that an import alias is enough: what is assignable
// to theirs is assignable to these, and the other way round. `any` stands here where it stands there.

import type { NeonQueryPromise, SqlTemplate, UnsafeRawSql } from "./query.js";

type Resolvable<T> = T | (() => T | Promise<T>);

/** Parameters of a connection, over those of the connection string. Functions are called for each query. */
export interface ConnectionParams {
  connectionString?: Resolvable<string>;
  user?: Resolvable<string>;
  username?: Resolvable<string>;
  password?: Resolvable<string>;
  host?: Resolvable<string>;
  hostname?: Resolvable<string>;
  port?: Resolvable<string | number>;
  database?: Resolvable<string>;
}

/** The number of a type, its OID. */
export type PgTypeId = number;
/** Always `"text"` over HTTP. */
export type PgTypeFormat = "text" | "binary";

/** Parsers of values by the OID of their type. */
export interface CustomTypesConfig {
  getTypeParser: (id: PgTypeId, format?: PgTypeFormat) => any;
}

/** Options of `neon()` and of `sql.query`. */
export interface HTTPQueryOptions<ArrayMode extends boolean, FullResults extends boolean> extends ConnectionParams {
  /** Rows as arrays instead of objects. Default: `false`. */
  arrayMode?: ArrayMode;
  /** A {@link FullQueryResults} instead of the rows alone. Default: `false`. */
  fullResults?: FullResults;
  /** Goes into the second argument of `fetch`, over everything that would be there otherwise. */
  fetchOptions?: Record<string, any>;
  /** A JSON Web Token for `Authorization: Bearer`, or a function that gets it. */
  authToken?: string | (() => Promise<string> | string);
  /** Parsers for this query, instead of those of `types`. Only an option of `sql.query`: `neon()` passes it over. */
  types?: CustomTypesConfig;
  /** `true`: no warning about SQL in browsers. Default: `false`. */
  disableWarningInBrowsers?: boolean;
}

/** Options of `neon()` and of `sql.transaction`. */
export interface HTTPTransactionOptions<
  ArrayMode extends boolean,
  FullResults extends boolean,
> extends HTTPQueryOptions<ArrayMode, FullResults> {
  /** Default: the database's, usually `ReadCommitted`. */
  isolationLevel?: "ReadUncommitted" | "ReadCommitted" | "RepeatableRead" | "Serializable";
  /** Default: the database's, usually `false`. */
  readOnly?: boolean;
  /** Of effect where the transaction is `Serializable` and `readOnly`. Default: the database's, usually `false`. */
  deferrable?: boolean;
}

/** One column of a result. */
export interface FieldDef {
  name: string;
  tableID: number;
  columnID: number;
  dataTypeID: number;
  dataTypeSize: number;
  dataTypeModifier: number;
  format: string;
}

/** The rows of a result. */
export type QueryRows<ArrayMode extends boolean> = ArrayMode extends true ? any[][] : Record<string, any>[];

/** Everything that PostgreSQL says about one statement. */
export interface FullQueryResults<ArrayMode extends boolean> {
  fields: FieldDef[];
  command: string;
  rowCount: number;
  rows: QueryRows<ArrayMode>;
  rowAsArray: ArrayMode;
}

/** A statement with its `$n` and their values. */
export interface ParameterizedQuery {
  query: string;
  params: any[];
}

/** How a result is made. */
export interface ProcessQueryResultOptions {
  arrayMode: boolean;
  fullResults: boolean;
  types?: CustomTypesConfig;
}

type Result<ArrayMode extends boolean, FullResults extends boolean> = FullResults extends true
  ? FullQueryResults<ArrayMode>
  : QueryRows<ArrayMode>;

/** What `neon()` returns. */
export interface NeonQueryFunction<ArrayMode extends boolean, FullResults extends boolean> {
  /** Builds a query, which is sent when it is awaited. Another query in `${…}` is a part of this one. */
  (
    strings: TemplateStringsArray,
    ...params: any[]
  ): NeonQueryPromise<ArrayMode, FullResults, Result<ArrayMode, FullResults>>;

  /** A query with its parameters `$1`, `$2`, … in a list. */
  query<ArrayModeOverride extends boolean = ArrayMode, FullResultsOverride extends boolean = FullResults>(
    queryWithPlaceholders: string,
    params?: any[],
    queryOpts?: HTTPQueryOptions<ArrayModeOverride, FullResultsOverride>,
  ): NeonQueryPromise<ArrayModeOverride, FullResultsOverride, Result<ArrayModeOverride, FullResultsOverride>>;

  /** Text that becomes part of a statement as it is. Never anything that a user wrote. */
  unsafe(rawSQL: string): UnsafeRawSql;

  /** Sends all queries in one request and runs them in one transaction. The options of single queries are passed over. */
  transaction: <ArrayModeOverride extends boolean = ArrayMode, FullResultsOverride extends boolean = FullResults>(
    queriesOrFn:
      | NeonQueryPromise<ArrayMode, FullResults>[]
      | ((sql: NeonQueryFunctionInTransaction<ArrayModeOverride, FullResultsOverride>) => NeonQueryInTransaction[]),
    opts?: HTTPTransactionOptions<ArrayModeOverride, FullResultsOverride>,
  ) => Promise<
    FullResultsOverride extends true ? FullQueryResults<ArrayModeOverride>[] : QueryRows<ArrayModeOverride>[]
  >;
}

/** What a function given to `sql.transaction` gets. */
export interface NeonQueryFunctionInTransaction<ArrayMode extends boolean, FullResults extends boolean> {
  (
    strings: TemplateStringsArray,
    ...params: any[]
  ): NeonQueryPromise<ArrayMode, FullResults, Result<ArrayMode, FullResults>>;
  query(
    queryWithPlaceholders: string,
    params?: any[],
  ): NeonQueryPromise<ArrayMode, FullResults, Result<ArrayMode, FullResults>>;
  unsafe(rawSQL: string): UnsafeRawSql;
}

/** A query of a transaction. */
export interface NeonQueryInTransaction {
  queryData: SqlTemplate | ParameterizedQuery;
}

/** Rows as node-postgres names their type. */
export interface QueryResultRow {
  [column: string]: any;
}

/** What every result of node-postgres has. */
export interface QueryResultBase {
  command: string;
  rowCount: number | null;
  oid: number;
  fields: FieldDef[];
}

/** A result of node-postgres. */
export interface QueryResult<R extends QueryResultRow = any> extends QueryResultBase {
  rows: R[];
}

/** A result of node-postgres with rows as arrays. */
export interface QueryArrayResult<R extends any[] = any[]> extends QueryResultBase {
  rows: R[];
}
