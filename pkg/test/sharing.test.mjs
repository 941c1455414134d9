// Queries of one tick in one request: what is shared, what is not, and that each has its own result.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  EndpointError,
  NetworkError,
  ProtocolError,
  RefusedError,
  SqlError,
  UsageError,
} from "../dist/node.js";
import * as encode from "./support/encode.mjs";
import { endpoint, problem } from "./support/endpoint.mjs";

const rowOf = (n) => encode.answer(1, [{ name: "n", oid: 23, kind: "int32", values: [n] }]);
const failed = (code, message) => encode.error({ V: "ERROR", C: code, M: message });

/** What PostgreSQL would answer to statements that are each a number, `fail` or `conflict`. */
function answerTo({ groups, ...single }) {
  return encode.concat(
    ...(groups ?? [single]).flatMap(({ sql, batch = [{ sql }] }) => {
      const parts = [];
      for (const { sql } of batch) {
        const n = Number(/\d+/.exec(sql)?.[0]);
        parts.push(Number.isNaN(n) ? failed(/conflict/.test(sql) ? "40001" : "22012", "failed") : rowOf(n));
        if (Number.isNaN(n)) break;
      }
      return [...parts, encode.ready()];
    }),
  );
}

const sharing = async (t, answer = ({ body }) => ({ body: answerTo(body) })) => {
  const { url, requests } = await endpoint(t, answer);
  return { sql: connect(url, { shareRequests: true }), url, requests };
};

test("queries and transactions of one tick are one request, each a group of its own", async (t) => {
  const { sql, requests } = await sharing(t);
  const results = await Promise.all([
    sql`select 1`,
    sql.transaction([sql`select 2`, sql`select 3`]),
    sql.query("select 4, $1", ["x"], { arrayRows: true, fullResults: true }),
    (async () => (await sql`select 5`)[0].n)(),
    sql.transaction([sql`select 6`], { readOnly: true }).catch((error) => error),
  ]);
  assert.deepStrictEqual(results[0], [{ n: 1 }]);
  assert.deepStrictEqual(results[1], [[{ n: 2 }], [{ n: 3 }]]);
  assert.deepStrictEqual(results[2].rows, [[4]]);
  assert.equal(results[3], 5);
  assert.equal(requests.length, 1);
  assert.deepEqual(requests[0].body, {
    groups: [
      {
        batch: [
          { sql: "select 2", params: [] },
          { sql: "select 3", params: [] },
        ],
      },
      { batch: [{ sql: "begin read only" }, { sql: "select 6", params: [] }, { sql: "commit" }] },
      { sql: "select 1", params: [] },
      { sql: "select 4, $1", params: ["x"] },
      { sql: "select 5", params: [] },
    ].sort((a, b) => order(requests[0].body, a) - order(requests[0].body, b)),
  });
});

/** Which comes first is no promise: transactions start when they are made, queries when they are awaited. */
const order = ({ groups }, wanted) => groups.findIndex((group) => JSON.stringify(group) === JSON.stringify(wanted));

test("a query alone is sent as ever, and what starts later is sent later", async (t) => {
  const { sql, requests } = await sharing(t);
  await sql`select 1`;
  await sql`select 2`;
  assert.deepEqual(
    requests.map(({ body }) => body.sql),
    ["select 1", "select 2"],
  );
});

test("without the option each query is a request of its own", async (t) => {
  const { url, requests } = await endpoint(t, ({ body }) => ({ body: answerTo(body) }));
  const sql = connect(url);
  await Promise.all([sql`select 1`, sql`select 2`, sql.query("select 3", [], { shareRequests: true })]);
  assert.deepEqual(requests.map(({ body }) => body.sql).sort(), ["select 1", "select 2", "select 3"]);
});

test("an error belongs to its query and leaves the others alone", async (t) => {
  const { sql, requests } = await sharing(t);
  const [one, broken, two, undecodable] = await Promise.allSettled([
    sql`select 1`,
    sql`select fail`,
    sql.transaction([sql`select 2`, sql`fail`, sql`select 3`]),
    sql`select ${undefined}`,
  ]);
  assert.deepStrictEqual(one.value, [{ n: 1 }]);
  assert.ok(broken.reason instanceof SqlError && broken.reason.sql === "select fail" && broken.reason.statement === 0);
  assert.ok(two.reason instanceof SqlError && two.reason.statement === 1 && two.reason.sql === "fail");
  assert.ok(undecodable.reason instanceof UsageError);
  assert.equal(requests.length, 1);
});

test("a value that does not fit its query's mapping fails that query, which took effect", async (t) => {
  const big = encode.response(1, [{ name: "n", oid: 20, kind: "text", values: ["9007199254740993"] }]);
  const { sql } = await sharing(t, () => ({
    body: encode.concat(rowOf(1), encode.ready(), big, rowOf(3), encode.ready()),
  }));
  const results = await Promise.allSettled([sql`a`, sql.query("b", [], { int8: "number" }), sql`c`]);
  assert.deepStrictEqual(results[0].value, [{ n: 1 }]);
  assert.ok(results[1].reason instanceof UsageError && results[1].reason.outcome === "executed");
  assert.deepStrictEqual(results[2].value, [{ n: 3 }]);
});

test("an answer that is cut short keeps what came and fails the rest honestly", async (t) => {
  const whole = encode.concat(rowOf(1), encode.ready(), rowOf(2), encode.ready(), rowOf(3), encode.ready());
  for (let length = 0; length < whole.length; length += 3) {
    const { sql } = await sharing(t, () => ({ body: whole.subarray(0, length) }));
    const results = await Promise.allSettled([sql`a`, sql`b`, sql`c`]);
    const complete = Math.floor((length * 3) / whole.length);
    for (const [index, { value, reason }] of results.entries()) {
      if (index < complete) assert.deepStrictEqual(value, [{ n: index + 1 }]);
      else assert.ok(reason instanceof ProtocolError && reason.outcome === "unknown", `${length}: ${index}`);
    }
  }
});

test("a connection that PostgreSQL ends gives its reason to the query that it met", async (t) => {
  const body = encode.concat(rowOf(1), encode.ready(), encode.error({ V: "FATAL", C: "57P01", M: "shut down" }));
  const { sql } = await sharing(t, () => ({ body }));
  const [one, two, three] = await Promise.allSettled([sql`a`, sql`b`, sql`c`]);
  assert.deepStrictEqual(one.value, [{ n: 1 }]);
  assert.deepEqual([two.reason.code, two.reason.outcome], ["57P01", "unknown"]);
  assert.ok(three.reason instanceof ProtocolError);
});

test("only what may be repeated is repeated, and together", async (t) => {
  let conflicts = 0;
  const { sql, requests } = await sharing(t, ({ body, number }) => {
    if (number === 1)
      return problem(503, { code: "pool_timeout", detail: "busy", retryable: true }, { "retry-after": "0" });
    conflicts++;
    return {
      body: conflicts < 3 ? answerTo(body) : answerTo(JSON.parse(JSON.stringify(body).replaceAll("conflict", "7"))),
    };
  });
  const results = await Promise.allSettled([
    sql`select 1`,
    sql`select conflict`,
    sql`call conflict()`,
    sql`update conflict`,
    sql`select fail`,
  ]);
  // The first attempt was refused as a whole, the second met conflicts: of these two may be repeated.
  assert.deepEqual(
    requests.map(({ body }) => (body.groups ?? [body]).map(({ sql }) => sql)),
    [
      ["select 1", "select conflict", "call conflict()", "update conflict", "select fail"],
      ["select 1", "select conflict", "call conflict()", "update conflict", "select fail"],
      ["select conflict", "update conflict"],
    ],
  );
  assert.deepStrictEqual(results[0].value, [{ n: 1 }]);
  for (const index of [1, 3]) assert.equal(results[index].reason.code, "40001");
  assert.deepEqual([results[2].reason.code, results[2].reason.outcome], ["40001", "unknown"]);
  assert.equal(results[4].reason.code, "22012");
});

test("a body that the endpoint refuses is sent in parts, so that one query's mistake is not the others'", async (t) => {
  const { sql, requests } = await sharing(t, ({ body }) =>
    JSON.stringify(body).includes("mistake") || body.groups?.length > 2
      ? problem(400, { code: "malformed_request", detail: "groups[1].sql holds a zero character", retryable: false })
      : { body: answerTo(body) },
  );
  const results = await Promise.allSettled([sql`select 1`, sql`mistake`, sql`select 2`]);
  assert.deepStrictEqual([results[0].value, results[2].value], [[{ n: 1 }], [{ n: 2 }]]);
  assert.ok(results[1].reason instanceof RefusedError);
  assert.equal(requests.length, 4);
});

test("queries with other signals, limits, headers or rules are not mixed", async (t) => {
  const { sql, requests } = await sharing(t);
  const { signal } = new AbortController();
  const others = [
    { signal },
    { signal: new AbortController().signal },
    { timeoutMs: 5000 },
    { headers: { "x-tenant": "a" } },
    { idempotent: true },
    { maxAttempts: 1 },
  ];
  await Promise.all([
    sql`select 0`,
    ...others.flatMap((options, index) => {
      const own = sql.with(options);
      return [own`select ${index}::int, 1`, own.query("select 2", [], { int8: "bigint" })];
    }),
    sql.query("select 3", [], { timestamps: "string", json: "text", numeric: "number" }),
  ]);
  const sizes = requests.map(({ body }) => body.groups?.length ?? 1);
  assert.deepEqual(sizes.sort(), [2, 2, 2, 2, 2, 2, 2]);
  assert.equal(requests.filter(({ headers }) => headers["x-tenant"] === "a").length, 1);
});

test("a request is bounded: many or large queries are several", async (t) => {
  const { sql, requests } = await sharing(t);
  const results = await Promise.all(Array.from({ length: 250 }, (_, index) => sql.query(`select ${index}`)));
  assert.deepStrictEqual(
    results.map(([{ n }]) => n),
    Array.from({ length: 250 }, (_, index) => index),
  );
  assert.deepEqual(requests.map(({ body }) => body.groups.length).sort(), [100, 100, 50]);
  requests.length = 0;
  await Promise.all([1, 2, 3].map((n) => sql`select ${n}::int, ${"x".repeat(200_000)}`));
  assert.equal(requests.length, 3);
});

test("an abort ends the shared request for all that gave the signal", async (t) => {
  const { sql } = await sharing(t, () => () => {});
  const controller = new AbortController();
  const own = sql.with({ signal: controller.signal });
  const queries = Promise.allSettled([own`select 1`, own`select 2`]);
  const reason = new Error("enough");
  setTimeout(() => controller.abort(reason), 30);
  for (const { reason: found } of await queries) assert.equal(found, reason);
  const limited = sql.with({ timeoutMs: 30 });
  for (const { reason: found } of await Promise.allSettled([limited`select 1`, limited`select 2`]))
    assert.ok(found instanceof NetworkError && found.timedOut && !(found instanceof EndpointError));
});

test("the stack of an error in a shared request points to its own call", async (t) => {
  const { sql } = await sharing(t);
  async function firstCaller() {
    return await sql`fail`;
  }
  async function secondCaller() {
    return await sql`fail`;
  }
  const [first, second] = await Promise.allSettled([firstCaller(), secondCaller()]);
  assert.match(first.reason.stack.split("\n")[1], /firstCaller/);
  assert.match(second.reason.stack.split("\n")[1], /secondCaller/);
});
