// The short ways to the rows of one statement, and to one row: they give what the long way gives, or leave the answer to it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { decodeByBuffer } from "../dist/buffer.js";
import { DEFAULTS } from "../dist/options.js";
import { ResponseReader, readRows } from "../dist/response.js";
import { readRow } from "../dist/row.js";
import * as encode from "./support/encode.mjs";

decodeByBuffer();

const { vectors } = JSON.parse(readFileSync(new URL("../../tests/vectors/answers.json", import.meta.url), "utf8"));
const answers = vectors
  .filter(({ request }) => request.batch === undefined)
  .flatMap(({ name, blocks, blocks_joined }) => [
    [name, blocks],
    [`${name}, joined`, blocks_joined],
  ])
  .map(([name, hex]) => ({ name, bytes: new Uint8Array(Buffer.from(hex, "hex")) }));
const statement = { text: "", params: [], types: undefined, mapping: DEFAULTS, arrayRows: false, commandTag: false };
const groupOf = (options) => ({ statements: [{ ...statement, ...options }], mode: undefined });

const ALL = { depth: null, maxArrayLength: null, maxStringLength: null };

/** As text, for an invalid Date is not even equal to itself. */
const shown = (value) => inspect(value, ALL);

/** What reads one row, of bytes that lie in a buffer of their own. */
function rowOf(bytes, { statements: [{ mapping, arrayRows }] }) {
  return readRow(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), mapping, arrayRows);
}

/** How many of these the short way read, and how many of those were one row to the shortest; each as the long way does. */
function compare(bytes, group, name, read = { rows: 0, row: 0 }) {
  const short = readRows(bytes, [group]);
  // Behind the other, from which it knows the fields.
  const row = rowOf(bytes, group);
  if (row !== undefined) {
    assert.equal(shown(row), shown(short), `${name}, as one row`);
    read.row++;
  }
  if (short === undefined) return read;
  const reader = new ResponseReader([group]);
  reader.push(bytes);
  assert.equal(shown([[short]]), shown(reader.finish()), name);
  read.rows++;
  return read;
}

test("what PostgreSQL answered is read alike", () => {
  const read = { rows: 0, row: 0 };
  for (const { name, bytes } of answers)
    for (const options of [{}, { arrayRows: true }, { mapping: { ...DEFAULTS, json: "text" } }])
      compare(bytes, groupOf(options), name, read);
  assert.ok(read.rows > answers.length, `only ${read.rows} answers were read by the short way`);
  assert.ok(read.row > answers.length / 2, `only ${read.row} of them as one row`);
});

test("no part of an answer is taken for the whole", () => {
  for (const { name, bytes } of answers.filter(({ bytes }) => bytes.length < 5000))
    for (let length = 0; length < bytes.length; length++) {
      readRows(bytes, [groupOf({})]);
      assert.equal(readRows(bytes.subarray(0, length), [groupOf({})]), undefined, `${length} bytes of ${name}`);
      assert.equal(rowOf(bytes.subarray(0, length), groupOf({})), undefined, `${length} bytes of ${name}, as one row`);
    }
});

test("flipped bytes are read alike, or left to the long way", () => {
  let seed = 271828;
  // Without the low bits, which repeat after a few steps.
  const random = (limit) => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % limit;
  const short = answers.filter(({ bytes }) => bytes.length < 5000);
  const read = { rows: 0, row: 0 };
  for (let round = 0; round < 20_000; round++) {
    const { name, bytes } = short[random(short.length)];
    readRows(bytes, [groupOf({})]);
    const flipped = bytes.slice();
    for (let flips = 1 + random(3); flips > 0; flips--) flipped[random(flipped.length)] = random(256);
    compare(flipped, groupOf({ arrayRows: random(2) === 1 }), name, read);
  }
  assert.ok(read.rows > 1000 && read.rows < 19_000, `${read.rows} of the flipped answers were read`);
  assert.ok(read.row > 500 && read.row < read.rows, `${read.row} of them as one row`);
});

test("what is not rows of one statement alone is left to the long way", () => {
  const whole = encode.response(1, [{ name: "v", oid: 23, kind: "int32", values: [1] }]);
  const group = groupOf({});
  assert.notEqual(readRows(whole, [group]), undefined);
  assert.equal(readRows(whole, [group, group]), undefined);
  assert.equal(readRows(whole, [{ ...group, mode: { readOnly: true } }]), undefined);
  assert.equal(readRows(whole, [{ ...group, statements: [statement, statement] }]), undefined);
  assert.equal(readRows(whole, [groupOf({ commandTag: true })]), undefined);
  assert.equal(readRows(encode.concat(whole, whole), [group]), undefined);
  assert.equal(readRows(encode.concat(encode.complete("SELECT 1"), encode.ready()), [group]), undefined);
  assert.equal(
    readRows(encode.concat(encode.error({ V: "ERROR", C: "42601", M: "no" }), encode.ready()), [group]),
    undefined,
  );
  const twice = encode.response(1, [
    { name: "v", oid: 23, kind: "int32", values: [1] },
    { name: "v", oid: 23, kind: "int32", values: [2] },
  ]);
  assert.equal(readRows(twice, [group]), undefined);
  const failing = { ...DEFAULTS, decoders: { 25: () => assert.fail() } };
  const text = encode.response(1, [{ name: "v", oid: 25, kind: "text", values: ["a"] }]);
  assert.equal(readRows(text, [groupOf({ mapping: failing })]), undefined);
});

/** The row that both short ways read, and that has come both ways: `null` where it is not for the shortest. */
function both(columns, options, encoding) {
  const group = groupOf(options);
  const bytes = encode.response(1, columns, encoding);
  compare(bytes, group, shown(columns));
  return rowOf(bytes, group)?.rows[0] ?? null;
}

test("one row has every kind of value, and NULL of each", () => {
  const long = "long ".repeat(99);
  const values = [
    { oid: 25, kind: "text", values: ["", "ASCII", "Zoë", "日本語 👋", long, `${long}é`] },
    { oid: 16, kind: "bool", values: [true, false] },
    { oid: 23, kind: "int32", values: [0, -1, 2 ** 31 - 1] },
    { oid: 26, kind: "uint32", values: [0, 2 ** 32 - 1] },
    { oid: 701, kind: "float64", values: [0.1, -0, Infinity] },
    { oid: 20, kind: "int64", values: [0n, -(2n ** 63n), 42n] },
    { oid: 1184, kind: "timestamp", values: [0, -62135596800000, Infinity, 1764144000123] },
    { oid: 3802, kind: "json", values: [{ a: [1, "é"] }, [], "text", 5] },
    { oid: 17, kind: "bytea", values: [Uint8Array.of(), Uint8Array.of(0, 255)] },
    { oid: 1007, kind: "text", values: ["{1,NULL,3}"] },
    { oid: 1700, kind: "text", values: ["12345678901234567890.5"] },
  ];
  let seen = 0;
  for (const { oid, kind, values: some } of values) {
    for (const value of [...some, null]) {
      for (const encoding of [{ wide: "utf8" }, { wide: "utf16" }, { joined: true }]) {
        for (const mapping of [DEFAULTS, { ...DEFAULTS, int8: "bigint" }]) {
          for (const arrayRows of [false, true]) {
            const columns = [
              { name: "before", oid: 25, kind: "text", values: ["bé"] },
              { name: "value", oid, kind, values: [value] },
              { name: "behind", oid: 23, kind: "int32", values: [7] },
            ];
            const row = both(columns, { mapping, arrayRows }, encoding);
            assert.ok(row !== null, shown(columns));
            const [before, , behind] = arrayRows ? row : [row.before, row.value, row.behind];
            assert.deepEqual([before, behind], ["bé", 7]);
            seen++;
          }
        }
      }
    }
  }
  assert.ok(seen > 300);
});

test("one row that is not to be read in one go is left to the others", () => {
  const value = { name: "v", oid: 23, kind: "int32", values: [1] };
  assert.deepEqual(both([value]), { v: 1 });
  assert.equal(both([{ ...value, name: "__proto__" }]), null);
  assert.equal(both([value, value], { mapping: { ...DEFAULTS, duplicateColumns: "last" } }), null);
  assert.equal(both([value], { mapping: { ...DEFAULTS, decoders: {} } }), null);
  assert.equal(
    both([{ ...value, kind: "int64", values: [2n ** 60n] }], { mapping: { ...DEFAULTS, int8: "number" } }),
    null,
  );
  assert.equal(
    both([{ name: "v", oid: 1184, kind: "timestamp", values: [0] }], {
      mapping: { ...DEFAULTS, timestamps: "string" },
    }),
    null,
  );
  assert.equal(both([]), null);
  for (const rows of [0, 2]) {
    const bytes = encode.response(rows, [{ ...value, values: [1, 2].slice(0, rows) }]);
    assert.equal(rowOf(bytes, groupOf({})), undefined);
  }
  // Fields that were not met, and others of the same length that were met since.
  const unknown = encode.response(1, [{ ...value, name: "a".repeat(77) }]);
  assert.equal(rowOf(unknown, groupOf({})), undefined);
  readRows(unknown, [groupOf({})]);
  assert.deepEqual(rowOf(unknown, groupOf({})).rows, [{ ["a".repeat(77)]: 1 }]);
  readRows(encode.response(1, [{ ...value, name: "b".repeat(77) }]), [groupOf({})]);
  assert.equal(rowOf(unknown, groupOf({})), undefined);
});

test("every byte of an answer of one row may be any other", () => {
  const columns = [
    { name: "id", oid: 23, kind: "int32", values: [1] },
    { name: "name", oid: 25, kind: "text", values: ["Zoë"] },
    { name: "seen", oid: 1184, kind: "timestamp", values: [0] },
    { name: "on", oid: 16, kind: "bool", values: [true] },
    { name: "big", oid: 20, kind: "int64", values: [5n] },
    { name: "data", oid: 3802, kind: "json", values: [{ a: 1 }] },
    { name: "raw", oid: 17, kind: "bytea", values: [Uint8Array.of(1, 2)] },
    { name: "note", oid: 25, kind: "text", values: ["é".repeat(300)] },
  ];
  const read = { rows: 0, row: 0 };
  for (const part of [columns.slice(0, 4), columns.slice(4, 7), columns.slice(7)]) {
    const bytes = encode.response(1, part);
    for (let at = 0; at < bytes.length; at++) {
      for (let value = 0; value < 256; value++) {
        // Of the long one fewer.
        if (bytes.length > 400 && value > 3 && value % 15 !== 0) continue;
        const changed = bytes.slice();
        changed[at] = value;
        readRows(bytes, [groupOf({})]);
        compare(changed, groupOf({ arrayRows: (at + value) % 2 === 1 }), `byte ${at} as ${value}`, read);
      }
    }
  }
  assert.ok(read.row > 1000 && read.row < read.rows, `${read.row} were read as one row`);
});
