// Loading the WebAssembly module: once, and no request on behalf of another. Each test has a loader's state of its own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const bytes = readFileSync(new URL("../dist/wasm/onetrip_bg.wasm", import.meta.url));
// Compiling alone does not keep Node's event loop alive.
const alive = setInterval(() => {}, 1000);
test.after(() => clearInterval(alive));

test("no request waits for a module that another one loads", async () => {
  const { loadFrom: loadAnew } = await import("../dist/load.js?anew");
  const never = loadAnew(() => new Promise(() => {}));
  void never();
  const loads = [loadAnew(() => bytes), loadAnew(async () => bytes), loadAnew(() => WebAssembly.compile(bytes))];
  const wasms = await Promise.all(loads.map((load) => load()));
  assert.ok(wasms.every((wasm) => wasm === wasms[0]));
  assert.equal(await never(), wasms[0]);
});

test("a module that could not be loaded is loaded by the next request", async () => {
  const { loadFrom: loadAnew } = await import("../dist/load.js?once-more");
  let asked = 0;
  const load = loadAnew(() => (asked++ === 0 ? Promise.reject(new Error("no luck")) : bytes));
  await assert.rejects(load(), /no luck/);
  assert.ok((await load()).exports.memory.buffer.byteLength > 0);
});
