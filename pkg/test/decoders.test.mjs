// `onetrip/types`: decoders of text, by themselves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arrayOf, compositeOf, multirangeOf, parseInterval, rangeOf, temporal } from "../dist/decoders.js";

const zero = { years: 0, months: 0, days: 0, hours: 0, minutes: 0, seconds: 0, microseconds: 0 };

test("intervals keep their fields and their signs apart", () => {
  for (const [text, fields] of [
    ["00:00:00", {}],
    ["1 year", { years: 1 }],
    ["-1 years -2 mons +3 days", { years: -1, months: -2, days: 3 }],
    ["1 mon", { months: 1 }],
    ["-00:00:01", { seconds: -1 }],
    ["-00:00:00.5", { microseconds: -500000 }],
    ["1 day 04:05:06.000007", { days: 1, hours: 4, minutes: 5, seconds: 6, microseconds: 7 }],
    ["3 years -04:05:06.7", { years: 3, hours: -4, minutes: -5, seconds: -6, microseconds: -700000 }],
    ["123456:00:00", { hours: 123456 }],
  ])
    assert.deepStrictEqual(parseInterval(text), { ...zero, ...fields }, text);
  for (const text of ["", "infinity", "P1Y", "1 day ago", "@ 1 day", "1:2:3", "1 year x"])
    assert.throws(() => parseInterval(text), SyntaxError, text);
});

test("ranges and multiranges have bounds, open, missing and quoted ones", () => {
  const range = (lower, upper, lowerInclusive, upperInclusive) => ({
    lower,
    upper,
    lowerInclusive,
    upperInclusive,
    empty: false,
  });
  const read = rangeOf(String);
  assert.deepStrictEqual(read("[1,10)"), range("1", "10", true, false));
  assert.deepStrictEqual(read("(,]"), range(null, null, false, true));
  assert.deepStrictEqual(read('("a ""q"" \\\\","",]'.replace(',"",]', ',""]')), range('a "q" \\', "", false, true));
  assert.deepStrictEqual(read("empty"), { ...range(null, null, false, false), empty: true });
  assert.deepStrictEqual(multirangeOf(Number)("{}"), []);
  assert.deepStrictEqual(multirangeOf(Number)("{[1,2),(3,]}"), [range(1, 2, true, false), range(3, null, false, true)]);
  const text = '["a b",c\\)d)';
  for (let length = 0; length < text.length; length++) assert.throws(() => read(text.slice(0, length)), SyntaxError);
  for (const wrong of ["1,2", "[1,2)x", "[1)", "[1,2,3)", "{[1,2)}"])
    assert.throws(() => read(wrong), SyntaxError, wrong);
  for (const wrong of ["", "{", "{[1,2)", "{[1,2),}", "{}x"])
    assert.throws(() => multirangeOf(Number)(wrong), SyntaxError, wrong);
});

test("composites become objects, NULL and empty text apart", () => {
  const read = compositeOf({ a: String, b: Number, c: compositeOf({ d: String }) });
  assert.deepStrictEqual(read('(x,1,"(""y z"")")'), { a: "x", b: 1, c: { d: "y z" } });
  assert.deepStrictEqual(read('("",,)'), { a: "", b: null, c: null });
  assert.deepStrictEqual(compositeOf({ __proto__x: String })("(1)"), { __proto__x: "1" });
  for (const wrong of ["", "(", "(a,1)", "(a,1,,)", "(a,1,)x", '("a,1,)']) assert.throws(() => read(wrong), wrong);
});

test("arrays of types of one's own", () => {
  assert.deepStrictEqual(arrayOf(Number)("{{1,NULL},{2,3}}"), [
    [1, null],
    [2, 3],
  ]);
  assert.deepStrictEqual(arrayOf(String, ";")('{a;"b;c"}'), ["a", "b;c"]);
  assert.throws(() => arrayOf(String)("{a"));
});

test("without Temporal the error says what to do, and a runtime's own is found", () => {
  const own = globalThis.Temporal;
  const from = { from: (text) => text };
  try {
    delete globalThis.Temporal;
    assert.throws(() => temporal(), /polyfill/);
    globalThis.Temporal = { Instant: from, PlainDateTime: from, PlainDate: from, PlainTime: from };
    const decoders = temporal();
    assert.equal(decoders[1184]("12026-01-01 00:00:00+00"), "+012026-01-01 00:00:00+00");
    assert.equal(decoders[1082]("0001-01-01 BC"), "+000000-01-01");
    assert.equal(decoders[1114]("0044-03-15 12:00:00 BC"), "-000043-03-15 12:00:00");
    assert.equal(decoders[1114]("-infinity"), -Infinity);
  } finally {
    if (own === undefined) delete globalThis.Temporal;
    else globalThis.Temporal = own;
  }
});
