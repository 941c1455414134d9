// The decoder of column blocks: every kind, every mapping, every way to be corrupt.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError, UsageError } from "../dist/errors.js";
import { DEFAULTS } from "../dist/options.js";
import * as encode from "./support/encode.mjs";
import { GroupReader } from "./support/reader.mjs";

const { concat } = encode;

function read(bytes, mapping = {}, arrayRows = false, statements = 1) {
  const reader = new GroupReader(
    Array.from({ length: statements }, () => ({
      text: "select",
      mapping: { ...DEFAULTS, ...mapping },
      arrayRows,
      commandTag: true,
    })),
  );
  reader.push(bytes);
  return reader.finish();
}

function column(kind, oid, values, mapping = {}, options = {}) {
  const [{ rows }] = read(encode.response(values.length, [{ name: "v", oid, kind, values }], options), mapping);
  return rows.map((row) => row.v);
}

const wholeAnswer = (options) =>
  encode.response(
    3,
    [
      { name: "id", oid: 23, kind: "int32", values: [1, null, -3] },
      { name: "name", oid: 25, kind: "text", values: ["Ada", "Zoë 世界 🚀", null] },
      { name: "long", oid: 25, kind: "text", values: ["x".repeat(300), "ß".repeat(300), ""] },
      { name: "yes", oid: 16, kind: "bool", values: [true, null, false] },
      { name: "at", oid: 1184, kind: "timestamp", values: [0, null, 1.7e12] },
      { name: "doc", oid: 3802, kind: "json", values: [{ a: [1] }, null, "ü"] },
      { name: "bytes", oid: 17, kind: "bytea", values: [Uint8Array.of(0, 255), null, new Uint8Array(0)] },
      { name: "score", oid: 701, kind: "float64", values: [0.1, null, -Infinity] },
      { name: "oid", oid: 26, kind: "uint32", values: [4294967295, 0, null] },
    ],
    options,
  );
const wholeRows = [
  {
    id: 1,
    name: "Ada",
    long: "x".repeat(300),
    yes: true,
    at: new Date(0),
    doc: { a: [1] },
    bytes: Uint8Array.of(0, 255),
    score: 0.1,
    oid: 4294967295,
  },
  {
    id: null,
    name: "Zoë 世界 🚀",
    long: "ß".repeat(300),
    yes: null,
    at: null,
    doc: null,
    bytes: null,
    score: null,
    oid: 0,
  },
  {
    id: -3,
    name: null,
    long: "",
    yes: false,
    at: new Date(1.7e12),
    doc: "ü",
    bytes: new Uint8Array(0),
    score: -Infinity,
    oid: null,
  },
];

test("a block of every kind gives plain objects with the right values", () => {
  const [answer] = read(wholeAnswer());
  assert.deepStrictEqual(answer.rows, wholeRows);
  assert.deepStrictEqual(read(wholeAnswer({ joined: true }))[0].rows, wholeRows);
  assert.equal(Object.getPrototypeOf(answer.rows[0]), Object.prototype);
  assert.equal(answer.tag, "SELECT 3");
  assert.deepEqual(answer.fields[0], {
    name: "id",
    typeOid: 23,
    typeSize: -1,
    typeModifier: -1,
    tableOid: 0,
    columnNumber: 1,
  });
});

test("rows as arrays have the same values in the columns' order", () => {
  const [answer] = read(wholeAnswer(), {}, true);
  assert.deepStrictEqual(
    answer.rows,
    wholeRows.map((row) => Object.values(row)),
  );
});

test("several blocks continue the rows", () => {
  const columns = (values) => [{ name: "v", oid: 25, kind: "text", values }];
  const bytes = concat(
    encode.fields(...columns([])),
    encode.block(2, columns(["a", null])),
    encode.block(1, columns(["ö"]), { wide: "utf8" }),
    encode.complete("SELECT 3"),
    encode.ready(),
  );
  assert.deepStrictEqual(read(bytes)[0].rows, [{ v: "a" }, { v: null }, { v: "ö" }]);
});

for (const wide of ["utf8", "utf16"]) {
  test(`text that is not ASCII comes whole through ${wide}`, () => {
    const values = [
      "é",
      "\ufeffBOM",
      "🚀🚀",
      "a\u0000b",
      "",
      "日本語".repeat(80),
      "\ufeff" + "x".repeat(400),
      "ascii",
      null,
      "\u{10ffff}",
    ];
    assert.deepStrictEqual(column("text", 25, values, {}, { wide }), values);
  });
}

test("strings of every length around the limits of a code come whole", () => {
  const values = [0, 1, 12, 13, 251, 252, 253, 254, 255, 256, 65_535, 65_536, 70_000].flatMap((length) => [
    "x".repeat(length),
    "é".repeat(length),
  ]);
  for (const joined of [false, true]) assert.deepStrictEqual(column("text", 25, values, {}, { joined }), values);
});

test("an int8 is what the policy says, from text and from a binary column", () => {
  const digits = ["9223372036854775807", "-9223372036854775808", "0", "-1", "9007199254740991", null];
  for (const kind of ["text", "int64"]) {
    assert.deepStrictEqual(column(kind, 20, digits), digits, kind);
    assert.deepStrictEqual(
      column(kind, 20, digits, { int8: "bigint" }),
      digits.map((value) => value && BigInt(value)),
      kind,
    );
    assert.deepStrictEqual(
      column(kind, 20, digits.slice(2), { int8: "number" }),
      [0, -1, 9007199254740991, null],
      kind,
    );
    for (const unsafe of ["9007199254740992", "-9007199254740992", "9223372036854775807"]) {
      assert.throws(
        () => column(kind, 20, [unsafe], { int8: "number" }),
        (error) => error instanceof UsageError && error.message.includes('"v"') && error.message.includes("bigint"),
        kind,
      );
    }
  }
});

test("any column may come as text and gives the same value", () => {
  const rows = [
    [16, ["t", "f", null], [true, false, null]],
    [21, ["-32768"], [-32768]],
    [23, ["42", null], [42, null]],
    [26, ["4294967295"], [4294967295]],
    [700, ["1.5", "NaN", "-Infinity"], [1.5, NaN, -Infinity]],
    [701, ["0.1", "-0", "1e+300"], [0.1, -0, 1e300]],
    [17, ["\\x00ff", "\\x", "a\\\\b\\001"], [Uint8Array.of(0, 255), new Uint8Array(0), Uint8Array.of(97, 92, 98, 1)]],
    [114, ['{"a": 1}', "null", '"x"'], [{ a: 1 }, null, "x"]],
    [3802, ["[1, 2]"], [[1, 2]]],
    [
      1114,
      ["2026-11-21 22:53:03.123456", "infinity", "-infinity"],
      [new Date("2026-11-21T22:53:03.123Z"), Infinity, -Infinity],
    ],
    [
      1184,
      ["2026-11-21 22:53:03+00", "2026-11-21 22:53:03.5-08", "2026-11-21 22:53:03+05:30"],
      [new Date("2026-11-21T22:53:03Z"), new Date("2026-11-22T06:53:03.500Z"), new Date("2026-11-21T17:23:03Z")],
    ],
    [1700, ["12345678901234567890.10", "NaN"], ["12345678901234567890.10", "NaN"]],
    [1082, ["2026-11-21"], ["2026-11-21"]],
    [1083, ["22:53:03.123456"], ["22:53:03.123456"]],
    [1186, ["1 year 2 mons"], ["1 year 2 mons"]],
    [2950, ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
    [99_999, ["{own,type}"], ["{own,type}"]],
  ];
  for (const [oid, values, expected] of rows)
    assert.deepStrictEqual(column("text", oid, values), expected, `type ${oid}`);
});

test("the mappings of numeric, timestamps and json are switchable", () => {
  assert.deepStrictEqual(column("text", 1700, ["1.50", "NaN", null], { numeric: "number" }), [1.5, NaN, null]);
  assert.deepStrictEqual(
    column("text", 1184, ["2026-11-21 22:53:03.123456+00", "infinity"], { timestamps: "string" }),
    ["2026-11-21 22:53:03.123456+00", "infinity"],
  );
  assert.deepStrictEqual(column("text", 3802, ['{"a": 1}'], { json: "text" }), ['{"a": 1}']);
  assert.throws(() => column("timestamp", 1184, [0], { timestamps: "string" }), ProtocolError);
  assert.throws(() => column("json", 3802, [0], { json: "text" }), ProtocolError);
});

test("timestamps of all times become the right Date, or an error that says what to do", () => {
  assert.deepStrictEqual(
    column("timestamp", 1114, [-62198755200000, 8.64e15, -8.64e15, Infinity, -Infinity, null, -0.0]).map((value) =>
      value instanceof Date ? value.getTime() : value,
    ),
    [-62198755200000, 8.64e15, -8.64e15, Infinity, -Infinity, null, 0],
  );
  const rows = [
    ["0044-03-15 12:00:00 BC", "-000043-03-15T12:00:00.000Z"],
    ["0001-01-01 00:00:00+00", "0001-01-01T00:00:00.000Z"],
    ["0099-12-31 23:59:59.999+00", "0099-12-31T23:59:59.999Z"],
    ["0001-12-31 23:59:59+00 BC", "0000-12-31T23:59:59.000Z"],
    ["10000-01-01 00:00:00+00", "+010000-01-01T00:00:00.000Z"],
    ["275760-09-13 00:00:00+00", "+275760-09-13T00:00:00.000Z"],
    ["1883-11-18 12:03:58-07:56:02", "1883-11-18T20:00:00.000Z"],
    ["2024-02-29 23:59:59.999999+00", "2024-02-29T23:59:59.999Z"],
  ];
  for (const [text, iso] of rows) assert.equal(column("text", 1184, [text])[0].toISOString(), iso, text);
  for (const text of [
    "294276-12-31 23:59:59+00",
    "4713-01-01 00:00:00+00 BC".replace("4713", "290000"),
    "11/21/2026 10:00:00 PST",
    "21.11.2026 10:00:00",
    "",
  ]) {
    if (text !== "")
      assert.throws(
        () => column("text", 1184, [text]),
        (error) =>
          error instanceof UsageError &&
          error.message.includes('timestamps: "string"') &&
          !error.message.includes(text),
        text,
      );
  }
});

test("arrays become arrays of their elements' values", () => {
  const rows = [
    [1007, "{1,NULL,-3}", [1, null, -3]],
    [1007, "{}", []],
    [
      1007,
      "{{1,2},{3,4}}",
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [1007, "[0:1]={5,6}", [5, 6]],
    [
      1007,
      "[-1:0][1:2]={{1,2},{3,4}}",
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [
      1009,
      '{a,"b c","","NULL",NULL,"q\\"uote","back\\\\slash","{,}"}',
      ["a", "b c", "", "NULL", null, 'q"uote', "back\\slash", "{,}"],
    ],
    [1000, "{t,f,NULL}", [true, false, null]],
    [1016, "{9223372036854775807}", ["9223372036854775807"]],
    [1022, "{NaN,Infinity,0.1}", [NaN, Infinity, 0.1]],
    [1231, "{1.10,NaN}", ["1.10", "NaN"]],
    [3807, '{"{\\"a\\": [1, 2]}",NULL,null}', [{ a: [1, 2] }, null, null]],
    [1185, '{"2026-11-21 22:53:03+00",infinity}', [new Date("2026-11-21T22:53:03Z"), Infinity]],
    [1001, '{"\\\\x00ff"}', [Uint8Array.of(0, 255)]],
    [1020, "{(1,1),(0,0);(2,2),(1,1)}", ["(1,1),(0,0)", "(2,2),(1,1)"]],
    [2951, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]],
    [3905, '{"[1,5)",empty}', ["[1,5)", "empty"]],
  ];
  for (const [oid, text, expected] of rows) assert.deepStrictEqual(column("text", oid, [text]), [expected], text);
  assert.deepStrictEqual(column("text", 1016, ["{1,NULL}"], { int8: "bigint" }), [[1n, null]]);
  assert.throws(() => column("text", 1016, ["{9007199254740993}"], { int8: "number" }), UsageError);
  for (const text of [
    "",
    "{",
    "{1",
    "{1,",
    '{"',
    '{"a',
    '{"a\\',
    "1}",
    "{1}}",
    "{1}x",
    "{{{{{{{{{1}}}}}}}}}",
    '{"a"b}',
    "{1;2}",
  ]) {
    if (text === "{1;2}") continue; // a word with a semicolon, which Number makes NaN of: PostgreSQL never writes it.
    assert.throws(() => column("text", 1009, [text]), ProtocolError, text);
  }
});

test("text that is not in its type's format is an error that names column and place, not the value", () => {
  const rows = [
    [16, "yes-secret"],
    [17, "\\xsecret"],
    [17, "\\x0"],
    [17, "\\9secret"],
    [20, "-secret", { int8: "bigint" }],
    [20, "secret", { int8: "number" }],
    [20, "", { int8: "number" }],
    [23, "12secret"],
    [23, ""],
    [701, "secret"],
    [1700, " ", { numeric: "number" }],
    [114, "{secret"],
    [1007, "{1,secret}"],
    [1016, "{secret}", { int8: "bigint" }],
  ];
  for (const [oid, text, mapping] of rows) {
    assert.throws(
      () => column("text", oid, [text], mapping),
      (error) =>
        error instanceof ProtocolError &&
        error.offset > 0 &&
        error.message.includes('"v"') &&
        !error.stack.includes("secret"),
      `type ${oid}: ${text}`,
    );
  }
});

test("objects of a json column are plain objects with their keys in order", () => {
  const text = { kind: "text", values: ["Ada", null, "Zoë"] };
  const inner = { kind: "objects", nulls: [0, 1, 0], members: { x: { kind: "int32", values: [1, 2, 3] } } };
  const members = {
    z: text,
    a: { kind: "bool", values: [true, false, null] },
    n: { kind: "float64", values: [0.5, null, -0] },
    j: { kind: "json", values: [[1], { k: "v" }, null] },
    inner,
    ["__proto__"]: { kind: "int32", values: [7, 8, 9] },
    0: { kind: "int32", values: [4, 5, 6] },
  };
  const columns = [
    { name: "id", oid: 23, kind: "int32", values: [1, 2, 3] },
    { name: "doc", oid: 3802, kind: "objects", nulls: [0, 0, 1], members },
    { name: "after", oid: 25, kind: "text", values: ["é", "b", "c"] },
  ];
  const bytes = concat(
    encode.fields(...columns),
    encode.block(3, columns),
    encode.complete("SELECT 3"),
    encode.ready(),
  );
  const expected = [
    { id: 1, doc: JSON.parse('{"0":4,"z":"Ada","a":true,"n":0.5,"j":[1],"inner":{"x":1},"__proto__":7}'), after: "é" },
    {
      id: 2,
      doc: JSON.parse('{"0":5,"z":null,"a":false,"n":null,"j":{"k":"v"},"inner":null,"__proto__":8}'),
      after: "b",
    },
    { id: 3, doc: null, after: "c" },
  ];
  const [{ rows }] = read(bytes);
  assert.deepStrictEqual(rows, expected);
  assert.equal(JSON.stringify(rows), JSON.stringify(expected));
  assert.equal(Object.getPrototypeOf(rows[0].doc), Object.prototype);
  rows[0].doc.z = "changed";
  assert.equal(read(bytes)[0].rows[0].doc.z, "Ada");
  assert.deepStrictEqual(
    read(bytes, {}, true)[0].rows,
    expected.map((row) => Object.values(row)),
  );
  assert.throws(() => read(bytes, { json: "text" }), ProtocolError);
});

test("objects that no encoder makes are refused", () => {
  const member = { kind: "int32", values: [1] };
  const nested = (depth) => (depth === 0 ? member : { kind: "objects", members: { deeper: nested(depth - 1) } });
  const response = (column) =>
    concat(
      encode.fields({ name: "v", oid: 3802 }),
      encode.block(1, [column]),
      encode.complete("SELECT 1"),
      encode.ready(),
    );
  assert.deepStrictEqual(read(response(nested(4)))[0].rows, [{ v: { deeper: { deeper: { deeper: { deeper: 1 } } } } }]);
  for (const column of [
    nested(5),
    { kind: "objects", members: {} },
    { kind: "objects", members: { a: { kind: "timestamp", values: [1] } } },
    { kind: "objects", members: { a: { kind: "int64", values: ["1"] } } },
    { kind: "objects", members: { a: { kind: "bytea", values: [Uint8Array.of(1)] } } },
  ])
    assert.throws(() => read(response(column)), ProtocolError);
});

test("decoders read text, of columns and of the elements of arrays, and typed columns of theirs are corrupt", () => {
  const decoders = { 25: (text) => text.length, 23: (text) => `i${text}`, 2950: (text) => [text] };
  assert.deepStrictEqual(column("text", 25, ["abc", null, "ß"], { decoders }), [3, null, 1]);
  assert.deepStrictEqual(column("text", 23, ["5"], { decoders }), ["i5"]);
  assert.deepStrictEqual(column("text", 21, ["5"], { decoders }), [5]);
  assert.deepStrictEqual(column("text", 1007, ["{1,NULL}"], { decoders }), [["i1", null]]);
  assert.deepStrictEqual(column("text", 1009, ['{a,"bc"}'], { decoders }), [[1, 2]]);
  assert.deepStrictEqual(column("text", 2951, ["{x}"], { decoders }), [[["x"]]]);
  assert.throws(() => column("int32", 23, [5], { decoders }), ProtocolError);
  const failing = {
    25: (text) => {
      throw new RangeError(text);
    },
  };
  assert.throws(
    () => column("text", 25, ["secret"], { decoders: failing }),
    (error) => error instanceof UsageError && /25.*RangeError.*"v"/.test(error.message) && !/secret/.test(error.stack),
  );
});

test("column names may be anything", () => {
  const names = ["__proto__", "constructor", "toString", "0", "a b", 'q"uote', "Größe", ""];
  const columns = names.map((name, index) => ({ name, oid: 23, kind: "int32", values: [index, index + 100] }));
  const [{ rows }] = read(encode.response(2, columns));
  for (const row of rows) assert.equal(Object.getPrototypeOf(row), Object.prototype);
  for (const [index, name] of names.entries()) {
    assert.ok(Object.hasOwn(rows[1], name), name);
    assert.equal(Object.getOwnPropertyDescriptor(rows[1], name).value, index + 100, name);
  }
  assert.equal(JSON.stringify(rows[0]).includes('"__proto__":0'), true);
});

test("columns of one name: an array keeps both, an object none unless it is told to keep the last", () => {
  const columns = [
    { name: "a", oid: 23, kind: "int32", values: [1] },
    { name: "a", oid: 25, kind: "text", values: ["two"] },
  ];
  assert.throws(() => read(encode.response(1, columns)), UsageError);
  assert.throws(() => read(encode.response(0, columns)), UsageError, "whether there are rows or not");
  assert.deepStrictEqual(read(encode.response(1, columns), { duplicateColumns: "last" })[0].rows, [{ a: "two" }]);
  assert.deepStrictEqual(read(encode.response(1, columns), {}, true)[0].rows, [[1, "two"]]);
});

test("a null in the later of two columns of one name does not let the earlier value through", () => {
  const columns = [
    { name: "a", oid: 23, kind: "int32", values: [1] },
    { name: "a", oid: 25, kind: "text", values: [null] },
  ];
  assert.deepStrictEqual(read(encode.response(1, columns), { duplicateColumns: "last" })[0].rows, [{ a: null }]);
});

test("rows without columns are counted, up to a limit", () => {
  assert.deepStrictEqual(read(encode.response(3, []))[0].rows, [{}, {}, {}]);
  assert.throws(() => read(encode.response(70_000, [])), ProtocolError);
});

test("rows of different results share nothing", () => {
  const [first] = read(wholeAnswer());
  first.rows[0].id = "changed";
  first.rows[0].more = 1;
  assert.deepStrictEqual(read(wholeAnswer())[0].rows, wholeRows);
});

test("more shapes than are kept are decoded as well", () => {
  for (let round = 0; round < 2; round++) {
    for (let shape = 0; shape < 450; shape++) {
      assert.deepStrictEqual(
        read(encode.response(1, [{ name: `c${shape}`, oid: 23, kind: "int32", values: [shape] }]))[0].rows,
        [{ [`c${shape}`]: shape }],
      );
    }
  }
});

test("every prefix of an answer is an error that names the offset", () => {
  for (const whole of [wholeAnswer(), wholeAnswer({ joined: true })]) {
    for (let length = 0; length < whole.length; length++) {
      assert.throws(
        () => read(whole.subarray(0, length)),
        (error) => error instanceof ProtocolError && error.offset === length && error.message.includes("cut short"),
        `after ${length} bytes`,
      );
    }
  }
});

for (const joined of [false, true]) {
  test(`every prefix of a block, framed as if it were whole, is an error${joined ? ", with joined text" : ""}`, () => {
    const columns = [
      { name: "t", oid: 25, kind: "text", values: ["Ada", "Zoë", "x".repeat(300), null] },
      { name: "i", oid: 23, kind: "int32", values: [1, null, 3, 4] },
      { name: "b", oid: 17, kind: "bytea", values: [Uint8Array.of(1), null, Uint8Array.of(2, 3), new Uint8Array(0)] },
      { name: "j", oid: 3802, kind: "json", values: [1, null, { a: 1 }, []] },
      { name: "d", oid: 1184, kind: "timestamp", values: [1, 2, null, 4] },
      { name: "y", oid: 16, kind: "bool", values: [true, false, null, true] },
      {
        name: "o",
        oid: 3802,
        kind: "objects",
        nulls: [0, 1, 0, 0],
        members: { a: { kind: "text", values: ["x", null, "ü", "y"] }, b: { kind: "int32", values: [1, 2, 3, 4] } },
      },
    ];
    const body = encode.block(4, columns, { joined }).subarray(5);
    for (let length = 0; length < body.length; length++) {
      const bytes = concat(
        encode.fields(...columns),
        encode.message("B", body.subarray(0, length)),
        encode.complete("SELECT 4"),
        encode.ready(),
      );
      assert.throws(
        () => read(bytes),
        (error) => error instanceof ProtocolError && error.offset > 0,
        `${length} of ${body.length} bytes`,
      );
    }
    const longer = concat(
      encode.fields(...columns),
      encode.message("B", concat(body, [0])),
      encode.complete("SELECT 4"),
      encode.ready(),
    );
    assert.throws(() => read(longer), ProtocolError);
  });
}

test("flipped bytes give rows or an error of onetrip's, soon and without much memory", () => {
  const answers = [wholeAnswer(), wholeAnswer({ joined: true })];
  let seed = 12345;
  const random = (limit) => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % limit;
  const mappings = [
    { decoders: { 25: (text) => text.length, 1700: BigInt } },
    { int8: "bigint", timestamps: "string" },
    { int8: "number", numeric: "number", json: "text" },
  ];
  let errors = 0;
  const started = performance.now();
  for (let round = 0; round < 30_000; round++) {
    const bytes = answers[random(2)].slice();
    for (let flips = 1 + random(3); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
    try {
      const [{ rows }] = read(bytes, mappings[round % 3], round % 2 === 0);
      assert.ok(rows.length <= bytes.length);
    } catch (error) {
      if (error.constructor.name === "AssertionError") throw error;
      assert.ok(["protocol", "usage", "sql"].includes(error.kind), String(error.stack));
      errors++;
    }
  }
  assert.ok(errors > 5000, `only ${errors} of the flipped answers were refused`);
  assert.ok(performance.now() - started < 60_000);
});

test("counts beyond the bytes are refused before anything is made for them", () => {
  const columns = [{ name: "v", oid: 23, kind: "int32", values: [1] }];
  for (const [offset, name] of [
    [0, "rows"],
    [4, "the ASCII arena"],
    [8, "the wide arena"],
  ]) {
    const block = encode.block(1, columns);
    new DataView(block.buffer).setUint32(5 + offset, 0xffff_fff0, true);
    assert.throws(
      () => read(concat(encode.fields(...columns), block, encode.complete("SELECT 1"), encode.ready())),
      ProtocolError,
      name,
    );
  }
});

test("characters where bytes are counted are refused", () => {
  const columns = [{ name: "v", oid: 25, kind: "text", values: ["ab"] }];
  const block = encode.block(1, columns);
  block.set([0xc3, 0xa9], 5 + 13);
  assert.throws(
    () => read(concat(encode.fields(...columns), block, encode.complete("SELECT 1"), encode.ready())),
    ProtocolError,
  );
});

test("an unknown encoding is refused", () => {
  for (const [value, at] of [
    ["é", 5 + 12],
    ["é".repeat(65_536), 5 + 13 + 2],
  ]) {
    const columns = [{ name: "v", oid: 25, kind: "text", values: [value] }];
    const block = encode.block(1, columns);
    assert.equal(block[at], 1);
    block[at] = 2;
    assert.throws(
      () => read(concat(encode.fields(...columns), block, encode.complete("SELECT 1"), encode.ready())),
      (error) => error instanceof ProtocolError && /encoding 2/.test(error.message),
    );
  }
});

test("messages in the wrong place, of the wrong type or too many are refused", () => {
  const { fields, block, complete, ready, message } = encode;
  const columns = [{ name: "v", oid: 23, kind: "int32", values: [1] }];
  const good = [fields(...columns), block(1, columns), complete("SELECT 1"), ready()];
  assert.equal(read(concat(...good))[0].rows.length, 1);
  const bad = {
    "a block without fields": [block(1, columns), complete("SELECT 1"), ready()],
    "two results": [complete("A"), complete("B"), ready()],
    "no result": [ready()],
    "bytes behind the end": [...good, Uint8Array.of(1)],
    "two ends": [...good, ready()],
    "PostgreSQL's own rows": [message("D", Uint8Array.of(0, 0)), ...good],
    "an unknown message": [message("?"), ...good],
    "a length below 4": [Uint8Array.of(0x43, 0, 0, 0, 3), ...good],
    "fields that are no JSON": [message("F", new TextEncoder().encode("[[")), ...good],
    "fields that are no list": [message("F", new TextEncoder().encode("{}")), ...good],
    "a field of strings": [message("F", new TextEncoder().encode('[["a","b",1,1,1,1,0]]')), ...good],
    "a status of two bytes": [...good.slice(0, 3), message("Z", Uint8Array.of(73, 73))],
  };
  for (const [name, parts] of Object.entries(bad)) assert.throws(() => read(concat(...parts)), ProtocolError, name);
});

test("an answer may come in pieces that end with a message, and offsets count over all", () => {
  const columns = [{ name: "v", oid: 25, kind: "text", values: ["ä"] }];
  const pieces = [
    concat(encode.parseComplete, encode.bindComplete),
    encode.fields(...columns),
    encode.block(1, columns),
    encode.complete("SELECT 1"),
  ];
  const statement = { text: "", mapping: DEFAULTS, arrayRows: false };
  const readerOfPieces = () => {
    const reader = new GroupReader([statement]);
    for (const piece of pieces) reader.push(piece);
    return reader;
  };
  const before = pieces.reduce((sum, piece) => sum + piece.length, 0);
  assert.throws(
    () => readerOfPieces().finish(),
    (error) => error instanceof ProtocolError && error.offset === before,
  );
  const reader = readerOfPieces();
  reader.push(encode.ready());
  assert.deepStrictEqual(reader.finish()[0].rows, [{ v: "ä" }]);
});
