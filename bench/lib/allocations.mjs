// Bytes of the JavaScript heap that an answer costs each client, in Node.

import { execFileSync } from "node:child_process";
import { bundle, data } from "./host.mjs";
import { WORKLOADS } from "./rows.mjs";

const CANDIDATES = [
  "peer, no Response",
  "pg",
  "postgres",
  "JSON.parse",
  "onetrip, blocks, no Response",
  "onetrip, wasm, no Response",
];

export async function measure({ workloads = WORKLOADS, only = CANDIDATES } = {}) {
  const { file } = await bundle("node", "allocations-host.mjs", "allocations.mjs");
  // A young generation that is seldom full: what is counted is the same, with fewer pauses.
  const flags = ["--expose-gc", "--max-semi-space-size=128", "--min-semi-space-size=128"];
  const output = execFileSync(process.execPath, [...flags, file, data], {
    encoding: "utf8",
    maxBuffer: 1 << 24,
    env: { ...process.env, ALLOCATIONS: JSON.stringify([workloads, only]) },
  });
  return JSON.parse(output);
}
