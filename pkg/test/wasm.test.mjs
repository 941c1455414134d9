// The WebAssembly module behind its seam: it survives a trap, and the vectors of the real server pass through it.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { loadFrom } from "../dist/load.js";
import { DEFAULTS } from "../dist/options.js";
import { readFrames, wireMapping } from "../dist/wasm.js";
import { GroupReader } from "./support/reader.mjs";

const load = loadFrom(() => readFileSync(new URL("../dist/wasm/onetrip_bg.wasm", import.meta.url)));
const mappingOf = (mapping) => wireMapping([{ statements: [{ mapping }], mode: undefined }]);
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

test("a trap ends one answer and no other", async () => {
  const wasm = await load();
  const select = bytes(vectors().find(({ name }) => name === "one_row_of_each_kind").frames);
  const good = () => {
    const response = new GroupReader([{ text: "", mapping: DEFAULTS, arrayRows: false }]);
    readFrames(wasm, select, "utf16", mappingOf(DEFAULTS), response);
    return response.finish()[0].rows.length;
  };
  assert.equal(good(), 1);
  // Asked for more memory than there is, the module traps.
  let resets = 0;
  const greedy = {
    exports: { ...wasm.exports, input: () => wasm.exports.input(0xffff_ffff) },
    reset: () => {
      resets++;
      wasm.reset();
    },
  };
  const before = wasm.exports.memory;
  assert.throws(
    () => readFrames(greedy, select, "utf16", mappingOf(DEFAULTS), new GroupReader([])),
    (error) => error.kind === "protocol" && error.cause instanceof WebAssembly.RuntimeError,
  );
  assert.equal(resets, 1);
  assert.notEqual(wasm.exports.memory, before);
  assert.equal(good(), 1);
});

test("flipped bytes in frames give rows or an error of onetrip's, and never a trap", async () => {
  const wasm = await load();
  let seed = 4711;
  const random = (limit) => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % limit;
  const originals = vectors().map(({ frames, request }) => [bytes(frames), (request.batch ?? [request]).length]);
  let errors = 0;
  for (let round = 0; round < 20_000; round++) {
    const [original, count] = originals[round % originals.length];
    const frames = original.slice();
    for (let flips = 1 + random(3); flips > 0; flips--) frames[random(frames.length)] = random(256);
    const mapping = [DEFAULTS, { ...DEFAULTS, int8: "bigint" }, { ...DEFAULTS, timestamps: "string", json: "text" }][
      round % 3
    ];
    const response = new GroupReader(Array.from({ length: count }, () => ({ text: "", mapping, arrayRows: false })));
    try {
      readFrames(wasm, frames, round % 2 ? "utf8" : "utf16", mappingOf(mapping), response);
      response.finish();
    } catch (error) {
      assert.ok(error.kind !== undefined && error.cause === undefined, String(error.cause?.stack ?? error.stack));
      errors++;
    }
  }
  assert.ok(errors > 5000, `only ${errors} of the flipped answers were refused`);
});

/** An answer in frames with one text column of these values. */
function framesOf(values) {
  const frame = (tag, body) => {
    const message = Buffer.alloc(5 + body.length);
    message.write(tag);
    message.writeUInt32BE(body.length + 4, 1);
    message.set(body, 5);
    return message;
  };
  const column = Buffer.concat([
    Buffer.from("v\0"),
    Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]),
  ]);
  const row = (value) => {
    const head = Buffer.from([0, 1, 0, 0, 0, 0]);
    head.writeUInt32BE(value.length, 2);
    return frame("D", Buffer.concat([head, value]));
  };
  return Buffer.concat([
    frame("T", Buffer.concat([Buffer.from([0, 1]), column])),
    ...values.map(row),
    frame("C", Buffer.from(`SELECT ${values.length}\0`)),
    frame("Z", Buffer.from("I")),
  ]);
}

test("text of any length that is not UTF-8, as a database of SQL_ASCII has it, is replaced where it is none", async () => {
  const wasm = await load();
  const values = [1, 100, 251, 252, 253, 1000, 40_000, 65_535, 65_536, 70_000].flatMap((length) => [
    Buffer.concat([Buffer.alloc(length - 1, "é"), Buffer.from([0xff])]),
    Buffer.concat([Buffer.alloc(length, "x"), Buffer.from([0xe2, 0x82])]),
  ]);
  const frames = framesOf(values);
  for (const strings of ["utf8", "utf16"]) {
    const response = new GroupReader([{ text: "", mapping: DEFAULTS, arrayRows: false }]);
    readFrames(wasm, frames, strings, mappingOf(DEFAULTS), response);
    const found = response.finish()[0].rows.map(({ v }) => v);
    assert.deepEqual(
      found,
      values.map((value) => value.toString()),
    );
    assert.ok(found.every((text) => text.includes("\ufffd")));
  }
});

test("the module's memory stays small, however long the answers are", async () => {
  const wasm = await load();
  // Without what the tests above have left in it.
  wasm.reset();
  const long = framesOf(Array.from({ length: 30_000 }, () => Buffer.alloc(1000, "x")));
  for (let round = 0; round < 3; round++) {
    const response = new GroupReader([{ text: "", mapping: DEFAULTS, arrayRows: false }]);
    readFrames(wasm, long, "utf16", mappingOf(DEFAULTS), response);
    assert.equal(response.finish()[0].rows.length, 30_000);
  }
  assert.ok(
    wasm.exports.memory.buffer.byteLength < 4 << 20,
    `${wasm.exports.memory.buffer.byteLength} bytes after answers of ${long.length}`,
  );
});

function vectors() {
  return JSON.parse(readFileSync(new URL("../../tests/vectors/answers.json", import.meta.url), "utf8")).vectors;
}

test("the vectors are there", () => {
  assert.ok(existsSync(new URL("../../tests/vectors/answers.json", import.meta.url)));
  assert.ok(vectors().length >= 20);
});

/** What a runner can compare: values that typed JSON has, too, in the form that JavaScript gives them. */
function outcome(read) {
  try {
    return {
      results: read().map(({ rows, fields, tag }) => ({
        rows,
        names: fields.map(({ name, typeOid }) => [name, typeOid]),
        tag,
      })),
    };
  } catch (error) {
    return { error: { kind: error.kind, code: error.code, message: error.message, statement: error.statement } };
  }
}

for (const vector of vectors()) {
  test(`vector ${vector.name}: blocks of the gateway and of WebAssembly give the same`, async () => {
    const wasm = await load();
    const statements = (vector.request.batch ?? [vector.request]).map(({ sql }) => sql);
    const wanted = (mapping, arrayRows) =>
      statements.map((text) => ({ text, mapping: { ...DEFAULTS, ...mapping }, arrayRows }));
    for (const arrayRows of [true, false]) {
      let typed;
      for (const [member, mapping] of [
        ["blocks", {}],
        ["blocks_utf16", {}],
        ["blocks_joined", {}],
        ["blocks_text", { timestamps: "string", json: "text" }],
        ["blocks_int8", { int8: "bigint" }],
      ]) {
        const made = outcome(() => {
          const reader = new GroupReader(wanted(mapping, arrayRows));
          reader.push(bytes(vector[member]));
          return reader.finish();
        });
        for (const strings of ["utf8", "utf16"]) {
          const local = outcome(() => {
            const reader = new GroupReader(wanted(mapping, arrayRows));
            readFrames(wasm, bytes(vector.frames), strings, mappingOf({ ...DEFAULTS, ...mapping }), reader);
            return reader.finish();
          });
          assert.deepStrictEqual(local, made, `${member}, made in WebAssembly with ${strings}`);
        }
        if (member === "blocks") typed = made;
        if (member === "blocks_utf16" || member === "blocks_joined") assert.deepStrictEqual(made, typed);
      }
      compareWithTypedJson(typed, vector.json, arrayRows);
    }
  });
}

function compareWithTypedJson(made, json, arrayRows) {
  if (json.error !== undefined) {
    assert.ok(made.error !== undefined);
    if (made.error.kind === "sql")
      assert.deepEqual([made.error.code, made.error.message], [json.error.code, json.error.message]);
    return;
  }
  if (made.error !== undefined || !arrayRows) return; // A transaction left open is no error in typed JSON; objects were compared as arrays.
  const results = json.results ?? [json];
  for (const [index, result] of results.entries()) {
    assert.deepEqual(
      made.results[index].names,
      result.fields.map(({ name, type_oid }) => [name, type_oid]),
    );
    for (const [row, values] of result.rows.entries()) {
      for (const [column, value] of values.entries()) {
        const [, oid] = made.results[index].names[column];
        assert.deepStrictEqual(
          asTypedJson(made.results[index].rows[row][column], oid, value),
          value,
          `row ${row}, column ${column}`,
        );
      }
    }
  }
}

/** A JavaScript value in typed JSON's form; dates, bytes and arrays are text there and were compared by other means. */
function asTypedJson(value, oid, other) {
  if (oid === 114 || oid === 3802) return value;
  if (typeof value === "number" && !Number.isFinite(value))
    return String(value).replace(
      /^(-?)Infinity$/,
      typeof other === "string" && other.includes("infinity") ? "$1infinity" : "$1Infinity",
    );
  if (typeof value === "object" && value !== null) return other;
  if (Object.is(value, -0)) return other;
  return value;
}
