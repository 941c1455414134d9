// `connect` of `onetrip/neon`: what is sent where, and what becomes of answers, recorded ones of a real server among them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  EndpointError,
  NetworkError,
  ProtocolError,
  RefusedError,
  SqlError,
  UsageError,
  connect,
} from "../dist/neon/index.js";

const CONNECTION_STRING = "postgresql://role:hunter2@db.example/app";
const EMPTY = { fields: [], rows: [], command: "SELECT", rowCount: 0 };

/** `sql` whose requests get `answers`, one after another and the last for ever; and the requests. */
function answered(answers, options) {
  const requests = [];
  const fetch = async (url, { headers, body }) => {
    requests.push({ url, headers, body: JSON.parse(body) });
    return answers[Math.min(requests.length, answers.length) - 1]();
  };
  return { sql: connect(CONNECTION_STRING, { fetch, ...options }), requests };
}

const json =
  (body, init = {}) =>
  () =>
    Response.json(body, init);

const failure = (query) =>
  query.then(
    () => assert.fail("it succeeded"),
    (error) => error,
  );

test("requests go where each service has its endpoint", async () => {
  for (const [host, endpoint, expected] of [
    ["ep-one.us-east-2.aws.neon.tech", undefined, "https://api.us-east-2.aws.neon.tech/sql"],
    ["ep-one-pooler.us-east-2.aws.neon.tech:5432", undefined, "https://api.us-east-2.aws.neon.tech/sql"],
    ["abc.us-east-1.xata.tech", undefined, "https://api.us-east-1.xata.tech/sql"],
    ["abc.pg.psdb.cloud", undefined, "https://abc.pg.psdb.cloud/sql"],
    ["notneon.tech", undefined, "https://notneon.tech/sql"],
    ["db.example:6432", undefined, "https://db.example/sql"],
    ["db.example", "http://127.0.0.1:4444/sql", "http://127.0.0.1:4444/sql"],
    ["db.example", (name) => `https://sql.${name}/query`, "https://sql.db.example/query"],
  ]) {
    const urls = [];
    const fetch = async (url) => (urls.push(url), Response.json(EMPTY));
    await connect(`postgresql://role:hunter2@${host}/app?sslmode=require`, { endpoint, fetch })`select 1`;
    assert.deepEqual(urls, [expected]);
  }
});

test("a request is what the protocol says, alone and in a transaction", async () => {
  const { sql, requests } = answered([json(EMPTY), json({ results: [EMPTY, EMPTY] })], {
    headers: { "X-Proxy": "yes" },
  });
  await sql`select ${[1, null]}::int4[], ${null}`;
  await sql.transaction([sql`select 1`, sql.query("select $1", ["a"])]);
  const [{ headers, body }, { body: batch }] = requests;
  assert.deepEqual(headers, {
    "content-type": "application/json",
    "neon-connection-string": `${CONNECTION_STRING}?application_name=onetrip`,
    "neon-raw-text-output": "true",
    "neon-array-mode": "true",
    "x-proxy": "yes",
  });
  assert.deepEqual(body, { query: "select $1::int4[], $2", params: ["{1,NULL}", null] });
  assert.deepEqual(batch, {
    queries: [
      { query: "select 1", params: [] },
      { query: "select $1", params: ["a"] },
    ],
  });
});

test("a transaction's mode travels as headers, with one statement, too", async () => {
  const { sql, requests } = answered([json({ results: [EMPTY] })]);
  await sql.transaction([sql`select 1`], { isolationLevel: "repeatable read", readOnly: true, deferrable: false });
  await sql.transaction([sql`select 1`], { isolationLevel: "serializable" });
  const modes = requests.map(({ headers }) =>
    Object.entries(headers).filter(([name]) => name.startsWith("neon-batch")),
  );
  assert.deepEqual(modes, [
    [
      ["neon-batch-isolation-level", "RepeatableRead"],
      ["neon-batch-read-only", "true"],
      ["neon-batch-deferrable", "false"],
    ],
    [["neon-batch-isolation-level", "Serializable"]],
  ]);
  assert.deepEqual(requests[0].body, { queries: [{ query: "select 1", params: [] }] });
});

test("a value that the chosen type cannot hold is an error after the statement was executed", async () => {
  const body = { ...EMPTY, fields: [{ name: "big", dataTypeID: 20 }], rows: [["9007199254740993"]] };
  const error = await failure(answered([json(body)], { int8: "number" }).sql`select 1`);
  assert.ok(error instanceof UsageError);
  assert.equal(error.outcome, "executed");
});

test("role, password and application name are put into the connection string as they belong there", async () => {
  for (const [given, options, expected] of [
    [
      "postgres://db.example/app",
      { role: "a role", password: "p@ss/%" },
      "postgresql://a%20role:p%40ss%2F%25@db.example/app?application_name=onetrip",
    ],
    [new URL(`${CONNECTION_STRING}?application_name=mine`), {}, `${CONNECTION_STRING}?application_name=mine`],
    ["postgresql://role@db.example/app", {}, "postgresql://role@db.example/app?application_name=onetrip"],
  ]) {
    const { requests } = await (async () => {
      const requests = [];
      const fetch = async (_, { headers }) => (requests.push(headers), Response.json(EMPTY));
      await connect(given, { ...options, fetch })`select 1`;
      return { requests };
    })();
    assert.equal(requests[0]["neon-connection-string"], expected);
  }
});

test("a connection string that cannot work is an error that says so without repeating it", () => {
  for (const [given, options] of [
    [undefined],
    [""],
    ["hunter2"],
    ["https://role:hunter2@db.example/app"],
    ["mysql://role:hunter2@db.example/app"],
    ["postgresql://role:hunter2@db example/app"],
    ["postgresql://:hunter2@db.example/app"],
    ["postgresql://role:hunter2@db.example"],
    [CONNECTION_STRING, { endpoint: "db.example/sql" }],
    [CONNECTION_STRING, { endpoint: () => 5 }],
    [CONNECTION_STRING, { endpoint: "https://role:hunter2@db.example/sql" }],
    [CONNECTION_STRING, { fetch: 5 }],
    [CONNECTION_STRING, { int9: "string" }],
  ]) {
    assert.throws(
      () => connect(given, options),
      (error) => error instanceof UsageError && !`${error.stack}${error.cause}`.includes("hunter2"),
      String(given),
    );
  }
});

const recorded = JSON.parse(readFileSync(new URL("../../tests/vectors/neon.json", import.meta.url), "utf8")).answers;

for (const { name, batch, status, body } of recorded) {
  test(`recorded answer ${name}: it is read as it was meant`, async () => {
    const { sql } = answered([json(body, { status })], { maxAttempts: 1 });
    const statements = Array.from({ length: Math.max(batch, 1) }, () =>
      sql.query("select 1", [], { arrayRows: true, fullResults: true }),
    );
    const run = batch === 0 ? statements[0].then((result) => [result]) : sql.transaction(statements);
    if (status !== 200) {
      const error = await failure(run);
      if (body.code === "" || body.code === "3D000") {
        assert.ok(error instanceof EndpointError);
        assert.equal(error.status, status);
        assert.ok(error.message.endsWith(body.message));
        return;
      }
      assert.ok(error instanceof SqlError);
      // One statement of one is known; of a batch only an onetrip endpoint says which it was.
      assert.equal(error.statement, batch > 1 ? undefined : 0);
      for (const [member, value] of Object.entries(body)) {
        const expected = value === null ? undefined : /position|line/i.test(member) ? Number(value) : value;
        assert.equal(error[member], expected, member);
      }
      return;
    }
    const results = await run;
    const outputs = batch === 0 ? [body] : body.results;
    assert.equal(results.length, outputs.length);
    results.forEach(({ rows, fields, command, rowCount }, index) => {
      const output = outputs[index];
      assert.deepEqual([command, rowCount], [output.command, output.rowCount]);
      assert.deepEqual(
        fields.map(({ name, typeOid, typeSize, typeModifier, tableOid, columnNumber }) => [
          name,
          typeOid,
          typeSize,
          typeModifier,
          tableOid,
          columnNumber,
        ]),
        output.fields.map((field) => [
          field.name,
          field.dataTypeID,
          field.dataTypeSize,
          field.dataTypeModifier,
          field.tableID,
          field.columnID,
        ]),
      );
      assert.equal(rows.length, output.rows.length);
    });
  });
}

test("recorded values are exact", async () => {
  const rowsOf = async (name) => {
    const { body } = recorded.find((one) => one.name === name);
    return answered([json(body)]).sql.query("select 1", [], { arrayRows: true });
  };
  assert.deepEqual(await rowsOf("fields_metadata"), [[1, "a", "1.50", ["x", "y"], 2]]);
  const [[bytes]] = await rowsOf("raw_bytea");
  assert.ok(bytes instanceof Uint8Array);
  const [[moment]] = await rowsOf("raw_timestamptz_utc_session");
  assert.ok(moment instanceof Date && !Number.isNaN(moment.getTime()));
});

test("columns of one name, and names that objects have themselves, are kept", async () => {
  const field = (name) => ({ name, dataTypeID: 23 });
  const body = { ...EMPTY, fields: ["a", "a", "__proto__", "constructor"].map(field), rows: [["1", "2", "3", null]] };
  const { sql } = answered([json(body)]);
  assert.deepEqual(await sql.query("select", [], { arrayRows: true }), [[1, 2, 3, null]]);
  const error = await failure(sql`select`);
  assert.ok(error instanceof UsageError && error.outcome === "executed" && error.message.includes('"a"'));
  const [row] = await sql.with({ duplicateColumns: "last" })`select`;
  assert.deepEqual(Object.entries(row), [
    ["a", 2],
    ["__proto__", 3],
    ["constructor", null],
  ]);
});

test("decoders of the user's own read values and elements of arrays", async () => {
  const body = { ...EMPTY, fields: [f("a", 1700), f("b", 1231), f("c", 23)], rows: [["1.50", "{2.5,NULL}", "7"]] };
  const { sql } = answered([json(body)], { decoders: { 1700: (text) => `<${text}>`, 23: (text) => BigInt(text) } });
  assert.deepEqual(await sql`select`, [{ a: "<1.50>", b: ["<2.5>", null], c: 7n }]);
});

function f(name, dataTypeID) {
  return { name, dataTypeID };
}

test("an answer that is none is an error that says so", async () => {
  const field = { name: "a", dataTypeID: 23 };
  for (const [answer, check] of [
    [() => new Response("<html>", { headers: { "content-type": "text/html" } }), /text\/html instead of rows/],
    [
      () => new Response('{"fields":[', { headers: { "content-type": "application/json" } }),
      /cut short after 11 characters/,
    ],
    [
      () => new Response(Uint8Array.of(0x22, 0xff, 0x22), { headers: { "content-type": "application/json" } }),
      /not UTF-8/,
    ],
    [json({}), /no result of 1 statements/],
    [json(null), /no result/],
    [json({ results: [EMPTY, EMPTY] }), /no result/],
    [json({ fields: [field], rows: [["1", "2"]] }), /no result/],
    [json({ fields: [field], rows: [[1]] }), /no result/],
    [json({ fields: [field], rows: ["1"] }), /no result/],
    [json({ fields: [{ name: "a" }], rows: [] }), /no result/],
    [json({ fields: [field], rows: [["one"]] }), /corrupt: the column "a" should hold numbers/],
  ]) {
    const error = await failure(answered([answer], { maxAttempts: 1 }).sql`select 1`);
    assert.ok(error instanceof ProtocolError, error.message);
    assert.match(error.message, check);
  }
});

test("a refusal is an EndpointError with the code that an onetrip endpoint would give", async () => {
  for (const [body, status, code, retryable] of [
    [{ message: "no", code: "28P01", severity: "FATAL" }, 400, "invalid_credentials", false],
    [{ message: "no", code: "3D000", severity: "FATAL" }, 400, "unknown_database", false],
    [{ message: "no", code: "53300", severity: "FATAL" }, 400, "too_many_requests", true],
    [{ message: "no", code: "" }, 429, "too_many_requests", true],
    [{ message: "no", code: null }, 413, "request_too_large", false],
    [{ message: "no" }, 400, "malformed_request", false],
    [{ message: "no" }, 500, "connection_lost", false],
    ["text", 502, undefined, false],
  ]) {
    const answer = typeof body === "string" ? () => new Response(body, { status }) : json(body, { status });
    const error = await failure(answered([answer], { maxAttempts: 1 }).sql`select 1`);
    assert.ok(error instanceof EndpointError, error.message);
    assert.deepEqual([error.status, error.code, error.retryable], [status, code, retryable]);
    const isRefused = status < 500 && code !== "malformed_request";
    assert.equal(error instanceof RefusedError, isRefused);
    assert.equal(error.outcome, isRefused ? "notExecuted" : "unknown");
  }
});

test("a connection that PostgreSQL ended is its error, and nobody knows what it had done by then", async () => {
  const { sql, requests } = answered([json({ message: "gone", code: "57P01", severity: "FATAL" }, { status: 400 })]);
  const error = await failure(sql`insert into t values (1)`);
  assert.ok(error instanceof SqlError);
  assert.deepEqual([error.code, error.severity, error.outcome, requests.length], ["57P01", "FATAL", "unknown", 1]);
});

test("a statement may raise the SQLSTATEs of refused logins", async () => {
  const { sql } = answered([json({ message: "raised", code: "28000", severity: "ERROR" }, { status: 400 })]);
  const error = await failure(sql`select 1`);
  assert.ok(error instanceof SqlError);
  assert.deepEqual([error.code, error.statement], ["28000", 0]);
});

test("what was surely not executed is sent again, and nothing else", async () => {
  const tooMany = json({ message: "slow down", code: "" }, { status: 429, headers: { "retry-after": "0" } });
  const one = json({ ...EMPTY, fields: [{ name: "one", dataTypeID: 23 }], rows: [["1"]] });
  const again = answered([tooMany, tooMany, one]);
  assert.deepEqual(await again.sql`insert into t values (1) returning 1 as one`, [{ one: 1 }]);
  assert.equal(again.requests.length, 3);

  const lost = answered([() => new Response("bad gateway", { status: 502 }), one]);
  assert.ok((await failure(lost.sql`insert into t values (1)`)) instanceof EndpointError);
  assert.equal(lost.requests.length, 1);

  const idempotent = answered([() => new Response("bad gateway", { status: 502 }), one], { idempotent: true });
  assert.deepEqual(await idempotent.sql`select 1 as one`, [{ one: 1 }]);
});

test("the index of the failing statement is what an onetrip endpoint says it is", async () => {
  const body = { message: "division by zero", code: "22012", severity: "ERROR" };
  const { sql } = answered([json(body, { status: 400, headers: { "onetrip-statement": "1" } })]);
  const error = await failure(sql.transaction([sql`select 1`, sql`select 1/0`]));
  assert.deepEqual([error.statement, error.sql, error.code], [1, "select 1/0", "22012"]);
});

test("no answer is a NetworkError without credentials", async () => {
  const { sql } = answered([
    () => {
      throw new TypeError("fetch failed");
    },
  ]);
  const error = await failure(sql`select 1`);
  assert.ok(error instanceof NetworkError);
  assert.equal(error.url, "https://db.example/sql");
  assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes("hunter2"));
});

test("decoders read a column, and a declared type that cannot be sent is refused", async () => {
  const body = { ...EMPTY, fields: [{ name: "a", dataTypeID: 1231 }], rows: [["{1.5,NULL}"]] };
  const { sql, requests } = answered([json(body)], { decoders: { 1700: Number } });
  assert.deepEqual(await sql`select ${sql.typed("x", "text")}`, [{ a: [1.5, null] }]);
  assert.equal(requests[0].body.query, 'select $1::"text"');
  assert.ok((await failure(sql`select ${sql.typed(1, 23)}`)) instanceof UsageError);
});

test('decode: "local" is refused: there are no frames to decode', async () => {
  const error = await failure(answered([json(EMPTY)], { decode: "local" }).sql`select 1`);
  assert.ok(error instanceof UsageError);
});
