// What the types promise, checked by the compiler alone: this file is never run.

import {
  connect,
  EndpointError,
  NetworkError,
  OnetripError,
  SqlError,
  type FullResult,
  type ObjectRow,
  type Outcome,
  type Query,
  type Sql,
} from "../dist/index.js";
import { compositeOf, rangeOf, temporal } from "../dist/decoders.js";
import { connect as slimConnect } from "../dist/slim.js";
import { UNIQUE_VIOLATION } from "../dist/sqlstate.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._equal: Equal<A, B> extends true ? [] : ["the types differ", A, B]): void {}

interface User {
  id: number;
  name: string;
}

const sql: Sql = connect("https://role:password@endpoint.example/database", { int8: "bigint" });
export const alsoSql: Sql = connect({
  url: new URL("https://endpoint.example/database"),
  role: "role",
  password: "password",
});
export const slim: Sql = slimConnect({
  url: "https://role:password@endpoint.example/database",
  wasm: new Uint8Array(),
});

export async function templates(): Promise<void> {
  const untyped = await sql`select 1 as one`;
  same<typeof untyped, ObjectRow[]>();
  const users = await sql<User>`select id, name from users where id = ${5}`;
  same<typeof users, User[]>();
  const full = await sql<User>`select id, name from users`.full();
  same<typeof full, FullResult<User>>();
  same<(typeof full)["rowCount"], number | null>();
  const fragment = sql`where ${sql.identifier("users", "id")} = any(${[1, 2]})`;
  await sql`select * from users ${fragment}`;
}

export async function composition(): Promise<void> {
  const rows: User[] = [];
  await sql`insert into users ${sql.values(rows)} on conflict do nothing`;
  await sql`insert into users ${sql.values(rows, ["id"])}`;
  await sql`insert into users ${sql.values([[1, "a"]], ["id", "name"])}`;
  await sql`update users set ${sql.set({ name: "x" })} where id in ${sql.list([1, 2n])}`;
  await sql`select ${sql.columns(["id"])} from users where ${sql.join([sql`true`, sql`id = ${1}`], sql` and `)} ${sql.empty}`;
  await sql`select 1 ${sql.unsafe("limit 1")}`;
  // @ts-expect-error there is no such column
  sql.values(rows, ["nam"]);
  // @ts-expect-error there is no such column
  sql.set({ name: "x" }, ["id"]);
  // @ts-expect-error a separator is a fragment, for text could come from outside
  sql.join([1, 2], " and ");
  // @ts-expect-error a list is an array
  sql.list(1);
}

export async function forms(): Promise<void> {
  const one = await sql<User>`select id, name from users where id = 1`.one();
  same<typeof one, User>();
  const maybe = await sql<User>`select id, name from users where id = 1`.maybeOne();
  same<typeof maybe, User | null>();
  const total = await sql<{ total: bigint }>`select count(*) as total from users`.value();
  same<typeof total, bigint>();
  const named = await sql`select count(*) from users`.value<bigint>();
  same<typeof named, bigint>();
  const unknown = await sql`select count(*) from users`.value();
  same<typeof unknown, unknown>();
  const ids = await sql<{ id: number }>`select id from users`.column();
  same<typeof ids, number[]>();
  const arrays = await sql`select 1, 'a'`.arrays<[number, string]>();
  same<typeof arrays, [number, string][]>();
  const untyped = await sql<User>`select 1, 'a'`.arrays();
  same<typeof untyped, unknown[][]>();
  const pair = await sql`select 1, 'a'`.arrays<[number, string]>().one();
  same<typeof pair, [number, string]>();
  const full = await sql`select 1, 'a'`.arrays<[number, string]>().full();
  same<typeof full, FullResult<[number, string]>>();
  const results = await sql.transaction([
    sql<User>`select id, name from users`.one(),
    sql<User>`select id, name from users`.maybeOne(),
    sql`select count(*) from users`.value<string>(),
    sql.query<[number]>("select 1", [], { arrayRows: true }).one(),
    sql.query<{ id: number }>("select id from users").column(),
  ]);
  same<typeof results, [User, User | null, string, [number], number[]]>();
  // @ts-expect-error a query has one form
  sql`select 1`.one().full();
}

export function typesOfOnesOwn(): void {
  class Money {
    constructor(readonly cents: number) {}
  }
  const own = sql.with({
    decoders: { 1700: Number, ...temporal() },
    encoders: [
      [Money, (money: Money) => money.cents],
      [600, ({ x, y }: { x: number; y: number }) => `(${x},${y})`],
    ],
  });
  void own`select ${new Money(1)}, ${sql.typed({ x: 1, y: 2 }, 600)}, ${sql.typed("ok", "mood")}`;
  const place = compositeOf({ name: String, number: Number })("(a,1)");
  same<typeof place, { name: string | null; number: number | null }>();
  const range = rangeOf(Number)("[1,2)");
  same<(typeof range)["lower"], number | null>();
  // @ts-expect-error a decoder is a function
  void sql.with({ decoders: { 1700: "number" } });
}

export async function queries(): Promise<void> {
  const objects = await sql.query<User>("select id, name from users where id = $1", [1n]);
  same<typeof objects, User[]>();
  const arrays = await sql.query("select 1, 2", [], { arrayRows: true });
  same<typeof arrays, unknown[][]>();
  const pairs = await sql.query<[number, string]>("select id, name from users", [], {
    arrayRows: true,
    fullResults: true,
  });
  same<typeof pairs, FullResult<[number, string]>>();
  const full = await sql.query<User>("select id, name from users", undefined, { fullResults: true, int8: "number" });
  same<typeof full, FullResult<User>>();
}

export async function transactions(): Promise<void> {
  const [users, counts, changed] = await sql.transaction(
    [
      sql<User>`select id, name from users`,
      sql.query<[string]>("select count(*) from users", [], { arrayRows: true }),
      sql`delete from users`.full(),
    ],
    { timeoutMs: 1000, isolationLevel: "repeatable read", readOnly: true, deferrable: false },
  );
  same<typeof users, User[]>();
  same<typeof counts, [string][]>();
  same<typeof changed, FullResult<ObjectRow>>();
  const many: Query<User[]>[] = [];
  const results = await sql.transaction(many);
  same<typeof results, User[][]>();
}

export function values(settings: { theme: string }, bytes: Uint8Array): void {
  void sql`select ${"text"}, ${1}, ${1n}, ${true}, ${null}, ${new Date()}, ${bytes}, ${[1, null]}, ${settings}, ${sql.json([1])}`;
  // @ts-expect-error undefined is no value: write null
  void sql`select ${undefined}`;
  // @ts-expect-error a symbol is no value
  void sql`select ${Symbol("no")}`;
  // @ts-expect-error the text must be a string
  void sql.query(1);
  // @ts-expect-error there is no such mapping
  void sql.with({ int8: "float" });
  // @ts-expect-error there is no such isolation level
  void sql.transaction([sql`select 1`], { isolationLevel: "snapshot" });
  // @ts-expect-error a mode is a transaction's
  void sql.with({ readOnly: true });
  // @ts-expect-error a transaction takes queries, not results
  void sql.transaction([Promise.resolve([])]);
  // @ts-expect-error called like a function it could not tell values from text
  void sql("select 1");
  // @ts-expect-error the slim connect takes one object
  void slimConnect("https://endpoint.example/database");
}

export function errors(error: unknown): string | undefined {
  if (!(error instanceof SqlError)) return undefined;
  same<typeof error.kind, "sql">();
  same<typeof error.statement, number | undefined>();
  same<typeof error.outcome, Outcome>();
  same<typeof UNIQUE_VIOLATION, "23505">();
  return error.constraint ?? error.code;
}

export function kinds(error: unknown): boolean {
  if (error instanceof EndpointError) return error.retryable && error.kind === "refused";
  if (error instanceof NetworkError) return error.timedOut;
  return error instanceof OnetripError && error.outcome === "notExecuted";
}
