// `neon()`: SQL over HTTP as `@neondatabase/serverless` has it.

import { neonConfig, warnIfBrowser } from "./config.js";
import { connectionOf, merged } from "./connection.js";
import { NeonDbError, errorFields } from "./error.js";
import { parameter } from "./parameters.js";
import type { HTTPQueryOptions, HTTPTransactionOptions, NeonQueryFunction, ParameterizedQuery } from "./public.js";
import { NeonQueryPromise, SqlTemplate, UnsafeRawSql } from "./query.js";
import { TypeOverrides } from "./types.js";

/** A function that runs SQL over HTTP: `const sql = neon("postgresql://role:password@host/database")`. */
export function neon<ArrayMode extends boolean = false, FullResults extends boolean = false>(
  connectionString: string,
  neonOpts?: HTTPTransactionOptions<ArrayMode, FullResults>,
): NeonQueryFunction<ArrayMode, FullResults>;
export function neon<ArrayMode extends boolean = false, FullResults extends boolean = false>(
  neonOpts: HTTPTransactionOptions<ArrayMode, FullResults>,
): NeonQueryFunction<ArrayMode, FullResults>;
export function neon(first: unknown, second?: unknown): unknown {
  const isString = typeof first === "string";
  const connectionString = isString ? first : undefined;
  const options = ((isString ? second : first) ?? {}) as AnyOptions;
  const execute = (queryData: QueryData | QueryData[], own?: AnyOptions | AnyOptions[], transaction?: AnyOptions) =>
    run({ connectionString, options, queryData, own, transaction });

  function sql(strings: TemplateStringsArray, ...values: unknown[]): AnyQuery {
    if (!Array.isArray(strings) || !Array.isArray(strings.raw))
      throw new Error(
        'This function can now be called only as a tagged-template function: sql`SELECT ${value}`, not sql("SELECT $1", [value], options). For a conventional function call with value placeholders ($1, $2, etc.), use sql.query("SELECT $1", [value], options).',
      );
    return new NeonQueryPromise(execute, new SqlTemplate(strings, values));
  }
  sql.query = (query: string, params?: unknown[], own?: AnyOptions): AnyQuery =>
    new NeonQueryPromise(execute, { query, params: params ?? [] }, own);
  sql.unsafe = (text: string): UnsafeRawSql => new UnsafeRawSql(text);
  sql.transaction = async (given: unknown, transaction?: AnyOptions): Promise<unknown> => {
    const queries: unknown = typeof given === "function" ? given(sql) : given;
    if (!Array.isArray(queries) || !queries.every((query) => query instanceof NeonQueryPromise))
      throw new Error("transaction() expects an array of queries, or a function returning an array of queries");
    const list = queries as AnyQuery[];
    return execute(
      list.map((query) => query.queryData),
      list.map((query) => query.opts ?? {}),
      transaction,
    );
  };
  return sql;
}

type QueryData = SqlTemplate | ParameterizedQuery;
type AnyOptions = HTTPTransactionOptions<boolean, boolean>;
type AnyQuery = NeonQueryPromise<boolean, boolean>;

/** What one request is made of. */
interface Asked {
  readonly connectionString: string | undefined;
  /** The options of `neon()`. */
  readonly options: AnyOptions;
  /** A query, or a list of them: a transaction. */
  readonly queryData: QueryData | readonly QueryData[];
  /** The options of the query, or of each in the list. */
  readonly own: HTTPQueryOptions<boolean, boolean> | readonly HTTPQueryOptions<boolean, boolean>[] | undefined;
  /** The options of the transaction. */
  readonly transaction: AnyOptions | undefined;
}

/** A result as it came, and then as it is handed out. */
interface Output {
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[];
  rows: readonly (readonly (string | null)[])[];
  [member: string]: unknown;
}

async function run({ connectionString: given, options, queryData, own, transaction = {} }: Asked): Promise<unknown> {
  const isTransaction = Array.isArray(queryData);
  const single = isTransaction ? {} : ((own ?? {}) as AnyOptions);
  const body = isTransaction ? { queries: queryData.map(prepared) } : prepared(queryData as QueryData);
  const authToken = single.authToken ?? options.authToken;
  const { connectionString, url } = await connectionOf(given, merged(options, transaction, single), {
    application_name: "onetrip",
  });
  const { fetchEndpoint, fetchFunction } = neonConfig;
  const endpoint =
    typeof fetchEndpoint === "function"
      ? fetchEndpoint(url.hostname, url.port, { jwtAuth: authToken !== undefined })
      : fetchEndpoint;
  const headers: Record<string, string> = {
    "Neon-Connection-String": connectionString,
    "Neon-Raw-Text-Output": "true",
    "Neon-Array-Mode": "true",
  };
  const token = await tokenOf(authToken);
  if (token) headers["Authorization"] = `Bearer ${token}`;
  if (isTransaction) {
    const isolationLevel = transaction.isolationLevel ?? options.isolationLevel;
    const readOnly = transaction.readOnly ?? options.readOnly;
    const deferrable = transaction.deferrable ?? options.deferrable;
    if (isolationLevel !== undefined) headers["Neon-Batch-Isolation-Level"] = isolationLevel;
    if (readOnly !== undefined) headers["Neon-Batch-Read-Only"] = String(readOnly);
    if (deferrable !== undefined) headers["Neon-Batch-Deferrable"] = String(deferrable);
  }
  if (!options.disableWarningInBrowsers && !neonConfig.disableWarningInBrowsers) warnIfBrowser();

  let answered: Response;
  try {
    answered = await ((fetchFunction ?? fetch) as typeof fetch)(endpoint, {
      method: "POST",
      body: JSON.stringify(body),
      headers,
      ...options.fetchOptions,
      ...transaction.fetchOptions,
      ...single.fetchOptions,
    });
  } catch (cause) {
    const error = new NeonDbError(`Error connecting to database: ${String(cause)}`);
    error.sourceError = cause as Error;
    throw error;
  }
  if (!answered.ok) throw await refusal(answered);

  const answer = (await answered.json()) as Output | { results: Output[] };
  const handOut = (output: Output, one: AnyOptions): unknown => {
    const arrayMode = one.arrayMode ?? transaction.arrayMode ?? options.arrayMode ?? false;
    const fullResults = one.fullResults ?? transaction.fullResults ?? options.fullResults ?? false;
    return result(output, arrayMode, fullResults, one.types);
  };
  if (!isTransaction) return handOut(answer as Output, single);
  const { results } = answer as { results: Output[] };
  if (!Array.isArray(results)) throw new NeonDbError("Neon internal error: unexpected result format");
  return results.map((output, index) => handOut(output, (own as readonly AnyOptions[])[index] ?? {}));
}

function prepared(queryData: QueryData): { query: string; params: (string | null)[] } {
  const { query, params } = queryData instanceof SqlTemplate ? queryData.toParameterizedQuery() : queryData;
  return { query, params: params.map(parameter) };
}

async function tokenOf(authToken: unknown): Promise<string | undefined> {
  if (typeof authToken === "string") return authToken;
  if (typeof authToken !== "function") return undefined;
  try {
    return await (authToken as () => string | Promise<string>)();
  } catch (cause) {
    throw new NeonDbError(
      cause instanceof Error ? `Error getting auth token: ${cause.message}` : "Error getting auth token.",
    );
  }
}

async function refusal(answered: Response): Promise<NeonDbError> {
  const { status } = answered;
  if (status !== 400) return new NeonDbError(`Server error (HTTP status ${status}): ${await answered.text()}`);
  const fields = (await answered.json()) as Record<string, string | null>;
  const error = new NeonDbError(fields["message"] as string);
  for (const name of errorFields) error[name] = fields[name] ?? undefined;
  return error;
}

/** The rows of a result, or the whole of it in the very object that came, with what node-postgres has there, too. */
function result(output: Output, arrayMode: boolean, fullResults: boolean, custom: AnyOptions["types"]): unknown {
  const overrides = new TypeOverrides(custom);
  const names = output.fields.map(({ name }) => name);
  const parsers = output.fields.map(
    ({ dataTypeID }) => overrides.getTypeParser(dataTypeID) as (text: string) => unknown,
  );
  const value = (text: string | null, column: number): unknown => (text === null ? null : parsers[column](text));
  const rows =
    arrayMode === true
      ? output.rows.map((row) => row.map(value))
      : output.rows.map((row) => Object.fromEntries(row.map((text, column) => [names[column], value(text, column)])));
  if (!fullResults) return rows;
  return Object.assign(output, {
    viaNeonFetch: true,
    rowAsArray: arrayMode,
    rows,
    _parsers: parsers,
    _types: overrides,
  });
}
