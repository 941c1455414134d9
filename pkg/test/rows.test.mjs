// The short way to the rows of one statement: it gives what the long way gives, or leaves the answer to it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { DEFAULTS } from "../dist/options.js";
import { ResponseReader, readRows } from "../dist/response.js";
import * as encode from "./support/encode.mjs";

const { vectors } = JSON.parse(readFileSync(new URL("../../tests/vectors/answers.json", import.meta.url), "utf8"));
const answers = vectors
  .filter(({ request }) => request.batch === undefined)
  .map(({ name, blocks }) => ({ name, bytes: new Uint8Array(Buffer.from(blocks, "hex")) }));
const statement = { text: "", params: [], types: undefined, mapping: DEFAULTS, arrayRows: false, commandTag: false };
const groupOf = (options) => ({ statements: [{ ...statement, ...options }], mode: undefined });

const ALL = { depth: null, maxArrayLength: null, maxStringLength: null };

/** How many of these the short way read; each as the long way does. */
function compare(bytes, group, name) {
  const short = readRows(bytes, [group]);
  if (short === undefined) return 0;
  const reader = new ResponseReader([group]);
  reader.push(bytes);
  // As text, for an invalid Date is not even equal to itself.
  assert.equal(inspect([[short]], ALL), inspect(reader.finish(), ALL), name);
  return 1;
}

test("what PostgreSQL answered is read alike", () => {
  let read = 0;
  for (const { name, bytes } of answers)
    for (const options of [{}, { arrayRows: true }, { mapping: { ...DEFAULTS, json: "text" } }])
      read += compare(bytes, groupOf(options), name);
  assert.ok(read > answers.length, `only ${read} answers were read by the short way`);
});

test("no part of an answer is taken for the whole", () => {
  for (const { name, bytes } of answers.filter(({ bytes }) => bytes.length < 5000))
    for (let length = 0; length < bytes.length; length++)
      assert.equal(readRows(bytes.subarray(0, length), [groupOf({})]), undefined, `${length} bytes of ${name}`);
});

test("flipped bytes are read alike, or left to the long way", () => {
  let seed = 271828;
  const random = (limit) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % limit;
  const short = answers.filter(({ bytes }) => bytes.length < 5000);
  let read = 0;
  for (let round = 0; round < 20_000; round++) {
    const { name, bytes } = short[round % short.length];
    const flipped = bytes.slice();
    for (let flips = 1 + random(3); flips > 0; flips--) flipped[random(flipped.length)] = random(256);
    read += compare(flipped, groupOf({ arrayRows: round % 2 === 1 }), name);
  }
  assert.ok(read > 1000 && read < 19_000, `${read} of the flipped answers were read`);
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
