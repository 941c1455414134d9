// What the published clients do against the endpoint, in any runtime: unchanged, but for where the endpoint is.

import { Client, Pool, neon, neonConfig } from "@neondatabase/serverless";
import { eq, sql as drizzleSql } from "drizzle-orm";
import { drizzle as drizzleHttp } from "drizzle-orm/neon-http";
import { drizzle as drizzleServerless } from "drizzle-orm/neon-serverless";
import { integer, jsonb, pgTable, serial, text, timestamp } from "drizzle-orm/pg-core";
import { Kysely, PostgresDialect } from "kysely";
import { NeonDialect } from "kysely-neon";
import { PrismaNeon, PrismaNeonHttp } from "@prisma/adapter-neon";

/** Points the client at an endpoint without TLS. Everything else is as a user of the client has it. */
export function configure(endpoint, webSocket) {
  neonConfig.fetchEndpoint = `http://${endpoint}/sql`;
  neonConfig.wsProxy = `${endpoint}/v2`;
  neonConfig.useSecureWebSocket = false;
  neonConfig.pipelineTLS = false;
  if (webSocket !== undefined) neonConfig.webSocketConstructor = webSocket;
}

function same(found, expected, what = "value") {
  const write = (value) =>
    JSON.stringify(value, (_, part) =>
      typeof part === "bigint" ? `${part}n` : part instanceof Date ? part.toISOString() : part,
    );
  if (write(found) !== write(expected)) throw new Error(`${what}: ${write(found)}, expected ${write(expected)}`);
}

async function fails(promise, expected) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (error === undefined) throw new Error("nothing failed");
  for (const [key, value] of Object.entries(expected)) same(error[key] ?? error.cause?.[key], value, `error.${key}`);
  return error;
}

const notes = pgTable("drizzle_notes", {
  id: serial("id").primaryKey(),
  body: text("body").notNull(),
  stars: integer("stars").default(0),
  meta: jsonb("meta"),
  at: timestamp("at", { withTimezone: true }),
});

async function createItems(url) {
  const sql = neon(url);
  await sql`drop table if exists prisma_items`;
  await sql`create table prisma_items (id serial primary key, name text not null unique, price numeric not null,
    tags text[] not null default '{}', meta jsonb, seen bigint not null default 0, at timestamptz not null default now())`;
}

/** Each check gets the connection string and the generated Prisma client. Those whose names end so need a WebSocket. */
const WEBSOCKET = "(WebSocket)";
const checks = {
  async "serverless, HTTP: values"({ url }) {
    const sql = neon(url);
    const [row] = await sql`
      select ${42}::int4 as i, ${"9007199254740993"}::int8 as b, ${1.5}::float8 as f, ${true}::bool as t, ${"ä😀\n"} as s,
        ${null}::text as n, ${[1, 2, null]}::int4[] as a, ${["x,y", 'q"\\', ""]}::text[] as ta, '{}'::int4[] as e,
        '{{1,2},{3,4}}'::int4[] as m, ${JSON.stringify({ b: 1, a: [2] })}::jsonb as j, '\\xdeadbeef'::bytea as y,
        '2024-02-29T12:00:00Z'::timestamptz as at, 1.50::numeric as d`;
    same(row.i, 42);
    same(row.b, "9007199254740993");
    same([row.f, row.t, row.s, row.n], [1.5, true, "ä😀\n", null]);
    same(
      [row.a, row.ta, row.e, row.m],
      [
        [1, 2, null],
        ["x,y", 'q"\\', ""],
        [],
        [
          [1, 2],
          [3, 4],
        ],
      ],
    );
    same(row.j, { a: [2], b: 1 });
    same(Array.from(row.y), [0xde, 0xad, 0xbe, 0xef]);
    same(row.at, new Date("2024-02-29T12:00:00Z"));
    same(row.d, "1.50");
  },
  async "serverless, HTTP: arrays and whole results"({ url }) {
    const sql = neon(url, { arrayMode: true, fullResults: true });
    const result = await sql.query("select 1 as a, 2 as a", []);
    same(result.rows, [[1, 2]]);
    same([result.command, result.rowCount, result.fields.map((field) => field.name)], ["SELECT", 1, ["a", "a"]]);
  },
  async "serverless, HTTP: errors"({ url }) {
    const sql = neon(url);
    await fails(sql`select * from no_such_table`, {
      name: "NeonDbError",
      code: "42P01",
      position: "15",
      severity: "ERROR",
      message: 'relation "no_such_table" does not exist',
    });
    await fails(sql`do $$ begin raise exception 'boom' using detail = 'd', hint = 'h', errcode = 'P0099'; end $$`, {
      code: "P0099",
      detail: "d",
      hint: "h",
    });
    const wrong = new URL(url);
    wrong.password = "wrong";
    await fails(neon(wrong.href)`select 1`, { code: "28P01" });
    same(await sql`select 1 as one`, [{ one: 1 }], "the next query");
  },
  async "serverless, HTTP: transactions"({ url }) {
    const sql = neon(url);
    await sql`drop table if exists neon_t`;
    await sql`create table neon_t (a int primary key)`;
    const [, rows] = await sql.transaction([sql`insert into neon_t values (${1})`, sql`select a from neon_t`]);
    same(rows, [{ a: 1 }]);
    await fails(sql.transaction([sql`insert into neon_t values (2)`, sql`insert into neon_t values (1)`]), {
      code: "23505",
    });
    same(await sql`select count(*)::int as n from neon_t`, [{ n: 1 }], "rolled back");
    const [[level]] = await sql.transaction((tx) => [tx`show transaction_isolation`], {
      isolationLevel: "Serializable",
      readOnly: true,
      deferrable: true,
    });
    same(level, { transaction_isolation: "serializable" });
    await fails(sql.transaction([sql`insert into neon_t values (3)`], { readOnly: true }), { code: "25006" });
  },
  async "serverless, Pool: queries and transactions (WebSocket)"({ url }) {
    const pool = new Pool({ connectionString: url, max: 3 });
    try {
      same((await pool.query("select $1::int as n", [5])).rows, [{ n: 5 }]);
      const many = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => pool.query("select $1::int as n", [n])));
      same(
        many.map((result) => result.rows[0].n),
        [1, 2, 3, 4, 5, 6],
      );
      const client = await pool.connect();
      try {
        await client.query("create temp table kept (a int)");
        await client.query("begin");
        await client.query("insert into kept values (1)");
        await fails(client.query("select 1/0"), { code: "22012" });
        await client.query("rollback");
        same((await client.query("select count(*)::int as n from kept")).rows, [{ n: 0 }]);
        const prepared = { name: "twice", text: "select $1::int * 2 as n" };
        same((await client.query({ ...prepared, values: [4] })).rows, [{ n: 8 }]);
        same((await client.query({ ...prepared, values: [5] })).rows, [{ n: 10 }]);
      } finally {
        client.release();
      }
    } finally {
      await pool.end();
    }
  },
  async "serverless, Client: with and without pipelined connect (WebSocket)"({ url }) {
    for (const pipelineConnect of ["password", false]) {
      const client = new Client(url);
      client.neonConfig.pipelineConnect = pipelineConnect;
      await client.connect();
      try {
        same((await client.query("show application_name")).rows.length, 1);
        const heard = new Promise((resolve) => client.on("notification", resolve));
        await client.query("listen news");
        await client.query("notify news, 'hello'");
        same((await heard).payload, "hello");
        const large = await client.query("select repeat('ä', 200000) as t from generate_series(1, 5)");
        same(
          large.rows.map((row) => row.t.length),
          Array(5).fill(200000),
        );
      } finally {
        await client.end();
      }
    }
    const wrong = new URL(url);
    wrong.password = "wrong";
    // A client that pipelines its connect learns of a refusal by its first query.
    for (const pipelineConnect of ["password", false]) {
      const refused = new Client(wrong.href);
      refused.neonConfig.pipelineConnect = pipelineConnect;
      refused.on("error", () => {});
      await fails(
        refused.connect().then(() => refused.query("select 1")),
        {},
      );
    }
  },
  async "drizzle-orm/neon-http"({ url }) {
    const db = drizzleHttp(neon(url));
    await db.execute(drizzleSql`drop table if exists drizzle_notes`);
    await db.execute(
      drizzleSql`create table drizzle_notes (id serial primary key, body text not null, stars int default 0, meta jsonb, at timestamptz)`,
    );
    const at = new Date("2024-02-29T12:00:00Z");
    const inserted = await db
      .insert(notes)
      .values({ body: "a", stars: 3, meta: { z: 1, a: [true] }, at })
      .returning();
    same(inserted, [{ id: 1, body: "a", stars: 3, meta: { a: [true], z: 1 }, at }]);
    const [, found] = await db.batch([
      db.insert(notes).values({ body: "b" }),
      db.select({ body: notes.body }).from(notes).where(eq(notes.stars, 0)),
    ]);
    same(found, [{ body: "b" }]);
    await fails(db.insert(notes).values({ id: 1, body: "twice" }), { code: "23505" });
  },
  async "drizzle-orm/neon-serverless (WebSocket)"({ url }) {
    const pool = new Pool({ connectionString: url });
    try {
      const db = drizzleServerless(pool);
      const rolledBack = db.transaction(async (tx) => {
        await tx.insert(notes).values({ body: "never" });
        throw new Error("no");
      });
      await fails(rolledBack, { message: "no" });
      await db.transaction(async (tx) => {
        await tx.insert(notes).values({ body: "kept", stars: 7 });
        await tx.transaction(async (nested) => nested.update(notes).set({ stars: 8 }).where(eq(notes.body, "kept")));
      });
      const rows = await db.select({ body: notes.body, stars: notes.stars }).from(notes).orderBy(notes.id);
      same(
        rows.filter((row) => row.stars === 8),
        [{ body: "kept", stars: 8 }],
      );
      same(
        rows.some((row) => row.body === "never"),
        false,
      );
    } finally {
      await pool.end();
    }
  },
  async "kysely with NeonDialect"({ url }) {
    const http = new Kysely({ dialect: new NeonDialect({ neon: neon(url) }) });
    await http.schema.dropTable("kysely_people").ifExists().execute();
    await http.schema
      .createTable("kysely_people")
      .addColumn("id", "serial", (column) => column.primaryKey())
      .addColumn("name", "text", (column) => column.notNull().unique())
      .execute();
    const ada = await http.insertInto("kysely_people").values({ name: "Ada" }).returningAll().executeTakeFirstOrThrow();
    same(ada, { id: 1, name: "Ada" });
    await fails(http.insertInto("kysely_people").values({ name: "Ada" }).execute(), { code: "23505" });
    const names = await http.selectFrom("kysely_people").select("name").orderBy("name").execute();
    same(names, [{ name: "Ada" }]);
  },
  async "kysely over Pool (WebSocket)"({ url }) {
    const sockets = new Kysely({ dialect: new PostgresDialect({ pool: new Pool({ connectionString: url }) }) });
    try {
      await sockets.transaction().execute(async (tx) => {
        await tx.insertInto("kysely_people").values({ name: "Grace" }).execute();
        await tx.updateTable("kysely_people").set({ name: "Lovelace" }).where("name", "=", "Ada").execute();
      });
      const updated = await sockets
        .updateTable("kysely_people")
        .set({ name: "x" })
        .where("id", "=", 99)
        .executeTakeFirst();
      same(Number(updated.numUpdatedRows), 0);
      const names = await sockets.selectFrom("kysely_people").select("name").orderBy("name").execute();
      same(names, [{ name: "Grace" }, { name: "Lovelace" }]);
    } finally {
      await sockets.destroy();
    }
  },
  async "@prisma/adapter-neon (WebSocket)"({ url, PrismaClient }) {
    await createItems(url);
    const prisma = new PrismaClient({ adapter: new PrismaNeon({ connectionString: url }) });
    try {
      const cup = await prisma.item.create({
        data: { name: "Cup", price: "12.50", tags: ["a,b", ""], meta: { k: [1] }, seen: 9007199254740993n },
      });
      same(
        [cup.id, cup.price.toFixed(2), cup.tags, cup.meta, cup.seen],
        [1, "12.50", ["a,b", ""], { k: [1] }, 9007199254740993n],
      );
      await fails(prisma.item.create({ data: { name: "Cup", price: 1 } }), { code: "P2002" });
      await prisma.$transaction(async (tx) => {
        await tx.item.create({ data: { name: "Plate", price: 3 } });
        await tx.item.update({ where: { name: "Cup" }, data: { seen: { increment: 1 } } });
      });
      await fails(
        prisma.$transaction([
          prisma.item.create({ data: { name: "Fork", price: 1 } }),
          prisma.item.create({ data: { name: "Plate", price: 1 } }),
        ]),
        { code: "P2002" },
      );
      const names = await prisma.item.findMany({ where: { tags: { isEmpty: true } }, select: { name: true } });
      same(names, [{ name: "Plate" }]);
      same(await prisma.$queryRaw`select count(*)::int as n from prisma_items where seen > ${9007199254740993n}`, [
        { n: 1 },
      ]);
    } finally {
      await prisma.$disconnect();
    }
  },
  async "@prisma/adapter-neon over HTTP"({ url, PrismaClient }) {
    await createItems(url);
    const prisma = new PrismaClient({ adapter: new PrismaNeonHttp(url, {}) });
    try {
      same(await prisma.item.count(), 0);
      const bowl = await prisma.item.create({
        data: { name: "Bowl", price: "7.25", tags: ["x"], meta: [null, { a: "ä" }] },
      });
      same(
        [bowl.price.toString(), bowl.tags, bowl.meta, bowl.at instanceof Date],
        ["7.25", ["x"], [null, { a: "ä" }], true],
      );
      // This adapter hands the error of the HTTP client on as it is.
      await fails(prisma.item.create({ data: { name: "Bowl", price: 1 } }), { code: "23505" });
      const found = await prisma.item.findFirst({ where: { price: { gt: "7" }, name: { contains: "owl" } } });
      same(found.name, "Bowl");
    } finally {
      await prisma.$disconnect();
    }
  },
};

/**
 * Runs all checks, one after another: `{passed: [name], failed: [{name, reason}], skipped: [{name, reason}]}`.
 *
 * @param webSocket the class of WebSockets, where there is no global one; null if the client has no use for them
 */
export async function run(endpoint, url, PrismaClient, webSocket) {
  configure(endpoint, webSocket ?? undefined);
  const report = { passed: [], failed: [], skipped: [] };
  for (const [name, check] of Object.entries(checks)) {
    if (webSocket === null && name.endsWith(WEBSOCKET)) {
      report.skipped.push({ name, reason: "onetrip/neon speaks HTTP only" });
      continue;
    }
    try {
      await check({ url, PrismaClient });
      report.passed.push(name);
    } catch (error) {
      report.failed.push({ name, reason: String(error?.stack ?? error) });
    }
  }
  return report;
}
