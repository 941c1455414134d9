// The direct way of a query alone: the same request as by the general one, and the same result or error.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DirectSender } from "../dist/direct.js";
import { connectIn } from "../dist/connect.js";
import { loadFrom } from "../dist/load.js";
import { SqlError, connect as connectDirectly } from "../dist/node.js";
import * as encode from "./support/encode.mjs";
import { BLOCKS, problem } from "./support/endpoint.mjs";

const url = "https://role:hunter2@endpoint.example/app";
// As the entry for Node has it, without its sender.
const connectGenerally = connectIn({
  strings: "utf16",
  loadWasm: loadFrom(async () => (await import("../dist/wasm/inline.js")).bytes()),
});
const row = encode.response(1, [{ name: "v", oid: 23, kind: "int32", values: [1] }]);
const answer = (body = row, status = 200, type = BLOCKS) =>
  new Response(body, { status, headers: { "content-type": type } });

/** What is sent for what `run` does with `sql`, and what comes of it. */
async function observed(connect, run, options, respond = () => answer()) {
  const sent = [];
  const fetch = async (to, init) => {
    sent.push([to, Object.entries(init), Object.entries(init.headers)]);
    return respond(sent.length);
  };
  const result = await run(connect(url, { ...options, fetch })).then(
    (value) => ({ value }),
    // All that an error holds, but for where it was made.
    (error) => ({ ...error, name: error.name, message: error.message, kind: error.constructor, cause: undefined }),
  );
  return { sent, result };
}

const bodyOf = ([, init]) => JSON.parse(Object.fromEntries(init).body);

async function same(run, options, respond) {
  const direct = await observed(connectDirectly, run, options, respond);
  assert.deepEqual(direct, await observed(connectGenerally, run, options, respond));
  return direct;
}

test("requests are those of the general way, to the byte", async () => {
  const long = `select ${"1 + ".repeat(5000)}1`;
  const pieces = Object.assign(["select ", " as v"], { raw: [] });
  const runs = [
    (sql) => sql.query("select 1 as v"),
    (sql) => sql.query("select $1 as v, $2, $3, $4", ["a", 1, null, true]),
    (sql) => sql.query("select $1 as v, $2, $3, $4", ['quoted " and \\', "é\n", -0, NaN]),
    (sql) => sql.query("select $1 as v, $2, $3", [5n, new Date(0), Uint8Array.of(1, 2)]),
    (sql) => sql.query("select $1 as v, $2", [[1, [null, "x"]], { a: 1 }]),
    (sql) => sql.query("", []),
    (sql) => sql.query('select "a\\b" as v'),
    (sql) => sql.query(long, [1]),
    (sql) => sql`select 1 as v`,
    (sql) => sql`select ${1} as v, ${"b"}, ${null}, ${false}, ${-0}, ${Infinity}`,
    (sql) => sql`select ${sql.typed(1, "int8")} as v, ${sql.typed("x", 25)}`,
    (sql) => sql`select * from ${sql.identifier("t")} where ${sql`a = ${1}`} and b = ${2}`,
    (sql) => sql`select ${[1, 2, 3]} as v, ${sql.json({ a: 1 })}`,
    (sql) => sql`select 1 as v where 1 in (${sql.list([])})`,
    (sql) => sql(pieces, 1),
    (sql) => sql`select ${undefined} as v`,
    (sql) => sql.query("select $1 as v", [Symbol("s")]),
    (sql) => sql.query("select $1 as v", new Array(70_000).fill(1)),
    (sql) => sql.query("select 1 as v", new Array(2000).fill("x")),
    (sql) => sql`select ${1} as v`.one(),
    (sql) => sql`select ${1} as v`.maybeOne(),
    (sql) => sql`select ${1} as v`.value(),
    (sql) => sql`select ${1} as v`.column(),
    (sql) => sql`select ${1} as v`.arrays(),
    (sql) => sql`select ${1} as v`.full(),
    (sql) => sql.query("select $1 as v", [1], { headers: { "X-Trace": "1" }, int8: "bigint" }),
    (sql) => sql.query("select $1 as v", [1], { fullResults: true }),
    (sql) => sql.with({ json: "text", timestamps: "string" })`select ${1} as v`,
  ];
  let requests = 0;
  // Twice, and each behind each other: some of it is remembered.
  for (const run of [...runs, ...runs, ...runs.toReversed()]) requests += (await same(run, {})).sent.length;
  assert.ok(requests > 2 * runs.length);
  // The same pieces with other text, which only a compiler's template can have.
  pieces[0] = "select 2 + ";
  const { sent } = await same((sql) => sql(pieces, 1));
  assert.equal(bodyOf(sent[0]).sql, "select 2 + $1 as v");
  // Values that are too few or too many for their pieces, as a wrapper of `sql` could give them.
  const frozen = Object.freeze(Object.assign(["select ", ", ", " as v"], { raw: [] }));
  for (const values of [[1, 2], [1], [1, 2, 3], []]) await same((sql) => sql(frozen, ...values), {});
});

test("a parameter is what it was when it was looked at", async () => {
  const changing = () => {
    let reads = 0;
    const later = { toString: () => 'x"],"types":["' };
    return Object.defineProperty(["", "b"], 0, { get: () => (reads++ === 0 ? "s" : later) });
  };
  const { sent } = await same((sql) => sql.query("select $1 as v, $2", changing()), {});
  assert.deepEqual(bodyOf(sent[0]), { sql: "select $1 as v, $2", params: ["s", "b"] });
});

test("an error's stack names the same place", async () => {
  const failed = encode.concat(encode.error({ V: "ERROR", C: "42601", M: "syntax error" }), encode.ready());
  const ours = ({ stack }) => stack.split("\n").filter((line) => line.includes("direct.test.mjs"));
  for (const respond of [() => answer(failed), () => Promise.reject(refusedConnection()), () => answer(row)]) {
    const stacks = [];
    for (const connect of [connectDirectly, connectGenerally]) {
      const sql = connect(url, { maxAttempts: 2, fetch: async () => respond() });
      async function inTheUsersCode() {
        await sql`select ${1} as v`;
        await sql`select ${undefined}`;
      }
      stacks.push(ours(await inTheUsersCode().catch((error) => error)));
    }
    assert.ok(stacks[0].length > 0);
    assert.deepEqual(stacks[0], stacks[1]);
  }
});

test("more statements than are remembered are sent as they are", async () => {
  const sent = [];
  const fetch = async (_url, { body }) => {
    sent.push(JSON.parse(body).sql);
    return answer();
  };
  const sql = connectDirectly(url, { fetch });
  const texts = Array.from({ length: 450 }, (_, index) => `select ${index % 300} as v`);
  for (const text of texts) await sql.query(text);
  assert.deepEqual(sent, texts);
});

test("headers are the request's own, whatever a fetch does to them", async () => {
  const seen = [];
  const fetch = async (_url, { headers }) => {
    seen.push({ ...headers });
    headers.authorization = "changed";
    delete headers.accept;
    return answer();
  };
  const sql = connectDirectly(url, { fetch });
  for (let count = 0; count < 3; count++) await sql`select 1 as v`;
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
});

test("results and errors are those of the general way, by as many requests", async () => {
  const failed = encode.concat(
    encode.error({ S: "ERROR", V: "ERROR", C: "22012", M: "division by zero" }),
    encode.ready(),
  );
  const refused = problem(403, { code: "forbidden", detail: "No." });
  const answers = [
    () => answer(encode.response(0, [{ name: "v", oid: 23, kind: "int32", values: [] }])),
    () => answer(encode.response(2, [{ name: "v", oid: 23, kind: "int32", values: [1, 2] }])),
    () =>
      answer(
        encode.response(1, [
          { name: "v", oid: 23, kind: "int32", values: [1] },
          { name: "v", oid: 23, kind: "int32", values: [2] },
        ]),
      ),
    () => answer(encode.response(1, [{ name: "__proto__", oid: 23, kind: "int32", values: [1] }])),
    () => answer(failed),
    () => answer(row.subarray(0, row.length - 3)),
    () => answer(encode.concat(row, row)),
    () => answer(new Uint8Array(0)),
    () => answer("<html>", 200, "text/html"),
    () => answer("<html>", 502, "text/html"),
    () => answer(refused.body, 403, "application/problem+json"),
    () => answer(null, 302),
    () => answer(encode.concat(encode.complete("INSERT 0 1"), encode.ready())),
    () => answer(encode.concat(encode.complete("INSERT 0 1"), encode.ready("T"))),
    () => undefined,
    () => ({ status: 200, headers: new Headers({ "content-type": BLOCKS }), arrayBuffer: async () => undefined }),
    () => {
      throw new TypeError("fetch failed");
    },
    () => ({ status: 200, headers: new Headers(), arrayBuffer: () => Promise.reject(new TypeError("terminated")) }),
    () => ({ status: 200, headers: new Headers({ "content-type": BLOCKS }), arrayBuffer: async () => row }),
  ];
  const forms = [(query) => query, (query) => query.one(), (query) => query.value(), (query) => query.arrays()];
  for (const respond of answers)
    for (const form of forms)
      for (const options of [{ maxAttempts: 1 }, { maxAttempts: 1, decoders: { 23: (text) => `<${text}>` } }])
        assert.equal(
          (await same((sql) => form(sql`select ${1} as v`).then((value) => value), options, respond)).sent.length,
          1,
        );
});

test("what is sent again is what was sent, whatever became of its parameters", async () => {
  const unavailable = problem(
    503,
    { code: "shutting_down", detail: "Again.", retryable: true },
    { "retry-after": "0" },
  );
  for (const connect of [connectDirectly, connectGenerally]) {
    for (const first of [
      () => answer(unavailable.body, 503, "application/problem+json"),
      () => Promise.reject(refusedConnection()),
    ]) {
      const bodies = [];
      const fetch = async (_url, { body, headers }) => {
        bodies.push([body, { ...headers }]);
        headers.authorization = "changed";
        return bodies.length < 3 ? first() : answer();
      };
      const sql = connect(url, { fetch });
      const params = ["1", 2];
      const query = sql.query("insert into t values ($1, $2) returning v", params).then((rows) => rows);
      params[0] = undefined;
      assert.deepEqual(await query, [{ v: 1 }]);
      assert.equal(bodies.length, 3);
      assert.deepEqual(bodies, [bodies[0], bodies[0], bodies[0]]);
      assert.deepEqual(JSON.parse(bodies[0][0]).params, ["1", "2"]);
    }
  }
});

test("what was executed is not called unexecuted because its parameters have changed since", async () => {
  const two = encode.response(2, [{ name: "v", oid: 23, kind: "int32", values: [1, 2] }]);
  const done = encode.concat(encode.complete("INSERT 0 1"), encode.ready());
  for (const [body, expected] of [
    [two, [{ v: 1 }, { v: 2 }]],
    [done, []],
  ]) {
    const params = ["1"];
    const query = connectDirectly(url, { fetch: async () => answer(body) })
      .query("…", params)
      .then((rows) => rows);
    params[0] = undefined;
    assert.deepEqual(await query, expected);
  }
});

function refusedConnection() {
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" });
  return new TypeError("fetch failed", { cause });
}

test("an encoder is called once, whether the query gives rows or fails", async () => {
  class Money {}
  let encoded = 0;
  const encoders = [[Money, () => String(++encoded)]];
  const error = encode.concat(encode.error({ V: "ERROR", C: "23505", M: "duplicate key" }), encode.ready());
  let body = row;
  const sql = connectDirectly(url, { encoders, fetch: async () => answer(body) });
  await sql`select ${new Money()} as v`;
  assert.equal(encoded, 1);
  body = error;
  await assert.rejects(Promise.resolve(sql`select ${new Money()} as v`), SqlError);
  assert.equal(encoded, 2);
});

test("each runtime asks for text as it reads it fastest", async () => {
  for (const [entry, strings] of [
    ["node", "utf16"],
    ["bun", "utf16-joined"],
    ["deno", "utf16"],
    ["index", "utf8"],
  ]) {
    const { connect } = await import(`../dist/${entry}.js`);
    let accept;
    const fetch = async (_url, { headers }) => {
      accept = headers.accept;
      return answer();
    };
    await connect({ url, fetch })`select 1 as v`;
    assert.ok(accept.startsWith(`application/vnd.onetrip.blocks; strings=${strings},`), accept);
  }
  for (const entry of ["workerd", "edge-light"])
    assert.match(readFileSync(new URL(`../dist/${entry}.js`, import.meta.url), "utf8"), /strings:"utf16",/);
});

test("Node, Deno and Bun send queries directly, and only they", async () => {
  const { one } = DirectSender.prototype;
  let direct = 0;
  DirectSender.prototype.one = function (query) {
    direct++;
    return one.call(this, query);
  };
  try {
    const fetch = async () => answer();
    for (const [entry, expected] of [
      ["node", 1],
      ["bun", 1],
      ["deno", 1],
      ["index", 0],
      ["slim", 0],
    ]) {
      const { connect } = await import(`../dist/${entry}.js`);
      direct = 0;
      await connect({ url, fetch })`select 1 as v`;
      assert.equal(direct, expected, entry);
    }
  } finally {
    DirectSender.prototype.one = one;
  }
  // These import WebAssembly, which Node does not take.
  for (const entry of ["workerd", "edge-light"])
    assert.ok(!readFileSync(new URL(`../dist/${entry}.js`, import.meta.url), "utf8").includes("direct"), entry);
});
