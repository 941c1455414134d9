// The public types: options, values, rows and results.

/** How PostgreSQL values become JavaScript values where there is more than one good answer. */
export interface Mapping {
  /** int8 (bigint): `"string"` (default), `"bigint"`, or `"number"`, which throws for a value that is no safe integer. */
  readonly int8: "string" | "bigint" | "number";
  /** numeric: `"string"` (default, exact) or `"number"` (the nearest double). */
  readonly numeric: "string" | "number";
  /**
   * timestamp and timestamptz: `"date"` (default) or `"string"` (PostgreSQL's text, all six decimals). A Date holds
   * milliseconds; `infinity` and `-infinity` become the numbers ±Infinity; a timestamp without time zone is read as UTC.
   */
  readonly timestamps: "date" | "string";
  /** json and jsonb: `"parsed"` (default) or `"text"`, as PostgreSQL wrote it. */
  readonly json: "parsed" | "text";
  /**
   * Columns of the same name in rows that are objects: `"error"` (default), a UsageError, or `"last"`, which keeps the last
   * of them alone. Rows that are arrays keep all.
   */
  readonly duplicateColumns: "error" | "last";
  /**
   * What reads values of a type instead of this package, by the type's OID, in arrays of a built-in type, too. It gets
   * PostgreSQL's text and is not called for NULL. Added to the decoders of `connect` and `sql.with`.
   */
  readonly decoders?: Decoders | undefined;
}

/** Functions from PostgreSQL's text to a value, by type OID. */
export type Decoders = Readonly<Record<number, (text: string) => unknown>>;

/** A function from a value to something that can be a parameter: PostgreSQL's text, as a rule. */
export type Encoder = (value: never) => SqlValue;

/**
 * What makes parameters of values: for all of a class, or for those that `sql.typed` gives a type, by its OID or name.
 * The first that fits is used.
 */
export type Encoders = readonly (readonly [type: number | string | Class, encode: Encoder])[];

/** A constructor. */
export type Class = abstract new (...args: never) => unknown;

/** Options of one request; given to `connect` or `sql.with`, they are the defaults of every request. */
export interface RequestOptions extends Partial<Mapping> {
  /**
   * Cancels the request: it is closed, whereupon the endpoint cancels the statement in PostgreSQL. The promise rejects with
   * the signal's reason. What the server did by then is unknown.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Gives up after so many milliseconds, all attempts together, with a NetworkError whose `timedOut` is true. The endpoint
   * knows the limit, too, and cancels the statement in PostgreSQL. Default: no limit of its own.
   */
  readonly timeoutMs?: number | undefined;
  /** Further HTTP headers, for a proxy in front of the endpoint. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Where rows are turned into column blocks: `"endpoint"` (default, fastest) or `"local"`, in WebAssembly, which
   * saves the endpoint's CPU.
   */
  readonly decode?: "endpoint" | "local" | undefined;
  /**
   * `true` says that running the statement twice does no harm. It is then sent again after a lost connection, too,
   * and not only when the endpoint says that nothing was executed. Default: `false`.
   */
  readonly idempotent?: boolean | undefined;
  /** What makes parameters of values that are none, or other ones than usual. Put before those of `connect` and `sql.with`. */
  readonly encoders?: Encoders | undefined;
  /** How often a request may be sent in all, 1 to 10. Default 3; 1 never repeats anything. */
  readonly maxAttempts?: number | undefined;
  /**
   * `true` sends the queries and transactions that start in the same tick (under one `Promise.all`, say) in one HTTP
   * request, each a transaction of its own: an error in one leaves the others alone. For runtimes that cap requests, as
   * Workers do. They then run one after another on one connection, and their results come together. Default: `false`.
   */
  readonly shareRequests?: boolean | undefined;
}

/** How a transaction differs from the database's defaults. PostgreSQL manual, "SET TRANSACTION". */
export interface TransactionMode {
  /** How much it sees of others. One of two serializable transactions that conflict fails with `40001` and is sent again. */
  readonly isolationLevel?: "read uncommitted" | "read committed" | "repeatable read" | "serializable" | undefined;
  /** `true` refuses what would change data. */
  readonly readOnly?: boolean | undefined;
  /** `true` waits for a snapshot that cannot conflict; of use with `"serializable"` and `readOnly`. */
  readonly deferrable?: boolean | undefined;
}

/** Options of `sql.transaction`. */
export interface TransactionOptions extends RequestOptions, TransactionMode {}

/** Options of `connect`. */
export interface ConnectOptions extends RequestOptions {
  /** `https://role:password@endpoint.example/database` */
  readonly url?: string | URL | undefined;
  /** The PostgreSQL role, if it is not in the URL. */
  readonly role?: string | undefined;
  /** The role's password, if it is not in the URL. */
  readonly password?: string | undefined;
  /** The `fetch` to use. Default: the global one, looked up for each request. */
  readonly fetch?: Fetch | undefined;
}

/** What onetrip needs of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Options of `sql.query`. */
export interface QueryOptions extends RequestOptions {
  /** Rows as arrays in the columns' order, which keeps columns of the same name apart. Default: `false`. */
  readonly arrayRows?: boolean | undefined;
  /** A {@link FullResult} instead of the rows alone. Default: `false`. */
  readonly fullResults?: boolean | undefined;
}

/** One column of a result. */
export interface Field {
  readonly name: string;
  /** OID of the type (a domain's base type). */
  readonly typeOid: number;
  /** Size of the type in bytes; negative for types of variable size. */
  readonly typeSize: number;
  /** Type modifier, for example the length of varchar(n); -1 if there is none. */
  readonly typeModifier: number;
  /** OID of the column's table, 0 if the column is not a table's. */
  readonly tableOid: number;
  /** Number of the column in its table, from 1; 0 if the column is not a table's. */
  readonly columnNumber: number;
}

/** A row by column name. */
export type ObjectRow = Record<string, unknown>;
/** A row in the columns' order. */
export type ArrayRow = unknown[];

/** Everything that PostgreSQL says about one statement. */
export interface FullResult<Row> {
  readonly rows: Row[];
  readonly fields: readonly Field[];
  /** The first word of the command tag: `SELECT`, `INSERT`, …; empty for an empty statement. */
  readonly command: string;
  /** Rows returned or changed; null for a command that counts none, such as `CREATE TABLE`. */
  readonly rowCount: number | null;
}

/** What may stand in `${…}` and in the parameter list of `sql.query`. `undefined` may not: write null for NULL. */
export type SqlValue = string | number | bigint | boolean | null | object;

/**
 * A query that runs when it is first awaited, once, however often it is awaited. Inside another template it is a
 * fragment, inside `sql.transaction([…])` a statement of the transaction.
 */
export interface Query<Result> extends Promise<Result> {
  readonly [Symbol.toStringTag]: "Query";
}

/** A query whose result can be handed on undecoded. */
export interface PassableQuery<Result> extends Query<Result> {
  /**
   * Runs the query, and gives its result as JSON that the endpoint wrote, for a handler to return as it is: nothing is
   * decoded, and the body streams. Of rows it is an array, of `full()` the object of PROTOCOL.md section 5. int8 and numeric
   * are strings, timestamps PostgreSQL's text; options of mapping change nothing.
   *
   * Rejects like the query itself, but for an error that comes when rows are on their way already: the status is sent by
   * then, and the body ends as no valid JSON, or with full() with a member `error`. `timeoutMs` ends the body, too; a `signal`
   * beside it ends the wait for the response alone: cancel the body.
   */
  response(): Promise<Response>;
}

/**
 * A query whose result is its rows. Each method gives the same statement with a result of another form, and is to be
 * called before the query is awaited.
 */
export interface RowQuery<Row> extends PassableQuery<Row[]> {
  /** Everything that PostgreSQL says about the result. */
  full(): PassableQuery<FullResult<Row>>;
  /** The row; a UsageError if there is not exactly one. What the statement changed is changed even then. */
  one(): Query<Row>;
  /** The row, or null if there is none; a UsageError if there are more. */
  maybeOne(): Query<Row | null>;
  /** The value; a UsageError if there is not exactly one row of exactly one column. */
  value<Value = ValueOf<Row>>(): Query<Value>;
  /** The values of the only column; a UsageError if there are more columns. */
  column<Value = ValueOf<Row>>(): Query<Value[]>;
  /** Rows as arrays in the columns' order, which keeps columns of the same name apart. */
  arrays<Columns extends readonly unknown[] = Row extends readonly unknown[] ? Row : ArrayRow>(): RowQuery<Columns>;
}

/** What a row's columns hold. */
export type ValueOf<Row> = Row extends readonly (infer Element)[] ? Element : Row[keyof Row];

/** A part of a statement, made by the members of `sql`, to be put into a template. */
export interface Fragment {
  readonly [Symbol.toStringTag]: "Fragment";
}

/** A parameter with its type, made by `sql.typed`. */
export interface Typed {
  readonly type: number | string;
}

/** A JSON parameter, made by `sql.json`. */
export interface Json {
  /** The JSON text. */
  readonly text: string;
}

/** The results of a transaction, in the order of its queries. */
export type Results<Queries extends readonly Query<unknown>[]> = {
  -readonly [Index in keyof Queries]: Awaited<Queries[Index]>;
};

/** The members of `sql` that make parts of a statement. Names are quoted, values are sent as parameters. */
export interface FragmentMakers {
  /** A name, quoted: `sql.identifier("public", "my table")` is `"public"."my table"`. */
  identifier(...names: readonly [string, ...string[]]): Fragment;

  /** Names of columns: `select ${sql.columns(["id", "name"])}`. */
  columns(names: readonly string[]): Fragment;

  /** A list in parentheses: `where id in ${sql.list(ids)}`; an empty one is right behind `in` and `not in`. */
  list(values: readonly SqlValue[]): Fragment;

  /**
   * Columns and values of an insert: `insert into items ${sql.values(rows)}`. The columns are those of the first row, or
   * the ones named. Without rows nothing is inserted. A value may be a fragment: sql`default`.
   */
  values<Row extends object>(rows: readonly Row[], columns?: readonly (keyof Row & string)[]): Fragment;
  /** Rows that are arrays: `values (…), (…)`, with the names of their columns before it if they are given. */
  values(rows: readonly (readonly SqlValue[])[], columns?: readonly string[]): Fragment;

  /** The changes of an update: `update items set ${sql.set({ name, price })}`; all of the object, or the columns named. */
  set<Changes extends object>(changes: Changes, columns?: readonly (keyof Changes & string)[]): Fragment;

  /** Fragments or values with a separator between each two, a comma unless another fragment is given. */
  join(parts: readonly SqlValue[], separator?: Fragment | Query<unknown>): Fragment;

  /** Nothing, for a part that depends on something: `${name ? sql`and name = ${name}` : sql.empty}`. */
  readonly empty: Fragment;

  /**
   * A parameter with its type declared, by OID or by name as pg_type has it (`"int8"`, `"public.mood"`, `"mood[]"`), where
   * PostgreSQL cannot tell it from the statement, or for the sake of an encoder. A name is written as a cast behind the
   * parameter: in the text of `sql.query` write it yourself (`$1::mood`), or give an OID.
   */
  typed(value: SqlValue, type: number | string): Typed;

  /** Text of the statement as it is. **Never from outside**: whoever writes the text writes the statement. */
  unsafe(text: string): Fragment;
}

/** One database behind one endpoint, made by `connect`. It holds no connection: there is nothing to close. */
export interface Sql extends FragmentMakers {
  /** Builds a query: each `${value}` is sent as a parameter, never as text of the statement. */
  <Row = ObjectRow>(text: TemplateStringsArray, ...values: readonly SqlValue[]): RowQuery<Row>;

  /** A query with its parameters `$1`, `$2`, … in a list. */
  query<Row = ObjectRow>(
    text: string,
    params?: readonly SqlValue[],
    options?: QueryOptions & { readonly arrayRows?: false | undefined; readonly fullResults?: false | undefined },
  ): RowQuery<Row>;
  query<Row = ArrayRow>(
    text: string,
    params: readonly SqlValue[] | undefined,
    options: QueryOptions & { readonly arrayRows: true; readonly fullResults?: false | undefined },
  ): RowQuery<Row>;
  query<Row = ObjectRow>(
    text: string,
    params: readonly SqlValue[] | undefined,
    options: QueryOptions & { readonly arrayRows?: false | undefined; readonly fullResults: true },
  ): PassableQuery<FullResult<Row>>;
  query<Row = ArrayRow>(
    text: string,
    params: readonly SqlValue[] | undefined,
    options: QueryOptions & { readonly arrayRows: true; readonly fullResults: true },
  ): PassableQuery<FullResult<Row>>;

  /**
   * Sends all queries in one request and runs them in one transaction: all take effect or none. Fails with the first
   * SqlError, whose `statement` is the index of the query that failed. Without queries nothing is sent. `signal`,
   * `timeoutMs` and what else is about the request are the transaction's options; those of its queries do not count.
   */
  transaction<const Queries extends readonly Query<unknown>[]>(
    queries: readonly [...Queries],
    options?: TransactionOptions,
  ): Promise<Results<Queries>>;

  /** A parameter that is sent as JSON text: for arrays and scalars; plain objects are JSON anyway. */
  json(value: unknown): Json;

  /** The same database with other defaults. */
  with(options: RequestOptions): Sql;
}
