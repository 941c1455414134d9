// Queries as the user writes them: what is sent, when, how often, and what comes back.

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { connect, SqlError, UsageError } from "../dist/node.js";
import * as encode from "./support/encode.mjs";
import { endpoint } from "./support/endpoint.mjs";

const one = encode.response(1, [{ name: "one", oid: 23, kind: "int32", values: [1] }]);

function batchOf(values) {
  return encode.concat(
    ...values.map((value) => encode.answer(1, [{ name: "n", oid: 23, kind: "int32", values: [value] }])),
    encode.ready(),
  );
}

test("connect opens nothing, and a query that nobody awaits is not sent", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url);
  sql`select 1 as one`;
  sql.query("select 1 as one").full();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(requests.length, 0);
});

test("a query is sent once, however often and however it is awaited", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const query = connect(url)`select 1 as one`;
  const results = await Promise.all([
    query,
    query,
    query.then((rows) => rows),
    query.finally(() => {}),
    Promise.resolve(query),
  ]);
  assert.deepStrictEqual(await query, [{ one: 1 }]);
  assert.ok(results.every((rows) => rows === results[0]));
  assert.equal(requests.length, 1);
});

test("a request is what the protocol says", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url, { headers: { "X-Proxy": "yes" } });
  await sql`select ${"a"}::text, ${[1, 2]}, ${null}`;
  const [{ body, headers, url: path }] = requests;
  assert.deepEqual(body, { sql: "select $1::text, $2, $3", params: ["a", "{1,2}", null] });
  assert.equal(path, "/v1/app/pipeline");
  assert.equal(headers.authorization, `Basic ${Buffer.from("role:hunter2").toString("base64")}`);
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers.accept, "application/vnd.onetrip.blocks; strings=utf16, application/vnd.onetrip.pgwire; q=0.5");
  assert.equal(headers["x-proxy"], "yes");
});

test("Accept asks for what the mapping needs", async (t) => {
  const { url, requests } = await endpoint(t, ({ body }) => ({ body: body.batch ? batchOf([1, 2]) : one }));
  const sql = connect(url);
  const asked = async (run) => {
    await run;
    return requests.at(-1).headers.accept.split(",")[0].replace("application/vnd.onetrip.blocks; strings=utf16", "");
  };
  assert.equal(await asked(sql.with({ int8: "bigint" })`select 1`), "; int8=binary");
  assert.equal(await asked(sql.with({ int8: "number" })`select 1`), "; int8=binary");
  assert.equal(
    await asked(sql.query("select 1", [], { timestamps: "string", json: "text" })),
    "; timestamps=text; json=text",
  );
  assert.equal(await asked(sql.query("select 1", [], { decode: "endpoint" })), "");
  const decoders = (...oids) => Object.fromEntries(oids.map((oid) => [oid, String]));
  assert.equal(await asked(sql.query("select 1", [], { decoders: decoders(1700, 25, 2950) })), "");
  assert.equal(await asked(sql.query("select 1", [], { decoders: decoders(20), int8: "bigint" })), "");
  assert.equal(
    await asked(sql.query("select 1", [], { decoders: decoders(1184, 3802) })),
    "; timestamps=text; json=text",
  );
  for (const oid of [16, 17, 21, 23, 26, 700, 701])
    assert.equal(await asked(sql.query("x", [], { decoders: decoders(oid) }).catch(() => {})), "; values=text");
  // In a transaction the finest of what its queries want, so that each can be given what it wants.
  assert.equal(await asked(sql.transaction([sql.with({ int8: "bigint" })`select 1`, sql`select 2`])), "");
  assert.equal(
    await asked(sql.transaction([sql.with({ timestamps: "string" })`select 1`, sql`select 2`])),
    "; timestamps=text",
  );
});

test("fragments are put together with their parameters numbered through", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url);
  const where = sql`where a = ${1} and b in (${sql`select b from t where c = ${"x"}`})`;
  await sql`select ${sql.identifier("s", 'we"ird')} from t ${where} or d = ${2} ${sql``}${sql.query("limit 5")}`;
  assert.deepEqual(requests[0].body, {
    sql: 'select "s"."we""ird" from t where a = $1 and b in (select b from t where c = $2) or d = $3 limit 5',
    params: ["1", "x", "2"],
  });
  await assert.rejects(sql`select ${sql.query("select $1", [1])}`, UsageError);
});

test("declared types stand beside the parameters, and names become casts", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url, { encoders: [[600, ([x, y]) => `(${x},${y})`]] });
  const derived = sql.with({ encoders: [["public.mood", (value) => value.toUpperCase()]] });
  await derived`select ${1}, ${sql.typed([1, 2], 600)}, ${sql.typed(null, 20)}, ${2}, ${sql.typed("ok", "public.mood")}, ${sql.typed(["x"], 'Mo"od[]')}`;
  assert.deepEqual(requests[0].body, {
    sql: 'select $1, $2, $3, $4, $5::"public"."mood", $6::"Mo""od"[]',
    params: ["1", "(1,2)", null, "2", "OK", '{"x"}'],
    types: [0, 600, 20],
  });
  for (const type of [0, -1, 1.5, 2 ** 32, undefined, "", "a..b", "a\0"])
    assert.throws(() => sql.typed(1, type), UsageError, String(type));
  assert.ok(!inspect(sql.typed("hunter2", 25), { depth: 10, showHidden: true }).includes("hunter2"));
  for (const options of [
    { decoders: 5 },
    { decoders: { 25: "x" } },
    { decoders: null },
    { encoders: {} },
    { encoders: [["x"]] },
    { duplicateColumns: "first" },
  ])
    assert.throws(() => sql.with(options), UsageError, JSON.stringify(options));
});

test("every text arrives as it is: the body is JSON whatever is in it", async (t) => {
  const { url, requests } = await endpoint(t, ({ body }) => ({ body: body.batch ? batchOf([1, 2]) : one }));
  const sql = connect(url);
  const characters = Array.from({ length: 0x180 }, (_, code) => String.fromCharCode(code));
  const texts = [
    ...characters,
    ...characters.map((character) => `a${character}b`),
    '\\"',
    "\u2028",
    "😀",
    "\ud800",
    "",
  ];
  const expected = JSON.parse(JSON.stringify(texts));
  await sql.query('select "\\ü\n"', texts);
  assert.deepEqual(requests[0].body, { sql: 'select "\\ü\n"', params: expected });
  await sql.transaction([sql`select ${'"'}`, sql.query("select $1, $2", [null, "\\"])]);
  assert.deepEqual(requests[1].body.batch[1].params, [null, "\\"]);
});

test("values never become text of the statement", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const evil = "'; drop table users; --";
  await connect(url)`select ${evil} where x = ${[evil]}`;
  assert.equal(requests[0].body.sql, "select $1 where x = $2");
});

test("sql.query gives rows, arrays and full results", async (t) => {
  const columns = [
    { name: "a", oid: 23, kind: "int32", values: [1] },
    { name: "a", oid: 25, kind: "text", values: ["x"] },
  ];
  const { url } = await endpoint(t, () => ({ body: encode.response(1, columns) }));
  const sql = connect(url);
  assert.deepStrictEqual(await sql.query("select", [], { duplicateColumns: "last" }), [{ a: "x" }]);
  assert.deepStrictEqual(await sql.query("select", [], { arrayRows: true }), [[1, "x"]]);
  const full = await sql.query("select", [], { arrayRows: true, fullResults: true });
  assert.deepStrictEqual(full.rows, [[1, "x"]]);
  assert.deepStrictEqual(
    full.fields.map(({ name, typeOid }) => [name, typeOid]),
    [
      ["a", 23],
      ["a", 25],
    ],
  );
  assert.equal(full.command, "SELECT");
  assert.equal(full.rowCount, 1);
  assert.deepStrictEqual((await sql`select`.arrays().full()).rows, [[1, "x"]]);
  const failure = await sql`select`.catch((error) => error);
  assert.ok(failure instanceof UsageError && failure.message.includes('"a"') && failure.message.includes("arrays()"));
  assert.equal(failure.outcome, "executed");
});

test("a result has the form that was asked for", async (t) => {
  const columns = (count) => [
    { name: "a", oid: 23, kind: "int32", values: Array.from({ length: count }, (_, i) => i) },
  ];
  const { url } = await endpoint(t, ({ body: { sql: text } }) => {
    const count = Number(text);
    const two = { name: "b", oid: 25, kind: "text", values: Array(Math.abs(count)).fill("x") };
    return { body: encode.response(Math.abs(count), count < 0 ? [...columns(-count), two] : columns(count)) };
  });
  const sql = connect(url);
  const rows = (count) => sql.query(String(count));
  assert.deepStrictEqual(await rows(1).one(), { a: 0 });
  assert.deepStrictEqual(await rows(1).maybeOne(), { a: 0 });
  assert.strictEqual(await rows(0).maybeOne(), null);
  assert.strictEqual(await rows(1).value(), 0);
  assert.deepStrictEqual(await rows(3).column(), [0, 1, 2]);
  assert.deepStrictEqual(await rows(0).column(), []);
  assert.deepStrictEqual(await rows(-2).arrays(), [
    [0, "x"],
    [1, "x"],
  ]);
  assert.deepStrictEqual(await rows(-1).arrays().one(), [0, "x"]);
  assert.deepStrictEqual((await rows(-1).arrays().full()).rows, [[0, "x"]]);
  assert.deepStrictEqual(await sql.query("1", [], { arrayRows: true }).one(), [0]);
  for (const [query, word] of [
    [rows(0).one(), "0 rows"],
    [rows(2).one(), "2 rows"],
    [rows(2).maybeOne(), "at most one row"],
    [rows(0).value(), "0 rows"],
    [rows(2).value(), "2 rows"],
    [rows(-1).value(), "2 columns"],
    [rows(-1).column(), "2 columns"],
  ]) {
    const failure = await query.catch((error) => error);
    assert.ok(failure instanceof UsageError && failure.message.includes(word), `${word}: ${failure}`);
    assert.equal(failure.outcome, "executed");
  }
  assert.throws(() => rows(1).one().full(), UsageError);
  const sent = rows(1);
  await sent;
  assert.throws(() => sent.value(), UsageError);
});

test("each query of a transaction keeps its form", async (t) => {
  const { url } = await endpoint(t, () => ({ body: batchOf([1, 2, 3, 4, 5]) }));
  const sql = connect(url);
  assert.deepStrictEqual(
    await sql.transaction([sql`a`.one(), sql`b`.maybeOne(), sql`c`.value(), sql`d`.column(), sql`e`.arrays()]),
    [{ n: 1 }, { n: 2 }, 3, [4], [[5]]],
  );
});

test("command tags give command and count", async (t) => {
  const tags = {
    "INSERT 0 3": ["INSERT", 3],
    "UPDATE 0": ["UPDATE", 0],
    "CREATE TABLE": ["CREATE", null],
    "MERGE 12": ["MERGE", 12],
  };
  let tag;
  const { url } = await endpoint(t, () => ({
    body: encode.concat(
      tag === "" ? encode.emptyQuery : encode.concat(encode.noData, encode.complete(tag)),
      encode.ready(),
    ),
  }));
  const sql = connect(url);
  for (tag of Object.keys(tags)) {
    const { command, rowCount, rows, fields } = await sql`x`.full();
    assert.deepEqual([command, rowCount], tags[tag]);
    assert.deepEqual([rows, fields], [[], []]);
  }
  tag = "";
  assert.deepEqual(await sql``.full(), { rows: [], fields: [], command: "", rowCount: null });
});

test("a transaction is one request, its results in order and in each query's form", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: batchOf([1, 2, 3]) }));
  const sql = connect(url);
  const second = sql`select ${2} as n`;
  const results = await sql.transaction([
    sql`select 1 as n`,
    second,
    sql.query("select $1 as n", [3], { arrayRows: true, fullResults: true }),
  ]);
  assert.deepStrictEqual(results.slice(0, 2), [[{ n: 1 }], [{ n: 2 }]]);
  assert.deepStrictEqual(results[2].rows, [[3]]);
  assert.deepEqual(
    requests.map(({ body }) => body),
    [
      {
        batch: [
          { sql: "select 1 as n", params: [] },
          { sql: "select $1 as n", params: ["2"] },
          { sql: "select $1 as n", params: ["3"] },
        ],
      },
    ],
  );
  assert.strictEqual(await second, results[1], "a query of a transaction has the transaction's result");
  assert.deepStrictEqual(await sql.transaction([]), []);
  assert.equal(requests.length, 1);
});

test("a transaction's mode is a statement before and one behind, whose results and indexes nobody sees", async (t) => {
  const row = (value) => encode.answer(1, [{ name: "n", oid: 23, kind: "int32", values: [value] }]);
  const begun = encode.concat(encode.parseComplete, encode.noData, encode.complete("BEGIN"));
  const committed = encode.complete("COMMIT");
  const failed = (code) => encode.concat(encode.error({ V: "ERROR", C: code, M: "failed" }), encode.ready("E"));
  let body;
  const { url, requests } = await endpoint(t, () => ({ body }));
  const sql = connect(url);
  body = encode.concat(begun, row(1), row(2), committed, encode.ready());
  const mode = { isolationLevel: "serializable", readOnly: true, deferrable: false };
  const results = await sql.transaction([sql`select 1`, sql`select ${2}`.full()], { ...mode, idempotent: true });
  assert.deepStrictEqual(
    [results[0], results[1].rows, results[1].command, results.length],
    [[{ n: 1 }], [{ n: 2 }], "SELECT", 2],
  );
  assert.deepEqual(requests[0].body, {
    batch: [
      { sql: "begin isolation level serializable read only not deferrable" },
      { sql: "select 1", params: [] },
      { sql: "select $1", params: ["2"] },
      { sql: "commit" },
    ],
  });
  const texts = [
    [{ readOnly: false }, "begin read write"],
    [{ isolationLevel: "read uncommitted" }, "begin isolation level read uncommitted"],
    [{ deferrable: true, readOnly: undefined }, "begin deferrable"],
  ];
  body = encode.concat(begun, row(1), committed, encode.ready());
  for (const [options, text] of texts) {
    assert.deepStrictEqual(await sql.transaction([sql`select 1`], options), [[{ n: 1 }]]);
    assert.equal(requests.at(-1).body.batch[0].sql, text);
  }
  const failure = (options = mode) =>
    sql.transaction([sql`select 1`, sql`select 2`], options).then(
      () => assert.fail("it succeeded"),
      (error) => [error.code, error.statement, error.sql, error.outcome],
    );
  for (const [answered, expected] of [
    [encode.concat(begun, failed("22012")), ["22012", 0, "select 1", "notExecuted"]],
    [encode.concat(begun, row(1), failed("22012")), ["22012", 1, "select 2", "notExecuted"]],
    [encode.concat(begun, row(1), row(2), failed("23503")), ["23503", undefined, undefined, "notExecuted"]],
    [failed("25001"), ["25001", undefined, undefined, "notExecuted"]],
  ]) {
    body = answered;
    assert.deepEqual(await failure(), expected);
  }
  const before = requests.length;
  assert.deepStrictEqual(await sql.transaction([], mode), []);
  assert.equal(requests.length, before);
  for (const [options, word] of [
    [{ isolationLevel: "Serializable" }, '"serializable"'],
    [{ readOnly: "yes" }, '"readOnly" must be true or false'],
    [{ deferrable: 1 }, '"deferrable"'],
    [{ isolation: "serializable" }, '"isolation"'],
  ])
    assert.throws(
      () => sql.transaction([sql`select 1`], options),
      (error) => error instanceof UsageError && error.message.includes(word),
      word,
    );
  assert.throws(() => sql.with({ readOnly: true }), UsageError, "a mode is a transaction's");
});

test("a failed transaction names its statement, and each of its queries fails alike", async (t) => {
  const body = encode.concat(
    encode.answer(1, [{ name: "n", oid: 23, kind: "int32", values: [1] }]),
    encode.error({
      S: "FEHLER",
      V: "ERROR",
      C: "22012",
      M: "division by zero",
      P: "8",
      W: "where",
      s: "public",
      F: "int.c",
      L: "841",
      R: "int4div",
    }),
    encode.ready(),
  );
  const { url } = await endpoint(t, () => ({
    body,
    headers: { "content-type": "application/vnd.onetrip.blocks", "onetrip-request-id": "abc" },
  }));
  const sql = connect(url);
  const queries = [sql`select 1 as n`, sql`select 1 / ${0}::int4`, sql`select 3`];
  const failure = await sql.transaction(queries).catch((error) => error);
  assert.ok(failure instanceof SqlError);
  assert.deepEqual(
    { ...failure },
    {
      kind: "sql",
      outcome: "notExecuted",
      severity: "ERROR",
      code: "22012",
      position: 8,
      where: "where",
      schema: "public",
      file: "int.c",
      line: 841,
      routine: "int4div",
      statement: 1,
      requestId: "abc",
    },
  );
  assert.equal(failure.message, "division by zero");
  assert.equal(failure.sql, "select 1 / $1::int4");
  assert.ok(!inspect(failure).includes("select"), "an error that is logged does not show the statement");
  await assert.rejects(queries[0], failure);
  await assert.rejects(queries[2], failure);
});

test("an error at commit belongs to no statement", async (t) => {
  const body = encode.concat(
    encode.complete("INSERT 0 1"),
    encode.error({ V: "ERROR", C: "23503", M: "violates" }),
    encode.ready(),
  );
  const { url } = await endpoint(t, () => ({ body }));
  const failure = await connect(url)`insert`.catch((error) => error);
  assert.equal(failure.code, "23503");
  assert.equal(failure.statement, undefined);
  assert.equal(failure.sql, undefined);
});

test("a transaction left open, COPY and a FATAL end are errors that say so", async (t) => {
  let body;
  const { url } = await endpoint(t, () => ({ body }));
  const sql = connect(url);
  body = encode.concat(encode.complete("BEGIN"), encode.ready("T"));
  await assert.rejects(
    sql`begin`,
    (error) => error instanceof UsageError && error.message.includes("left a transaction open"),
  );
  body = encode.concat(encode.message("H", Uint8Array.of(0, 0, 0)), encode.complete("COPY 1"), encode.ready());
  await assert.rejects(sql`copy t to stdout`, (error) => error instanceof UsageError && error.message.includes("COPY"));
  body = encode.error({ V: "FATAL", C: "57P01", M: "terminating connection due to administrator command" });
  await assert.rejects(sql`select pg_sleep(100)`, (error) => error instanceof SqlError && error.code === "57P01");
  body = encode.concat(encode.error({ V: "NOTICE", C: "00000", M: "hello" }, "N"), one);
  assert.deepStrictEqual(await sql`select 1 as one`, [{ one: 1 }]);
});

test("mistakes in a transaction's list are named by their index", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url);
  const other = connect(url)`select 1`;
  const sent = sql`select 1 as one`;
  await sent;
  const twice = sql`select 1`;
  for (const [queries, word] of [
    [[sql`x`, "select 1"], "1"],
    [[other], "another connection"],
    [[sent], "already"],
    [[twice, twice], "twice"],
    ["x", "array"],
    [[sql`x`, Promise.resolve([])], "Promise"],
  ]) {
    assert.throws(
      () => sql.transaction(queries),
      (error) => error instanceof UsageError && error.message.includes(word),
      word,
    );
  }
  assert.throws(() => sent.full(), UsageError);
  assert.equal(requests.length, 1);
});

test("mistakes in a call are errors at the call", async (t) => {
  const { url, requests } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url);
  assert.throws(
    () => sql("select 1"),
    (error) => error instanceof UsageError && error.message.includes("template"),
  );
  assert.throws(() => sql(["select 1"]), UsageError);
  assert.throws(() => sql.query(5), UsageError);
  assert.throws(() => sql.query("select $1", 5), UsageError);
  assert.throws(
    () => sql.query("select 1", [], { int8: "big" }),
    (error) => error.message.includes('"string" or "bigint" or "number"'),
  );
  assert.throws(
    () => sql.query("select 1", [], { arrayMode: true }),
    (error) => error.message.includes('"arrayMode"'),
  );
  assert.throws(() => sql.with({ timeoutMs: 0 }), UsageError);
  assert.throws(() => sql.with({ maxAttempts: 11 }), UsageError);
  assert.throws(() => sql.with({ constructor: 1 }), UsageError);
  assert.throws(() => sql.with(5), UsageError);
  assert.throws(() => connect(url, { fetch: "fetch" }), UsageError);
  await assert.rejects(
    sql`select ${undefined}`,
    (error) => error instanceof UsageError && error.message.includes("$1 is undefined"),
  );
  assert.equal(requests.length, 0);
});

test("sql.with changes the defaults and leaves the original alone", async (t) => {
  const body = encode.response(1, [{ name: "n", oid: 20, kind: "text", values: ["5"] }]);
  const { url } = await endpoint(t, ({ body: { batch } }) => ({
    body: batch
      ? encode.concat(
          ...batch.map(() => encode.answer(1, [{ name: "n", oid: 20, kind: "text", values: ["5"] }])),
          encode.ready(),
        )
      : body,
  }));
  const sql = connect(url);
  const big = sql.with({ int8: "bigint" });
  assert.deepStrictEqual(await big`select n`, [{ n: 5n }]);
  assert.deepStrictEqual(await sql`select n`, [{ n: "5" }]);
  assert.deepStrictEqual(
    await sql.transaction([big`select n`, sql`select n`]),
    [[{ n: 5n }], [{ n: "5" }]],
    "derived connections share transactions",
  );
});

test("the stack of an error points to the call", async (t) => {
  const { url } = await endpoint(t, () => ({
    body: encode.concat(encode.error({ V: "ERROR", C: "42601", M: "syntax error" }), encode.ready()),
  }));
  const sql = connect(url);
  async function inTheUsersCode(run) {
    return await run();
  }
  const calls = [
    () => sql`selec`,
    () => sql.query("selec"),
    () => sql.transaction([sql`selec`]),
    () => sql.with({ int8: "bigint" })`selec`.full(),
  ];
  for (const call of calls) {
    const failure = await inTheUsersCode(call).catch((error) => error);
    const [head, first] = failure.stack.split("\n");
    assert.equal(head, "SqlError: syntax error");
    assert.ok(first.includes("inTheUsersCode") && first.includes("query.test.mjs"), failure.stack);
  }
  // Programs may have stacks in another form.
  const { prepareStackTrace } = Error;
  t.after(() => (Error.prepareStackTrace = prepareStackTrace));
  for (const prepare of [(_, sites) => sites, () => undefined]) {
    Error.prepareStackTrace = prepare;
    const failure = await sql`selec`.catch((error) => error);
    Error.prepareStackTrace = prepareStackTrace;
    assert.equal(failure.code, "42601");
  }
});

test("a query shows neither statement nor parameters nor credentials when it is printed", async (t) => {
  const { url } = await endpoint(t, () => ({ body: one }));
  const sql = connect(url);
  const printed =
    inspect(sql`select ${"secret value"}`, { depth: 10, showHidden: true }) +
    inspect(sql, { depth: 10 }) +
    JSON.stringify(sql.query("select secret"));
  for (const word of ["hunter2", "secret"]) assert.ok(!printed.includes(word), printed);
});

test("the fetch of the options is used, with nothing global", async () => {
  const calls = [];
  const fetch = async (url, init) => {
    calls.push([url, init.method, init.redirect]);
    return new Response(one, { headers: { "content-type": "application/vnd.onetrip.blocks" } });
  };
  const sql = connect("https://role:p%40ss@endpoint.example/my%20app", { fetch });
  assert.deepStrictEqual(await sql`select 1 as one`, [{ one: 1 }]);
  assert.deepEqual(calls, [["https://endpoint.example/v1/my%20app/pipeline", "POST", "manual"]]);
});
