// Text by Node's Buffer against a TextDecoder's: the same for all that an endpoint may send, ill-formed bytes included.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeByBuffer } from "../dist/buffer.js";
import { decoders } from "../dist/reader.js";

const [utf8, utf16] = decoders;
decodeByBuffer();
const [bufferUtf8, bufferUtf16] = decoders;
decoders.splice(0, 2, utf8, utf16);
decodeByBuffer(256);
const [shortUtf8] = decoders;

const texts = [
  "",
  "a",
  "ASCII only",
  "é",
  "Zoë",
  "\ufeffbom",
  "\ufffd",
  "日本語",
  "👋🏽 hi",
  "\0",
  "x".repeat(5000) + "é",
  "Привет ".repeat(99),
];
const encoder = new TextEncoder();
const units = (text) =>
  Uint8Array.from({ length: 2 * text.length }, (_, at) => (text.charCodeAt(at >> 1) >> (8 * (at & 1))) & 255);

test("text is read as it was written, wherever it stands", () => {
  for (const text of texts) {
    for (const before of [0, 1, 2, 3]) {
      const inside = (bytes) => Uint8Array.of(...[0xc3, 0xff, 0xd8].slice(0, before), ...bytes, 0xa9, 0x00);
      const eight = encoder.encode(text);
      const sixteen = units(text);
      for (const decode of [utf8, bufferUtf8, shortUtf8])
        assert.equal(decode(inside(eight), before, before + eight.length), text);
      for (const decode of [utf16, bufferUtf16])
        assert.equal(decode(inside(sixteen), before, before + sixteen.length), text);
    }
  }
});

test("what is ill-formed is replaced in the same way", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 0x7fffffff) % below;
  const lead = [0x00, 0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff, 0xd8, 0xdc];
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from({ length: random(12) }, () => (random(3) ? lead[random(lead.length)] : random(256)));
    const expected = utf8(bytes, 0, bytes.length);
    assert.equal(bufferUtf8(bytes, 0, bytes.length), expected);
    assert.equal(shortUtf8(bytes, 0, bytes.length), expected);
    // Halves of pairs stay as they are.
    assert.equal(bufferUtf16(bytes, 0, bytes.length).toWellFormed(), utf16(bytes, 0, bytes.length));
  }
});

test("without a Buffer that can do it, TextDecoders are left in place", () => {
  const { Buffer } = globalThis;
  class Refusing {
    utf8Slice() {
      throw new TypeError("this is no Buffer");
    }
    ucs2Slice() {
      return "something else";
    }
  }
  for (const stub of [undefined, function () {}, Refusing]) {
    decoders.splice(0, 2, utf8, utf16);
    globalThis.Buffer = stub;
    try {
      decodeByBuffer();
    } finally {
      globalThis.Buffer = Buffer;
    }
    assert.deepEqual(decoders, [utf8, utf16]);
  }
});
