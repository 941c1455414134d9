// JavaScript values as parameters: the text that PostgreSQL reads.

import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import { UsageError } from "../dist/errors.js";
import { jsonValue, parameterText } from "../dist/parameters.js";

test("each value has the text that PostgreSQL reads", () => {
  const rows = [
    ["", ""],
    ['it\'s \\ "text"', 'it\'s \\ "text"'],
    ["\u{1f680}", "\u{1f680}"],
    [0, "0"],
    [-0, "-0"],
    [1.5, "1.5"],
    [1e21, "1e+21"],
    [5e-324, "5e-324"],
    [NaN, "NaN"],
    [Infinity, "Infinity"],
    [-Infinity, "-Infinity"],
    [9007199254740993n, "9007199254740993"],
    [-1n, "-1"],
    [true, "true"],
    [false, "false"],
    [null, null],
    [new Date("2026-11-21T22:53:03.123Z"), "2026-11-21T22:53:03.123Z"],
    [new Date(-62135596800000), "0001-01-01T00:00:00.000Z"],
    [new Date(-62135596800001), "0001-12-31T23:59:59.999Z BC"],
    [new Date("-000043-03-15T12:00:00Z"), "0044-03-15T12:00:00.000Z BC"],
    [new Date("+010000-01-01T00:00:00Z"), "10000-01-01T00:00:00.000Z"],
    [new Date("0000-06-01T00:00:00Z"), "0001-06-01T00:00:00.000Z BC"],
    [new Date(8.64e15), "275760-09-13T00:00:00.000Z"],
    [Uint8Array.of(0, 1, 255), "\\x0001ff"],
    [new Uint8Array(0), "\\x"],
    [Buffer.from("é"), "\\xc3a9"],
    [Uint8Array.of(7, 8).buffer, "\\x0708"],
    [new Uint8Array([1, 2, 3, 4]).subarray(1, 3), "\\x0203"],
    [{ a: [1, "two", null] }, '{"a":[1,"two",null]}'],
    [Object.create(null), "{}"],
    [vm.runInNewContext("({ other: 'realm' })"), '{"other":"realm"}'],
    [jsonValue([1, "x"]), '[1,"x"]'],
    [jsonValue("text"), '"text"'],
    [jsonValue(null), "null"],
    [[], "{}"],
    [[1, null, -2.5], "{1,NULL,-2.5}"],
    [[true, 5n], "{true,5}"],
    [[NaN], "{NaN}"],
    [["a", "", "NULL", 'q"', "b\\s", "{,}", " "], '{"a","","NULL","q\\"","b\\\\s","{,}"," "}'],
    [
      [
        [1, 2],
        [3, 4],
      ],
      "{{1,2},{3,4}}",
    ],
    [[Uint8Array.of(255)], '{"\\\\xff"}'],
    [[{ a: "b" }], '{"{\\"a\\":\\"b\\"}"}'],
    [[new Date(0)], '{"1970-01-01T00:00:00.000Z"}'],
  ];
  for (const [value, text] of rows) assert.equal(parameterText(value, 1), text, String(text));
});

test("what is no value is refused by number and class, and never printed", () => {
  class Account {
    secret = "hunter2";
  }
  const cycle = {};
  cycle.self = cycle;
  let deep = [1];
  for (let i = 0; i < 7; i++) deep = [deep];
  const rows = [
    [undefined, "undefined"],
    [Symbol("hunter2"), "symbol"],
    [() => "hunter2", "function"],
    [new Account(), "Account"],
    [new Map([["hunter2", 1]]), "Map"],
    [new Float64Array(1), "Float64Array"],
    [new Date(NaN), "invalid Date"],
    [[undefined], "undefined"],
    [[Symbol("hunter2")], "symbol"],
    [[new Set()], "Set"],
    [cycle, "JSON"],
    [{ hunter2: 1n }, "JSON"],
    [{ hunter2: 1, toJSON() {} }, "Object"],
    [[{ hunter2: 1, toJSON() {} }], "Object"],
    [deep, "dimensions"],
    [/hunter2/, "RegExp"],
    [Promise.resolve(), "Promise"],
  ];
  for (const [value, word] of rows) {
    assert.throws(
      () => parameterText(value, 7),
      (error) =>
        error instanceof UsageError &&
        error.message.includes("$7") &&
        error.message.includes(word) &&
        !error.message.includes("hunter2"),
      word,
    );
  }
  assert.throws(() => jsonValue(undefined), UsageError);
  assert.throws(() => jsonValue(cycle), UsageError);
  assert.throws(() => jsonValue(() => {}), UsageError);
});
