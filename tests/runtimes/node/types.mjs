// Values against the live stack: every built-in type both ways, decoders and encoders, Temporal, types of the user's own;
// from blocks and decoded in WebAssembly, in a time zone that is not UTC.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { connect, UsageError } from "onetrip";
import { arrayOf, compositeOf, decodersByName, multirangeOf, parseInterval, rangeOf, temporal } from "onetrip/types";

const [url, root] = process.argv.slice(2);
const polyfill = createRequire(pathToFileURL(`${root}/package.json`)).resolve("temporal-polyfill");
const { Temporal } = await import(pathToFileURL(polyfill));

assert.notEqual(new Date(2026, 6, 1).getTimezoneOffset(), 0, "this test is to run where local time is not UTC");

const date = (text) => new Date(text);
const bytes = (...values) => Uint8Array.from(values);

// [type, PostgreSQL's text, JavaScript's value]: each is read from the text, and the value sent comes back the same.
const TYPES = [
  ["bool", "t", true],
  ["bytea", "\\x00ff5c27", bytes(0, 255, 92, 39)],
  ["bytea", "\\x", bytes()],
  ["char(5)", "ab   ", "ab   "],
  ['"char"', "x", "x"],
  ["varchar(9)", "ß🐘", "ß🐘"],
  ["text", "", ""],
  ["text", "\ufeffa\u2028b", "\ufeffa\u2028b"],
  ["name", "users", "users"],
  ["int2", "-32768", -32768],
  ["int4", "2147483647", 2147483647],
  ["int8", "-9223372036854775808", "-9223372036854775808"],
  ["oid", "4294967295", 4294967295],
  ["float4", "0.1", 0.1],
  ["float4", "-Infinity", -Infinity],
  ["float8", "5e-324", 5e-324],
  ["float8", "-0", -0],
  ["float8", "NaN", NaN],
  ["numeric", "-12345678901234567890.0987654321", "-12345678901234567890.0987654321"],
  ["numeric", "NaN", "NaN"],
  ["money", "$1,234.50", "$1,234.50"],
  ["date", "2026-03-08", "2026-03-08"],
  ["date", "0044-03-15 BC", "0044-03-15 BC"],
  ["time", "02:30:00.000001", "02:30:00.000001"],
  ["timetz", "02:30:00-05", "02:30:00-05"],
  // Hours that New York's clocks skip and repeat.
  ["timestamp", "2026-03-08 02:30:00", date("2026-03-08T02:30:00Z")],
  ["timestamp", "2026-11-01 01:30:00.123", date("2026-11-01T01:30:00.123Z")],
  ["timestamptz", "2026-03-08 02:30:00+00", date("2026-03-08T02:30:00Z")],
  ["timestamptz", "1883-11-18 12:03:58-04:56:02", date("1883-11-18T17:00:00Z")],
  ["timestamp", "infinity", Infinity],
  ["timestamptz", "-infinity", -Infinity],
  ["timestamptz", "0044-03-15 12:00:00+00 BC", date("-000043-03-15T12:00:00Z")],
  ["timestamptz", "12026-01-01 00:00:00+00", date("+012026-01-01T00:00:00Z")],
  ["interval", "1 year 2 mons -3 days +04:05:06.789", "1 year 2 mons -3 days +04:05:06.789"],
  ["uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["json", '{"b": [1, null], "a": "é"}', { b: [1, null], a: "é" }],
  ["jsonb", '{"a": {"b": 1.5}}', { a: { b: 1.5 } }],
  ["jsonpath", '$."a"', '$."a"'],
  ["xml", "<a>b</a>", "<a>b</a>"],
  ["inet", "10.0.0.1/8", "10.0.0.1/8"],
  ["cidr", "10.0.0.0/8", "10.0.0.0/8"],
  ["macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"],
  ["macaddr8", "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:05"],
  ["bit(3)", "101", "101"],
  ["varbit", "10101", "10101"],
  ["point", "(1.5,-2)", "(1.5,-2)"],
  ["line", "{1,2,3}", "{1,2,3}"],
  ["lseg", "[(0,0),(1,1)]", "[(0,0),(1,1)]"],
  ["box", "(1,1),(0,0)", "(1,1),(0,0)"],
  ["path", "((0,0),(1,1))", "((0,0),(1,1))"],
  ["polygon", "((0,0),(1,1))", "((0,0),(1,1))"],
  ["circle", "<(0,0),1>", "<(0,0),1>"],
  ["tsvector", "'a':1 'b''c'", "'a':1 'b''c'"],
  ["tsquery", "'a' & 'b'", "'a' & 'b'"],
  ["int4range", "[1,10)", "[1,10)"],
  ["int8range", "empty", "empty"],
  ["numrange", "(,1.5]", "(,1.5]"],
  ["tsrange", '["2026-01-01 00:00:00",infinity]', '["2026-01-01 00:00:00",infinity]'],
  ["daterange", "[2026-01-01,2026-01-02)", "[2026-01-01,2026-01-02)"],
  ["int4multirange", "{[1,2),[5,6)}", "{[1,2),[5,6)}"],
  ["pg_lsn", "16/B374D848", "16/B374D848"],
  ["xid8", "5", "5"],
  ["regclass", "pg_type", "pg_type"],
  ["int4[]", "{1,NULL,-3}", [1, null, -3]],
  ["int4[]", "[0:1]={7,8}", [7, 8]],
  ["int4[]", "{}", []],
  ["int8[]", "{9007199254740993}", ["9007199254740993"]],
  [
    "float8[]",
    "{{1,2.5},{Infinity,NaN}}",
    [
      [1, 2.5],
      [Infinity, NaN],
    ],
  ],
  ["bool[]", "{t,f,NULL}", [true, false, null]],
  ["text[]", '{"",NULL,"NULL","a\\"b\\\\c","{,}",é}', ["", null, "NULL", 'a"b\\c', "{,}", "é"]],
  ["bytea[]", '{"\\\\x00ff",NULL}', [bytes(0, 255), null]],
  ["numeric[]", "{1.10,NaN}", ["1.10", "NaN"]],
  ["timestamptz[]", '{"2026-03-08 02:30:00+00",infinity}', [date("2026-03-08T02:30:00Z"), Infinity]],
  ["timestamp[]", '{"2026-03-08 02:30:00"}', [date("2026-03-08T02:30:00Z")]],
  ["date[]", "{2026-03-08}", ["2026-03-08"]],
  ["jsonb[]", '{"{\\"a\\": 1}",NULL}', [{ a: 1 }, null]],
  ["uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
  [
    "text[]",
    '{{a,NULL},{"",é}}',
    [
      ["a", null],
      ["", "é"],
    ],
  ],
  ["bytea[]", '{{"\\\\x00ff"},{"\\\\x"}}', [[bytes(0, 255)], [bytes()]]],
  ["timestamptz[]", '{{"2026-03-08 02:30:00+00"},{-infinity}}', [[date("2026-03-08T02:30:00Z")], [-Infinity]]],
  [
    "jsonb[]",
    '{{"{\\"a\\": 1}",NULL},{"{\\"b\\": [1, 2]}","{}"}}',
    [
      [{ a: 1 }, null],
      [{ b: [1, 2] }, {}],
    ],
  ],
  [
    "int8[]",
    "{{{1},{NULL}},{{2},{3}}}",
    [
      [["1"], [null]],
      [["2"], ["3"]],
    ],
  ],
  ["int4range[]", '{"[1,3)"}', ["[1,3)"]],
  ["interval[]", '{"1 day","-00:00:01"}', ["1 day", "-00:00:01"]],
];

// The one type whose arrays have another delimiter, which nothing tells who writes a parameter: it is sent as text.
const BOXES = "{(1,1),(0,0);(2,2),(1,1)}";

async function bothWays(sql) {
  assert.deepStrictEqual(await sql`select ${BOXES}::box[]`.value(), ["(1,1),(0,0)", "(2,2),(1,1)"]);
  for (const [type, text, value] of TYPES) {
    const cast = sql.unsafe(type);
    const [read, sent, none] = await sql`select ${text}::text::${cast}, ${value}::${cast}, null::${cast}`
      .arrays()
      .one();
    assert.deepStrictEqual(read, value, `${type}: ${text}`);
    assert.deepStrictEqual(sent, value, `${type}: ${text} as a parameter`);
    assert.strictEqual(none, null, type);
  }
}

/** Every type that decoders can have, to whom PostgreSQL's own text must come. */
async function decoders(sql) {
  const oids = await sql`
    select t.oid::text from pg_type t where t.typtype = 'b' and t.typnamespace = 'pg_catalog'::regnamespace
  `.column();
  const marked = sql.with({ decoders: Object.fromEntries(oids.map((oid) => [oid, (text) => ({ text })])) });
  for (const [type, text] of TYPES) {
    if (type.includes("range")) continue;
    const cast = sql.unsafe(type);
    const { found, none } = await marked`select ${text}::text::${cast} as found, null::${cast} as none`.one();
    // The one text of the table that is not as PostgreSQL writes it.
    const output = text.replace("12:03:58-04:56:02", "17:00:00+00");
    if (!type.endsWith("[]")) assert.deepStrictEqual(found, { text: output }, `${type}: ${text}`);
    assert.strictEqual(none, null);
  }
  const each = sql.with({ decoders: { 23: (text) => `i${text}`, 1700: Number, 2950: (text) => text.slice(0, 2) } });
  const [first, second] = await sql.transaction([
    each`select 1 as a, array[[1, null], [2, 3]] as b, 1.5 as c, array[1.5] as d, array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid] as e, 2::int2 as f`.one(),
    sql`select 1 as a, 1.5 as c, true as t, 1.5::float8 as f, '\\x00'::bytea as b`.one(),
  ]);
  assert.deepStrictEqual(first, {
    a: "i1",
    b: [
      ["i1", null],
      ["i2", "i3"],
    ],
    c: 1.5,
    d: [1.5],
    e: ["a0"],
    f: 2,
  });
  assert.deepStrictEqual(second, { a: 1, c: "1.5", t: true, f: 1.5, b: bytes(0) });
  const one = sql.query("select 5 as a, 1.5 as b", [], { decoders: { 23: BigInt } });
  assert.deepStrictEqual(await one, [{ a: 5n, b: "1.5" }]);
  const failing = sql.with({
    decoders: {
      1700: (text) => {
        throw new RangeError(`secret ${text}`);
      },
    },
  });
  const failure = await failing`select 1.5 as price`.catch((error) => error);
  assert.ok(failure instanceof UsageError && failure.outcome === "executed", String(failure));
  assert.match(failure.message, /1700.*RangeError.*"price"/);
  assert.ok(!/secret|1\.5/.test(failure.stack) && failure.cause === undefined);
}

async function encoders(sql) {
  class Money {
    constructor(cents) {
      this.cents = cents;
    }
  }
  const money = sql.with({
    encoders: [
      [Money, ({ cents }) => (cents / 100).toFixed(2)],
      [600, ({ x, y }) => `(${x},${y})`],
      ["int4range", ([from, to]) => `[${from},${to})`],
    ],
  });
  const found = await money`
    select ${new Money(1250)}::numeric as a, ${[new Money(5), null]}::numeric[] as b, ${money.typed({ x: 1, y: 2 }, 600)} as c,
      ${money.typed([1, 5], "int4range")} as d, ${money.typed(null, 600)} as e, ${"x"} as f, pg_typeof(${money.typed("7", 20)})::text as g,
      pg_typeof(${money.typed([1], "pg_catalog.int8[]")})::text as h
  `.one();
  assert.deepStrictEqual(found, {
    a: "12.50",
    b: ["0.05", null],
    c: "(1,2)",
    d: "[1,5)",
    e: null,
    f: "x",
    g: "bigint",
    h: "bigint[]",
  });
  const [typed] = await sql.query("select pg_typeof($2)::text as t, $1::text as u", ["a", sql.typed(1, 21)]);
  assert.deepStrictEqual(typed, { t: "smallint", u: "a" });
  const [once] = await sql.query("select $1::numeric as a", [new Money(1250)], {
    encoders: [[Money, ({ cents }) => String(cents)]],
  });
  assert.deepStrictEqual(once, { a: "1250" });
  const dates = sql.with({ encoders: [[Date, () => "2000-01-01T00:00:00Z"]] });
  assert.deepStrictEqual(await dates`select ${new Date()}::timestamptz`.value(), date("2000-01-01T00:00:00Z"));
  const failing = sql.with({
    encoders: [
      [
        Money,
        ({ cents }) => {
          throw new RangeError(`secret ${cents}`);
        },
      ],
    ],
  });
  const failure = await failing`select ${1}::int, ${new Money(5)}::int`.catch((error) => error);
  assert.ok(failure instanceof UsageError && !failure.stack.includes("secret"), String(failure));
  assert.match(failure.message, /\$2.*RangeError/);
}

async function temporalValues(sql) {
  const exact = sql.with({ decoders: temporal(Temporal) });
  const rows = [
    ["timestamptz", "2026-03-08 02:30:00.123456+00", Temporal.Instant.from("2026-03-08T02:30:00.123456Z")],
    ["timestamptz", "0044-03-15 12:00:00+00 BC", Temporal.Instant.from("-000043-03-15T12:00:00Z")],
    ["timestamptz", "12026-01-01 00:00:00+00", Temporal.Instant.from("+012026-01-01T00:00:00Z")],
    ["timestamp", "2026-03-08 02:30:00.000001", Temporal.PlainDateTime.from("2026-03-08T02:30:00.000001")],
    ["timestamp", "0001-01-01 00:00:00", Temporal.PlainDateTime.from("0001-01-01T00:00:00")],
    ["date", "2026-03-08", Temporal.PlainDate.from("2026-03-08")],
    ["date", "0001-01-01 BC", Temporal.PlainDate.from("0000-01-01")],
    ["date", "12026-01-01", Temporal.PlainDate.from("+012026-01-01")],
    ["time", "02:30:00.000001", Temporal.PlainTime.from("02:30:00.000001")],
  ];
  for (const [type, text, value] of rows) {
    const cast = sql.unsafe(type);
    const query = exact`select ${text}::text::${cast}, ${value}::${cast}, array[null, ${value}::${cast}], ${[value]}::${cast}[]`;
    const [read, sent, array, sentArray] = await query.arrays().one();
    assert.strictEqual(read.constructor, value.constructor, text);
    for (const found of [read, sent, array[1], sentArray[0]])
      assert.ok(found.equals(value), `${type}: ${found} for ${value}`);
  }
  assert.deepStrictEqual(await exact`select 'infinity'::timestamptz, '-infinity'::date`.arrays().one(), [
    Infinity,
    -Infinity,
  ]);
  const zoned = Temporal.ZonedDateTime.from("2026-07-01T12:00:00[America/New_York]");
  assert.deepStrictEqual(await sql`select ${zoned}::timestamptz`.value(), date("2026-07-01T16:00:00Z"));
  const duration = Temporal.Duration.from("P1Y2M3DT4H5M6.789S");
  const interval = await sql.query("select $1::interval as i", [duration], { decoders: { 1186: parseInterval } }).one();
  assert.equal(
    Temporal.Duration.from(interval.i).round({ largestUnit: "years", relativeTo: "2026-01-01" }).toString(),
    String(duration),
  );
}

async function ownTypes(sql, name) {
  const schema = sql.identifier(`types ${name} "q"`);
  await sql.transaction([
    sql`drop schema if exists ${schema} cascade`,
    sql`create schema ${schema}`,
    sql`create type ${schema}.mood as enum ('sad', 'it''s "ok", {really}')`,
    sql`create type ${schema}.place as (name text, spot point, number int4)`,
    sql`create domain ${schema}.positive as int4 check (value > 0)`,
  ]);
  try {
    const quoted = `"types ${name} ""q"""`;
    const decoders = await decodersByName(sql, {
      [`${quoted}.mood`]: String,
      [`${quoted}.place`]: compositeOf({ name: String, spot: String, number: Number }),
      [`${quoted}.positive`]: Number,
    });
    const typed = sql.with({
      decoders: { ...decoders, 3904: rangeOf(Number), 4451: multirangeOf(Number), 3910: rangeOf(String) },
    });
    const happy = 'it\'s "ok", {really}';
    const found = await typed`
      select ${happy}::${schema}.mood as mood, ${[happy, null, "sad"]}::${schema}.mood[] as moods,
        row(${'a "b", (c) \\'}::text, point(1, 2), null)::${schema}.place as place,
        array[row('', null, 5)::${schema}.place, null] as places, 5::${schema}.positive as positive,
        array[5, 6]::${schema}.positive[] as positives,
        '[1,10)'::int4range as range, '{[1,2),(5,)}'::int4multirange as ranges, array['empty'::int4range] as empty,
        tstzrange('2026-01-01 00:00:00Z', null) as times, '{}'::int4multirange as none
    `.one();
    assert.deepStrictEqual(found, {
      mood: happy,
      moods: [happy, null, "sad"],
      place: { name: 'a "b", (c) \\', spot: "(1,2)", number: null },
      places: [{ name: "", spot: null, number: 5 }, null],
      positive: 5,
      positives: [5, 6],
      range: { lower: 1, upper: 10, lowerInclusive: true, upperInclusive: false, empty: false },
      ranges: [
        { lower: 1, upper: 2, lowerInclusive: true, upperInclusive: false, empty: false },
        { lower: 6, upper: null, lowerInclusive: true, upperInclusive: false, empty: false },
      ],
      empty: [{ lower: null, upper: null, lowerInclusive: false, upperInclusive: false, empty: true }],
      times: {
        lower: "2026-01-01 00:00:00+00",
        upper: null,
        lowerInclusive: true,
        upperInclusive: false,
        empty: false,
      },
      none: [],
    });
    await assert.rejects(decodersByName(sql, { no_such_type: String }), /no_such_type/);
    assert.equal(typeof arrayOf(String), "function");
  } finally {
    await sql`drop schema ${schema} cascade`;
  }
}

async function duplicates(sql) {
  const query = (connection) => connection`select 1 as id, 2 as other, 3 as id`;
  const failure = await query(sql).catch((error) => error);
  assert.ok(
    failure instanceof UsageError && failure.outcome === "executed" && failure.message.includes('"id"'),
    String(failure),
  );
  await assert.rejects(sql`select 1 as id, 3 as id where false`, UsageError, "whether there are rows or not");
  assert.deepStrictEqual(await query(sql).arrays(), [[1, 2, 3]]);
  const last = sql.with({ duplicateColumns: "last" });
  assert.deepStrictEqual(await query(last), [{ id: 3, other: 2 }]);
  const [kept, arrays] = await sql.transaction([query(last).one(), query(sql).arrays()]);
  assert.deepStrictEqual([kept, arrays], [{ id: 3, other: 2 }, [[1, 2, 3]]]);
}

for (const decode of ["endpoint", "local"]) {
  const sql = connect(url, { decode });
  await bothWays(sql);
  await decoders(sql);
  await encoders(sql);
  await temporalValues(sql);
  await ownTypes(sql, `${decode} ${process.pid}`);
  await duplicates(sql);
}
console.log(`types: ${TYPES.length} values both ways, decoders, encoders, Temporal, types by name, duplicate names`);
