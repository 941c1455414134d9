// Nanoseconds per row into a Rust struct, in wasm in this Node: onetrip's frames against the JSON of profile 2.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./host.mjs";

const target = join(root, "target/bench-workers");

async function load(profile) {
  const run = (program, args) => execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const cargo = ["build", "--quiet", "--profile", profile, "--locked", "--target", "wasm32-unknown-unknown"];
  run("cargo", [
    ...cargo,
    ...["--manifest-path", join(root, "bench/workers/Cargo.toml"), "--target-dir", target, "--package", "worker-rows"],
  ]);
  const out = join(target, "out", `rows-${profile}`);
  const raw = join(target, "wasm32-unknown-unknown", profile, "worker_rows.wasm");
  run(join(root, "target/tools/bin/wasm-bindgen"), ["--target", "web", "--out-dir", out, "--out-name", "rows", raw]);
  const wasm = await import(join(out, "rows.js"));
  wasm.initSync({ module: readFileSync(join(out, "rows_bg.wasm")) });
  return wasm;
}

export async function measure({ rounds = 31, log = () => {} } = {}) {
  const report = [];
  for (const profile of ["release", "speed"]) {
    const wasm = await load(profile);
    for (const rows of [1, 100, 10_000]) {
      wasm.prepare(rows);
      if (wasm.frames(1) !== wasm.json(1)) throw new Error("the two do not read the same");
      const times = Math.max(1, Math.round(20_000 / rows));
      const samples = { frames: [], json: [] };
      for (let round = -3; round < rounds; round++) {
        for (const name of round % 2 === 0 ? ["frames", "json"] : ["json", "frames"]) {
          const start = process.hrtime.bigint();
          wasm[name](times);
          const nanoseconds = Number(process.hrtime.bigint() - start) / (times * rows);
          if (round >= 0) samples[name].push(nanoseconds);
        }
      }
      const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
      const [frames, json] = [median(samples.frames), median(samples.json)];
      log({ runtime: "node", workload: `${rows} rows, ${profile}`, candidate: "frames, json" });
      report.push({ profile, rows, frames, json, ratio: json / frames });
    }
  }
  return report;
}
