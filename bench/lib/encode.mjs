// What making each format costs an endpoint: the Rust program beside this directory, in one process.

import { execFileSync } from "node:child_process";
import path from "node:path";
import { data, root, target } from "./host.mjs";

const program = path.join(target, "release/onetrip-bench");

function build() {
  execFileSync("cargo", ["build", "--quiet", "--release", "--package", "onetrip-bench"], {
    cwd: root,
    stdio: "inherit",
  });
}

/** Writes what the other benchmarks decode. */
export function makeInputs() {
  build();
  execFileSync(program, ["inputs", data], { stdio: "inherit" });
}

export function measure() {
  build();
  return JSON.parse(execFileSync(program, ["encode"], { encoding: "utf8", maxBuffer: 1 << 24 }));
}
