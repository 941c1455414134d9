// What a bundler ships for one query over HTTP, minified for Workers: gzip and brotli of everything, per file.

import { readFile } from "node:fs/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { bundle, wasm } from "./host.mjs";

const CANDIDATES = [
  { name: "peer", program: "size-peer.mjs", entry: "workerd" },
  { name: "onetrip", program: "size-onetrip.mjs", entry: "workerd", hasWasm: true },
  { name: "onetrip/slim, without the wasm module", program: "size-onetrip.mjs", entry: "slim" },
];

export async function measure() {
  const report = [];
  for (const { name, program, entry, hasWasm } of CANDIDATES) {
    const { file } = await bundle(entry, program, `size-${name.replace(/\W+/g, "-")}.js`, { minify: true });
    const files = [await readFile(file)];
    if (hasWasm) files.push(await readFile(wasm));
    const sum = (size) => files.reduce((total, bytes) => total + size(bytes), 0);
    report.push({
      candidate: name,
      raw: sum((bytes) => bytes.length),
      gzip: sum((bytes) => gzipSync(bytes, { level: 9 }).length),
      brotli: sum((bytes) => brotliCompressSync(bytes).length),
      wasm: hasWasm ? files[1].length : 0,
    });
  }
  return report;
}
