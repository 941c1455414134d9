// Answers that are handed on undecoded: what is asked for, what is given out, what is an error.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, NetworkError, ProtocolError, RefusedError, SqlError, UsageError } from "../dist/node.js";
import { endpoint, problem } from "./support/endpoint.mjs";

const json = (body, headers = {}) => ({ body, headers: { "content-type": "application/json", ...headers } });

test("response() asks for JSON in the form of the query and gives it as it came", async (t) => {
  const { url, requests } = await endpoint(t, () =>
    json('[{"n":1}]\n', { "server-timing": "execute;dur=1", "set-cookie": "a=b", "onetrip-request-id": "r" }),
  );
  const sql = connect(url, { int8: "bigint" });
  for (const [query, accept] of [
    [sql`select ${1} as n`, "application/json; result=rows"],
    [sql`select ${1} as n`.arrays(), "application/json; result=rows; rows=array"],
    [sql`select ${1} as n`.full(), "application/json"],
    [sql.query("select $1 as n", [1], { arrayRows: true, fullResults: true }), "application/json; rows=array"],
    [sql.with({ decode: "local", shareRequests: true })`select ${1} as n`, "application/json; result=rows"],
  ]) {
    const response = await query.response();
    assert.ok(response instanceof Response);
    assert.deepEqual([...response.headers], [["content-type", "application/json"]], "nothing of the endpoint's own");
    assert.equal(await response.text(), '[{"n":1}]\n');
    assert.equal(requests.at(-1).headers.accept, accept);
    assert.deepEqual(requests.at(-1).body, { sql: "select $1 as n", params: ["1"] });
  }
});

test("the body streams: the response is there before its end", async (t) => {
  let end;
  const { url } = await endpoint(t, () => (outgoing) => {
    outgoing.writeHead(200, { "content-type": "application/json" });
    outgoing.write('[{"n":1}');
    end = () => outgoing.end(",{}]");
  });
  const reader = (await connect(url)`select 1`.response()).body.getReader();
  assert.equal(Buffer.from((await reader.read()).value).toString(), '[{"n":1}');
  end();
  assert.equal(Buffer.from((await reader.read()).value).toString(), ",{}]");
});

test("an error that PostgreSQL gave in time rejects with every field", async (t) => {
  const error =
    '{"error":{"severity":"ERROR","code":"23505","message":"duplicate","data_type":"d","internal_query":"q","position":8,"statement":0}}\n';
  let body = error;
  const { url } = await endpoint(t, () => json(body, { "onetrip-sqlstate": "23505", "onetrip-request-id": "r7" }));
  const sql = connect(url);
  for (body of [error, `[{"j":{"error":\n1}}\n${error}`, `[]\n${error}`, `{"fields":[],"rows":[],${error.slice(1)}`]) {
    const query = body.startsWith('{"f') ? sql`insert`.full() : sql`insert`;
    const found = await query.response().catch((error) => error);
    assert.ok(found instanceof SqlError);
    const { message, code, dataType, internalQuery, position, statement, outcome, requestId } = found;
    assert.deepEqual(
      [message, code, dataType, internalQuery, position, statement, outcome, requestId, found.sql],
      ["duplicate", "23505", "d", "q", 8, 0, "notExecuted", "r7", "insert"],
    );
  }
});

test("an error that is none is a ProtocolError", async (t) => {
  let body;
  const { url } = await endpoint(t, () => json(body, { "onetrip-sqlstate": "23505" }));
  const sql = connect(url);
  for (body of ["", '{"error":', '[]\n{"error', "{}\n", "null\n"])
    await assert.rejects(
      sql`insert`.response(),
      (error) => error instanceof ProtocolError && error.outcome === "unknown",
      body,
    );
});

test("what is no result rejects as a query does", async (t) => {
  const answers = [
    [problem(401, { code: "invalid_credentials", retryable: false }), RefusedError],
    [problem(406, { code: "not_acceptable", retryable: false }), RefusedError],
    [{ headers: { "content-type": "text/html" }, body: "<p>" }, ProtocolError],
    [(outgoing) => outgoing.destroy(), NetworkError],
  ];
  const { url, requests } = await endpoint(t, ({ number }) => answers[number - 1][0]);
  const sql = connect(url);
  async function handler() {
    return await sql`select 1`.response();
  }
  for (const [, type] of answers) {
    const error = await handler().catch((error) => error);
    assert.ok(error instanceof type, error.stack);
    assert.match(error.stack.split("\n")[1], /handler/);
  }
  assert.equal(requests.length, answers.length);
});

test("what the endpoint refused without executing it is asked for again", async (t) => {
  const busy = problem(503, { code: "pool_timeout", retryable: true }, { "retry-after": "0" });
  const { url, requests } = await endpoint(t, ({ number }) => (number === 1 ? busy : json("[]\n")));
  assert.deepEqual(await (await connect(url)`select 1`.response()).json(), []);
  assert.equal(requests.length, 2);
});

test("a query is sent once: awaited or handed on", async (t) => {
  const { url, requests } = await endpoint(t, () => json("[]\n"));
  const sql = connect(url);
  const query = sql`select 1`;
  await query.response();
  await assert.rejects(async () => await query, UsageError);
  assert.throws(() => query.response(), UsageError);
  assert.throws(() => sql.transaction([query]), UsageError);
  for (const formed of [sql`select 1`.one(), sql`select 1`.value(), sql`select 1`.column()])
    await assert.rejects(formed.response(), UsageError);
  assert.equal(requests.length, 1);
});
