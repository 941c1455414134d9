// What can go wrong on the way: each failure a clear error without credentials, and the next query works.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { inspect } from "node:util";
import { test } from "node:test";
import {
  connect,
  EndpointError,
  NetworkError,
  OnetripError,
  ProtocolError,
  RefusedError,
  SqlError,
  UnreachableError,
  UsageError,
} from "../dist/node.js";
import { isUndone, outcomeOfFailed } from "../dist/statement.js";
import { connect as slimConnect } from "../dist/slim.js";
import * as encode from "./support/encode.mjs";
import { BLOCKS, FRAMES, endpoint, problem } from "./support/endpoint.mjs";

const one = encode.response(1, [{ name: "one", oid: 23, kind: "int32", values: [1] }]);

function clean(error) {
  const shown = `${error.stack}\n${inspect(error, { depth: 10 })}\n${JSON.stringify(error)}`;
  assert.ok(!shown.includes("hunter2"), shown);
  assert.ok(!shown.includes(Buffer.from("role:hunter2").toString("base64")), shown);
  return true;
}

test("a wrong URL is refused at once, with the right form and without the password", () => {
  const rows = [
    ["postgresql://role:hunter2@db.example:5432/app", "PostgreSQL's own protocol"],
    ["postgres://role:hunter2@db.example/app", "PostgreSQL's own protocol"],
    ["role:hunter2@endpoint.example/app", "https://"],
    ["endpoint.example", "cannot be parsed"],
    ["", "cannot be parsed"],
    ["ftp://role:hunter2@endpoint.example/app", "https://"],
    ["https://role:hunter2@endpoint.example", "no database"],
    ["https://role:hunter2@endpoint.example/", "no database"],
    ["https://role:hunter2@endpoint.example/a/b", "alone"],
    ["https://role:hunter2@endpoint.example/app?sslmode=require", "?"],
    ["https://role:hunter2#x@endpoint.example/app", "no role"],
    ["https://role:hunter2/x@endpoint.example/app", ""],
    ["https://:hunter2@endpoint.example/app", "no role"],
    ["https://endpoint.example/app", "no role"],
    ["https://role:hunter2%zz@endpoint.example/app", "percent-encoded"],
    ["https://a%3Ab:hunter2@endpoint.example/app", "colon"],
    [undefined, "URL"],
    [null, "URL"],
    [5, "URL"],
    [{}, "URL"],
  ];
  for (const [url, word] of rows) {
    assert.throws(
      () => connect(url),
      (error) => error instanceof UsageError && clean(error),
      String(url),
    );
    if (word && word !== "no role")
      assert.throws(
        () => connect(url),
        (error) => error.message.includes(word),
        `${url}: ${word}`,
      );
  }
});

test("role and password may come beside the URL, in any characters", async (t) => {
  const { port, requests } = await endpoint(t, () => ({ body: one }));
  await connect({ url: `http://127.0.0.1:${port}/app`, role: "rôle", password: "pä:ss/wörd#?%" })`select 1`;
  assert.equal(requests[0].headers.authorization, `Basic ${Buffer.from("rôle:pä:ss/wörd#?%").toString("base64")}`);
  await connect(new URL(`http://a%20b:c%2Fd@127.0.0.1:${port}/app/`))`select 1`;
  assert.equal(requests[1].headers.authorization, `Basic ${Buffer.from("a b:c/d").toString("base64")}`);
});

test("a problem of the endpoint's is an error with its code, and the next query works", async (t) => {
  const problems = [
    problem(401, {
      code: "invalid_credentials",
      detail: "PostgreSQL refused the password",
      sqlstate: "28P01",
      retryable: false,
      request_id: "r1",
    }),
    problem(404, { code: "unknown_database", detail: "no such database", retryable: false }),
    problem(413, { code: "request_too_large", detail: "the body is over 1048576 bytes", retryable: false }),
  ];
  const { url } = await endpoint(t, ({ number }) => (number % 2 ? problems[(number - 1) / 2] : { body: one }));
  const sql = connect(url);
  for (const { status, body } of problems) {
    const { code, detail, sqlstate } = JSON.parse(body);
    await assert.rejects(sql`select 1`, (error) => {
      assert.ok(error instanceof EndpointError && clean(error));
      assert.deepEqual(
        [error.status, error.code, error.sqlstate, error.retryable, error.requestId],
        [status, code, sqlstate, false, "r1"],
      );
      assert.ok(error.message.includes(detail) && error.message.includes(String(status)));
      return true;
    });
    assert.deepStrictEqual(await sql`select 1 as one`, [{ one: 1 }]);
  }
});

test("an answer that is none of onetrip's says to check the URL", async (t) => {
  const answers = [
    { status: 404, headers: { "content-type": "text/html" }, body: "<h1>Not found</h1>" },
    { status: 302, headers: { location: "https://elsewhere.example/" } },
    { status: 500, headers: { "content-type": "application/problem+json" }, body: "{" },
    { status: 502, headers: {}, body: "" },
  ];
  const { url } = await endpoint(t, ({ number }) => answers[number - 1]);
  const sql = connect(url);
  for (const { status } of answers) {
    await assert.rejects(
      sql`select 1`,
      (error) =>
        error instanceof EndpointError &&
        error.status === status &&
        error.code === undefined &&
        error.message.includes("check the URL") &&
        clean(error),
      String(status),
    );
  }
});

test("a 200 that holds no rows is a protocol error", async (t) => {
  const answers = [
    { headers: { "content-type": "text/html" }, body: "<p>" },
    { headers: {}, body: "" },
    { headers: { "content-type": BLOCKS }, body: "" },
  ];
  const { url } = await endpoint(t, ({ number }) => answers[number - 1]);
  const sql = connect(url);
  for (const _ of answers)
    await assert.rejects(
      sql`select 1`,
      (error) => error instanceof ProtocolError && error.offset === 0 && clean(error),
    );
});

test("an answer cut short in the middle of the connection or of the body is an error, and the next query works", async (t) => {
  const { url, requests } = await endpoint(t, ({ number }) => {
    if (number === 1) return { body: one.subarray(0, 40) };
    if (number === 2)
      return (outgoing) => {
        outgoing.writeHead(200, { "content-type": BLOCKS });
        outgoing.write(one.subarray(0, 40), () => outgoing.destroy());
      };
    if (number === 3)
      return (outgoing) => {
        outgoing.writeHead(200, { "content-type": BLOCKS, "content-length": one.length });
        outgoing.write(one.subarray(0, 40), () => outgoing.destroy());
      };
    return { body: one };
  });
  const sql = connect(url);
  await assert.rejects(
    sql`insert`,
    (error) =>
      error instanceof ProtocolError && error.offset === 40 && error.message.includes("unknown") && clean(error),
  );
  await assert.rejects(
    sql`insert`,
    (error) => error instanceof NetworkError && error.cause instanceof Error && clean(error),
  );
  await assert.rejects(sql`insert`, (error) => error instanceof NetworkError && clean(error));
  assert.deepStrictEqual(await sql`select 1 as one`, [{ one: 1 }]);
  assert.equal(requests.length, 4, "what may have been executed is not sent again");
});

test("what was lost is sent again when the caller says that it may run twice", async (t) => {
  const { url, requests } = await endpoint(t, ({ number }) =>
    number < 3 ? { body: one.subarray(0, 40 * (number - 1)) } : { body: one },
  );
  assert.deepStrictEqual(await connect(url, { idempotent: true })`select 1 as one`, [{ one: 1 }]);
  assert.equal(requests.length, 3);
});

test("what the endpoint refused without executing it is sent again, after Retry-After, as often as allowed", async (t) => {
  const busy = problem(
    503,
    { code: "pool_timeout", detail: "no connection became free", retryable: true },
    { "retry-after": "1" },
  );
  const { url, requests } = await endpoint(t, ({ number }) => (number === 1 || number > 2 ? busy : { body: one }));
  const started = performance.now();
  assert.deepStrictEqual(await connect(url)`select 1 as one`, [{ one: 1 }]);
  assert.ok(performance.now() - started >= 990);
  assert.equal(requests.length, 2);
  await assert.rejects(
    connect(url, { maxAttempts: 1 })`select 1`,
    (error) => error instanceof EndpointError && error.retryable && error.retryAfter === 1,
  );
  assert.equal(requests.length, 3);
  await assert.rejects(
    connect(url, { timeoutMs: 500 })`select 1`,
    EndpointError,
    "a wait that would reach the time limit is not begun",
  );
  assert.equal(requests.length, 4);
});

test("what PostgreSQL rolled back because of others is sent again, unless it may have committed a part on its own", async (t) => {
  const conflict = encode.concat(
    encode.error({ V: "ERROR", C: "40001", M: "could not serialize access" }),
    encode.ready(),
  );
  const { url, requests } = await endpoint(t, ({ number }) => ({ body: number === 1 || number > 2 ? conflict : one }));
  const sql = connect(url);
  assert.deepStrictEqual(await sql`  UPDATE t set a = 1 returning 1 as one`, [{ one: 1 }]);
  assert.equal(requests.length, 2);
  for (const text of [
    "call p()",
    "do $$ begin commit; end $$",
    "/* note */ select 1",
    "create table t ()",
    "selects",
  ]) {
    const before = requests.length;
    await assert.rejects(sql.query(text), SqlError, text);
    assert.equal(requests.length, before + 1, text);
  }
  const before = requests.length;
  await assert.rejects(sql.transaction([sql`select 1`, sql`call p()`]), SqlError);
  assert.equal(requests.length, before + 1);
});

test("a FATAL error leaves the outcome open, so only what may run twice is sent again", async (t) => {
  const fatal = encode.error({ V: "FATAL", C: "57P01", M: "terminating connection" });
  const { url, requests } = await endpoint(t, ({ number }) => ({ body: number < 3 ? fatal : one }));
  await assert.rejects(connect(url)`select 1`, SqlError);
  assert.equal(requests.length, 1);
  assert.deepStrictEqual(await connect(url, { idempotent: true })`select 1 as one`, [{ one: 1 }]);
});

test("what an attempt may have done stays open, however the attempts after it fail", async (t) => {
  const gone = (outgoing) => outgoing.destroy();
  const busy = problem(503, { code: "pool_timeout", detail: "busy", retryable: true });
  const conflict = encode.concat(encode.error({ V: "ERROR", C: "23505", M: "there already" }), encode.ready());
  const big = encode.response(1, [{ name: "n", oid: 20, kind: "text", values: ["9007199254740993"] }]);
  for (const [answers, type, outcome] of [
    [[gone, busy, busy], RefusedError, "unknown"],
    [[busy, gone, busy], RefusedError, "unknown"],
    [[busy, busy, busy], RefusedError, "notExecuted"],
    [[gone, { body: conflict }], SqlError, "unknown"],
    [[busy, { body: conflict }], SqlError, "notExecuted"],
    [[gone, { body: big }], UsageError, "executed"],
  ]) {
    const { url, requests } = await endpoint(t, ({ number }) => answers[number - 1]);
    const error = await connect(url, { idempotent: true, int8: "number" })`insert`.catch((error) => error);
    assert.ok(error instanceof type && clean(error), error.stack);
    assert.deepEqual([error.outcome, requests.length], [outcome, answers.length], error.message);
  }
  const { url } = await endpoint(t, ({ number }) => [gone, busy][Math.min(number, 2) - 1]);
  const controller = new AbortController();
  const query = connect(url, { idempotent: true, signal: controller.signal, fetch: abortsAtSecond })`insert`;
  let fetches = 0;
  function abortsAtSecond(...request) {
    if (++fetches === 2) controller.abort(null);
    return fetch(...request);
  }
  await assert.rejects(query, (reason) => reason === null);
});

test("a header that HTTP does not allow is refused at once, without its value", async (t) => {
  for (const headers of [
    { authorization: "Bearer hunter2\nx" },
    { "x y": "hunter2" },
    { "": "hunter2" },
    "hunter2",
    null,
  ])
    assert.throws(
      () => connect("https://role:hunter2@endpoint.example/app", { headers }),
      (error) => error instanceof UsageError && error.message.includes('"headers"') && clean(error),
    );
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  await connect(url, { headers: new Headers({ "X-One": "1" }) }).with({ headers: { "x-TWO": "2" } })`select 1`;
  assert.deepEqual([requests[0].headers["x-one"], requests[0].headers["x-two"]], ["1", "2"]);
});

test("an SQL error is not sent again and loads no WebAssembly", async (t) => {
  const { url, requests } = await endpoint(t, () => ({
    body: encode.concat(encode.error({ V: "ERROR", C: "42601", M: "syntax error" }), encode.ready()),
  }));
  let loads = 0;
  const sql = slimConnect({
    url,
    wasm: () => {
      loads++;
      throw new Error("not here");
    },
  });
  await assert.rejects(sql`selec`, SqlError);
  assert.deepEqual([requests.length, loads], [1, 0]);
});

test("an endpoint that is down is a network error with its cause", async () => {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  const sql = connect(`http://role:hunter2@127.0.0.1:${port}/app`);
  await assert.rejects(sql`select 1`, (error) => {
    assert.ok(error instanceof UnreachableError && clean(error));
    assert.equal(error.url, `http://127.0.0.1:${port}/v1/app/pipeline`);
    assert.ok(error.message.includes("ECONNREFUSED") && error.message.includes(error.url));
    assert.ok(error.cause instanceof Error);
    return true;
  });
});

test("each error says whether the statement took effect", async (t) => {
  const ok = encode.concat(encode.complete("INSERT 0 1"), encode.ready());
  const sqlError = (fields) => encode.concat(encode.error({ V: "ERROR", M: "failed", ...fields }), encode.ready());
  const big = encode.response(1, [{ name: "n", oid: 20, kind: "text", values: ["9007199254740993"] }]);
  const refused = (status, code) => problem(status, { code, detail: "no", retryable: false });
  const rows = [
    [{ body: sqlError({ C: "22012" }) }, SqlError, "sql", "notExecuted"],
    [{ body: encode.error({ V: "FATAL", C: "57P01", M: "bye" }) }, SqlError, "sql", "unknown"],
    [refused(401, "invalid_credentials"), RefusedError, "refused", "notExecuted"],
    [refused(429, "too_many_requests"), RefusedError, "refused", "notExecuted"],
    [refused(502, "database_unreachable"), RefusedError, "refused", "notExecuted"],
    [refused(502, "connection_lost"), EndpointError, "endpoint", "unknown"],
    [refused(500, "internal"), EndpointError, "endpoint", "unknown"],
    [{ status: 524, headers: {}, body: "" }, EndpointError, "endpoint", "unknown"],
    [{ status: 403, headers: {}, body: "" }, RefusedError, "refused", "notExecuted"],
    [refused(408, "deadline_in_queue"), NetworkError, "network", "notExecuted"],
    [refused(504, "deadline_exceeded"), NetworkError, "network", "unknown"],
    [{ body: one.subarray(0, 20) }, ProtocolError, "protocol", "unknown"],
    [{ body: big }, UsageError, "usage", "executed"],
    [{ body: encode.concat(encode.complete("BEGIN"), encode.ready("T")) }, UsageError, "usage", "notExecuted"],
    [(outgoing) => outgoing.destroy(), NetworkError, "network", "unknown"],
  ];
  const { url } = await endpoint(t, ({ number }) => rows[number - 1][0] ?? { body: ok });
  const sql = connect(url, { int8: "number", maxAttempts: 1 });
  for (const [, type, kind, outcome] of rows) {
    const error = await sql`insert into t values (1)`.catch((error) => error);
    assert.ok(error instanceof type && error instanceof OnetripError && clean(error), error.stack);
    assert.deepEqual([error.kind, error.outcome, error.name], [kind, outcome, type.name], error.message);
    assert.equal(error instanceof NetworkError && error.timedOut, error.cause?.code?.startsWith("deadline") ?? false);
  }
  assert.equal((await sql`select ${undefined}`.catch((error) => error)).outcome, "notExecuted");
});

test("docs/errors.md has every class and every code of the endpoint", () => {
  const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const protocol = readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
  const codes = [...protocol.matchAll(/^\| \d{3} \| `(\w+)` \|/gm)].map(([, code]) => code);
  assert.ok(codes.length >= 17, codes.join());
  const classes = [SqlError, RefusedError, EndpointError, UnreachableError, NetworkError, ProtocolError, UsageError];
  for (const name of [...codes, ...classes.map(({ name }) => name)]) assert.ok(page.includes(`\`${name}\``), name);
});

test("an error of a statement that can commit on its own leaves the outcome open", () => {
  const table = JSON.parse(readFileSync(new URL("../../tests/vectors/conflicts.json", import.meta.url), "utf8"));
  for (const [statement, undone, open] of table.statements) {
    const outcome = outcomeOfFailed({ statements: [{ text: "select 1" }, { text: statement }], mode: undefined });
    assert.equal(outcome, open ? "unknown" : "notExecuted", statement);
    assert.ok(!(undone && open));
  }
});

test("what did not leave is unreachable: no such host, no TLS session; what broke on the way is not", async (t) => {
  const listening = async (server) => {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    return server.address().port;
  };
  const cut = await listening(createServer((socket) => socket.on("error", () => {}).once("data", () => socket.end())));
  const reset = await listening(
    createServer((socket) => socket.on("error", () => {}).once("data", () => socket.resetAndDestroy())),
  );
  for (const [address, type] of [
    ["http://role:hunter2@nothing.invalid/app", UnreachableError],
    [`https://role:hunter2@127.0.0.1:${cut}/app`, UnreachableError],
    [`http://role:hunter2@127.0.0.1:${cut}/app`, NetworkError],
    [`http://role:hunter2@127.0.0.1:${reset}/app`, NetworkError],
  ]) {
    const error = await connect(address, { maxAttempts: 1 })`insert`.catch((error) => error);
    assert.ok(error.constructor === type && clean(error), `${address}: ${error.stack}`);
    assert.equal(error.outcome, type === UnreachableError ? "notExecuted" : "unknown");
  }
});

test("what runtimes throw is read for whether the request left", async () => {
  const error = (message, members = {}, cause) => Object.assign(new TypeError(message, { cause }), members);
  const node = (message, members) => error("fetch failed", {}, Object.assign(new Error(message), members));
  const deno = (text) =>
    error("fetch failed", {}, new Error(`error sending request for url (http://a.example/): ${text}`));
  // Recorded from Node 20, Deno 2.9, Bun 1.4 and workerd.
  const thrown = [
    [node("connect ECONNREFUSED 127.0.0.1:1", { code: "ECONNREFUSED", syscall: "connect" }), true],
    [node("getaddrinfo ENOTFOUND a.example", { code: "ENOTFOUND", syscall: "getaddrinfo" }), true],
    [node("connect ETIMEDOUT 127.0.0.1:1", { code: "ETIMEDOUT", syscall: "connect" }), true],
    [node("Connect Timeout Error", { code: "UND_ERR_CONNECT_TIMEOUT" }), true],
    [node("self-signed certificate", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), true],
    [node("certificate has expired", { code: "CERT_HAS_EXPIRED" }), true],
    [node("altnames", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }), true],
    [
      node("Client network socket disconnected before secure TLS connection was established", { code: "ECONNRESET" }),
      true,
    ],
    [node("read ECONNRESET", { code: "ECONNRESET", syscall: "read" }), false],
    [node("read ETIMEDOUT", { code: "ETIMEDOUT", syscall: "read" }), false],
    [node("other side closed", { code: "UND_ERR_SOCKET" }), false],
    [deno("client error (Connect): tcp connect error: Connection refused (os error 111)"), true],
    [deno("client error (Connect): dns error: failed to lookup address information"), true],
    [deno("client error (Connect): tls handshake eof"), true],
    [deno("client error (SendRequest): connection closed before message completed"), false],
    [error("fetch failed", {}, new Error("Connection reset by peer (os error 104)")), false],
    [error("ECONNREFUSED: Unable to connect. Is the computer able to access the url?", { code: "ECONNREFUSED" }), true],
    [error("self signed certificate", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), true],
    [error("ECONNRESET: The socket connection was closed unexpectedly.", { code: "ECONNRESET" }), false],
    [new Error("Network connection lost."), false],
    ["no error at all", false],
  ];
  for (const [cause, notSent] of thrown) {
    const fetch = () => Promise.reject(cause);
    const sql = connect("https://role:hunter2@endpoint.example/app", { fetch, maxAttempts: 1 });
    const found = await sql`insert`.catch((error) => error);
    assert.equal(found.constructor, notSent ? UnreachableError : NetworkError, found.message);
    assert.equal(found.cause, cause);
  }
});

test("the endpoint is told how long the answer is waited for, less at each attempt", async (t) => {
  const busy = problem(503, { code: "pool_timeout", retryable: true }, { "retry-after": "0" });
  const { url, requests } = await endpoint(t, ({ number }) => (number === 1 ? busy : { body: one }));
  await connect(url, { timeoutMs: 10_000.5 })`select 1`;
  const told = requests.map(({ headers }) => headers["onetrip-deadline"]);
  assert.ok(told.every((text) => /^[0-9]+$/.test(text)));
  assert.ok(Number(told[0]) <= 10_001 && Number(told[0]) > 9_000, told[0]);
  assert.ok(Number(told[1]) < Number(told[0]), told.join());
  await connect(url)`select 1`;
  assert.equal(requests[2].headers["onetrip-deadline"], undefined);
});

test("timeoutMs ends a request that hangs", async (t) => {
  const { url } = await endpoint(t, () => () => {});
  await assert.rejects(
    connect(url, { timeoutMs: 50 })`select 1`,
    (error) => error instanceof NetworkError && error.timedOut && error.message.includes("50 ms") && clean(error),
  );
  // Headers that came do not help a body that hangs.
  const half = await endpoint(
    t,
    () => (outgoing) => outgoing.writeHead(200, { "content-type": BLOCKS }).write(one.subarray(0, 5)),
  );
  await assert.rejects(
    connect(half.url, { timeoutMs: 50, idempotent: true })`select 1`,
    (error) => error.timedOut === true,
  );
});

test("the caller's signal cancels with its own reason, before, during and between attempts", async (t) => {
  const { url, requests } = await endpoint(t, ({ number }) =>
    number === 1 ? () => {} : problem(503, { code: "pool_timeout", retryable: true }, { "retry-after": "5" }),
  );
  const sql = connect(url);
  const reason = new Error("the user left");
  await assert.rejects(sql.query("select 1", [], { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(requests.length, 0);
  for (const timeoutMs of [undefined, 20_000]) {
    const controller = new AbortController();
    const started = performance.now();
    setTimeout(() => controller.abort(reason), 50);
    await assert.rejects(sql.query("select 1", [], { signal: controller.signal, timeoutMs }), reason);
    assert.ok(performance.now() - started < 2000);
  }
});

test("a signal of many requests ends those that are under way, with one listener", async (t) => {
  const { url, requests } = await endpoint(t, ({ number }) => (number <= 3 ? { body: one } : () => {}));
  const sql = connect(url);
  const controller = new AbortController();
  const options = { signal: controller.signal, timeoutMs: 20_000 };
  const warned = t.mock.method(process, "emitWarning");
  for (let query = 0; query < 3; query++) assert.equal((await sql.query("select 1", [], options)).length, 1);
  const all = Promise.allSettled(Array.from({ length: 20 }, () => sql.query("select 1", [], options)));
  while (requests.length < 23) await new Promise((resolve) => setTimeout(resolve, 5));
  const reason = new Error("enough");
  controller.abort(reason);
  assert.deepEqual(new Set((await all).map((result) => result.reason)), new Set([reason]));
  assert.equal(warned.mock.callCount(), 0);
  await assert.rejects(sql.query("select 1", [], options), reason);
  assert.equal(requests.length, 23);
});

test("frames are decoded in WebAssembly, to the same rows and errors", async (t) => {
  const answer = (oid, values) => {
    const column = Buffer.concat([
      Buffer.from("v\0"),
      Buffer.from([0, 0, 0, 0, 0, 0]),
      Buffer.from(Uint32Array.of(oid).buffer).reverse(),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]),
    ]);
    const rows = values.map((value) =>
      encode.message("D", Buffer.concat([Buffer.from([0, 1, 0, 0, 0, Buffer.byteLength(value)]), Buffer.from(value)])),
    );
    return encode.concat(
      encode.parseComplete,
      encode.bindComplete,
      encode.message("T", Buffer.concat([Buffer.from([0, 1]), column])),
      ...rows,
      encode.complete(`SELECT ${values.length}`),
      encode.ready(),
    );
  };
  let body;
  const { url, requests } = await endpoint(t, () => ({ headers: { "content-type": FRAMES }, body }));
  const sql = connect(url);
  body = answer(25, ["ä", "b"]);
  assert.deepStrictEqual(await sql`select v`, [{ v: "ä" }, { v: "b" }]);
  assert.deepStrictEqual(await sql.with({ decode: "local" })`select v`, [{ v: "ä" }, { v: "b" }]);
  assert.equal(requests[1].headers.accept, FRAMES);
  body = answer(701, ["1.5", "NaN", "-Infinity"]);
  assert.deepStrictEqual(await sql`select v`, [{ v: 1.5 }, { v: NaN }, { v: -Infinity }]);
  body = answer(20, ["9007199254740993"]);
  assert.deepStrictEqual(await sql.with({ int8: "bigint" })`select v`, [{ v: 9007199254740993n }]);
  body = answer(
    25,
    Array.from({ length: 50_000 }, (_, index) => `row ${index}`),
  );
  const many = await sql`select v`;
  assert.deepStrictEqual(
    [many.length, many[0], many[49_999]],
    [50_000, { v: "row 0" }, { v: "row 49999" }],
    "an answer of many pieces",
  );
  const whole = answer(23, ["1", "2"]);
  for (let length = 0; length < whole.length; length++) {
    body = whole.subarray(0, length);
    await assert.rejects(sql`select v`, ProtocolError, `after ${length} bytes`);
  }
  body = encode.concat(encode.parseComplete, Uint8Array.of(0x44, 0, 0, 0, 1));
  await assert.rejects(sql`select v`, (error) => error instanceof ProtocolError && error.offset === 6);
  body = encode.concat(encode.error({ V: "ERROR", C: "42601", M: "syntax error" }), encode.ready());
  await assert.rejects(sql`selec`, (error) => error instanceof SqlError && error.code === "42601");
  body = whole;
  assert.deepStrictEqual(await sql`select v`, [{ v: 1 }, { v: 2 }]);
});

test("without WebAssembly blocks are read and frames are refused with a reason", async (t) => {
  let type = BLOCKS;
  let body = one;
  const { url, requests } = await endpoint(t, () => ({ headers: { "content-type": type }, body }));
  const sql = slimConnect({ url });
  assert.deepStrictEqual(await sql`select 1 as one`, [{ one: 1 }]);
  assert.equal(requests[0].headers.accept, `${BLOCKS}; strings=utf8`);
  type = FRAMES;
  // RowDescription, where blocks have their fields.
  body = Buffer.concat([Buffer.from([0x54, 0, 0, 0, 6, 0, 0]), one]);
  await assert.rejects(sql`select 1`, (error) => error instanceof UsageError && error.message.includes("WebAssembly"));
  await assert.rejects(sql.with({ decode: "local" })`select 1`, UsageError);
});

test("what may be sent again after a conflict is what the driver's table says", () => {
  const table = JSON.parse(readFileSync(new URL("../../tests/vectors/conflicts.json", import.meta.url), "utf8"));
  assert.ok(table.statements.length > 10);
  for (const [statement, undone] of table.statements) assert.equal(isUndone(statement), undone, statement);
});
