// Bytes of wasm that a client adds to an empty workers-rs Worker: release, wasm-bindgen, wasm-opt -Oz.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { root } from "./host.mjs";

// What is behind a slash are features of the Worker.
const CANDIDATES = [
  ...["empty", "floor", "floor/fetch", "floor/fetch,types"],
  ...["onetrip", "tokio-postgres", "libsql"],
];
const target = join(root, "target/bench-workers");

/** Builds one Worker and gives the path of its wasm after wasm-opt. */
export function build(candidate) {
  const [name, features = ""] = candidate.split("/");
  const run = (program, args) => execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const manifest = join(root, "bench/workers", name, "Cargo.toml");
  const cargo = ["build", "--quiet", "--release", "--locked", "--target", "wasm32-unknown-unknown"];
  run("cargo", [
    ...cargo,
    "--manifest-path",
    manifest,
    "--target-dir",
    target,
    "--package",
    `worker-${name}`,
    "--features",
    features,
  ]);
  const out = join(target, "out", name);
  mkdirSync(out, { recursive: true });
  const raw = join(target, "wasm32-unknown-unknown/release", `worker_${name.replaceAll("-", "_")}.wasm`);
  const bindgen = join(root, "target/tools/bin/wasm-bindgen");
  run(bindgen, ["--target", "experimental-nodejs-module", "--out-dir", out, "--out-name", "index", raw]);
  const optimized = join(out, "index_opt.wasm");
  const flags = ["-Oz", "--all-features", "--strip-debug", "--strip-producers", "--strip-target-features"];
  run(join(root, "node_modules/.bin/wasm-opt"), [...flags, join(out, "index_bg.wasm"), "-o", optimized]);
  return optimized;
}

export async function measure() {
  const report = [];
  for (const name of CANDIDATES) {
    const wasm = readFileSync(build(name));
    const sizes = {
      raw: wasm.length,
      gzip: gzipSync(wasm, { level: 9 }).length,
      brotli: brotliCompressSync(wasm).length,
    };
    const empty = report[0] ?? sizes;
    report.push({
      candidate: name,
      ...sizes,
      addedRaw: sizes.raw - empty.raw,
      addedGzip: sizes.gzip - empty.gzip,
      addedBrotli: sizes.brotli - empty.brotli,
    });
  }
  return report;
}
