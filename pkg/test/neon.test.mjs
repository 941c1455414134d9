// `onetrip/neon` where it differs from `@neondatabase/serverless` on purpose; where it does not,
// tests/runtimes/neon/alike.mjs compares the two.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as module from "../dist/neon/index.js";

const { Client, NeonDbError, Pool, escapeIdentifier, escapeLiteral, neon, neonConfig, types } = module;
const URL_WITH_PASSWORD = "postgresql://role:hunter2@ep-one.region.example/app";

/** Answers every request with `body` and keeps the requests. */
function answering(t, body = { fields: [], rows: [], command: "SELECT", rowCount: 0 }) {
  const requests = [];
  neonConfig.fetchFunction = async (url, { headers, body: text }) => {
    requests.push({ url, headers, body: JSON.parse(text) });
    return Response.json(body);
  };
  t.after(() => (neonConfig.fetchFunction = undefined));
  return requests;
}

test("no error of neon() shows a connection string", async (t) => {
  answering(t);
  for (const text of ["hunter2", "postgresql://role:hunter2@", "postgresql://role:hunter2@[host]/app", "hunter2://x"]) {
    const error = await neon(text)`select 1`.then(assert.fail, (thrown) => thrown);
    assert.ok(error instanceof NeonDbError, text);
    assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes("hunter2"), error.message);
  }
});

test("a request names onetrip as its application, unless the connection string names another", async (t) => {
  const requests = answering(t);
  await neon(URL_WITH_PASSWORD)`select 1`;
  await neon(`${URL_WITH_PASSWORD}?application_name=mine`)`select 1`;
  assert.deepEqual(
    requests.map(({ headers }) => headers["Neon-Connection-String"]),
    [`${URL_WITH_PASSWORD}?application_name=onetrip`, `${URL_WITH_PASSWORD}?application_name=mine`],
  );
  assert.equal(requests[0].url, "https://api.region.example/sql");
});

test("an ArrayBuffer and bytes within an array are sent as bytea, which the original loses", async (t) => {
  const requests = answering(t);
  const bytes = Uint8Array.of(0, 255);
  await neon(URL_WITH_PASSWORD)`select ${bytes.buffer}, ${[bytes, bytes.buffer]}::bytea[]`;
  assert.deepEqual(requests[0].body, {
    query: "select $1::bytea, $2::bytea[]",
    params: ["\\x00ff", '{"\\\\x00ff","\\\\x00ff"}'],
  });
});

test("Pool and Client say that they need a WebSocket and what to do", () => {
  for (const Class of [Pool, Client]) {
    assert.throws(
      () => new Class({ connectionString: URL_WITH_PASSWORD }),
      (error) => error instanceof NeonDbError && error.message.startsWith(`${Class.name} needs a WebSocket`),
    );
  }
});

test("bytea has the methods that programs use where there is no Buffer", () => {
  const { Buffer } = globalThis;
  let bytes;
  globalThis.Buffer = undefined;
  try {
    bytes = types.getTypeParser(17)("\\x68c3a9ff");
  } finally {
    globalThis.Buffer = Buffer;
  }
  const expected = Buffer.from("68c3a9ff", "hex");
  assert.ok(bytes instanceof Uint8Array && !(bytes instanceof Buffer));
  for (const encoding of ["hex", "base64", "latin1", "binary", "utf8"])
    assert.equal(bytes.toString(encoding), expected.toString(encoding), encoding);
  assert.equal(JSON.stringify(bytes), JSON.stringify(expected));
  assert.deepEqual([...bytes.subarray(1)], [0xc3, 0xa9, 0xff]);
  assert.throws(() => bytes.toString("rot13"), TypeError);
});

test("names and literals are quoted, which the original declares and does not have", () => {
  assert.deepEqual(["a", 'a"b'].map(escapeIdentifier), ['"a"', '"a""b"']);
  assert.deepEqual(["a", "it's", "back\\slash'"].map(escapeLiteral), ["'a'", "'it''s'", " E'back\\\\slash'''"]);
});

test("a setting that is set to undefined has its default again", () => {
  const { fetchEndpoint } = neonConfig;
  neonConfig.fetchEndpoint = "https://other.example/sql";
  assert.equal(neonConfig.fetchEndpoint, "https://other.example/sql");
  neonConfig.fetchEndpoint = undefined;
  assert.equal(neonConfig.fetchEndpoint, fetchEndpoint);
});
