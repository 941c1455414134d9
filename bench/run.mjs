// Runs the benchmarks and prints their tables: node bench/run.mjs [name …] [--rounds=N]
//
//   rows     bytes in memory to finished rows, warm, in Node and in workerd
//   cold     first result of a fresh isolate in workerd
//   size     what a bundler ships
//   encode   what each format costs the endpoint
//   gateway  whole queries through the endpoint, PostgreSQL behind it
//   neon     profile 1 beside profile 2, and a batch against the same statements one after another
//   pgbouncer  the endpoint against PgBouncer, with the same PostgreSQL behind both; needs Debian's packages
//   sharing  waiting requests in one flight, at several distances from PostgreSQL
//   rust-size  what a client adds to a Rust Worker
//   rust-rows  bytes of an answer to Rust structs, in wasm
//   rust-cold  first query of a fresh Rust Worker, 20 ms away
//
// Without a name all of them run. The package must be built (node pkg/scripts/build.mjs). What the figures mean and what
// they were is in docs/bench. Results in full go to target/bench-results.

import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import path from "node:path";
import * as cold from "./lib/cold.mjs";
import * as encode from "./lib/encode.mjs";
import * as coldRust from "./lib/cold-rust.mjs";
import * as gateway from "./lib/gateway.mjs";
import * as neon from "./lib/neon.mjs";
import * as pgbouncer from "./lib/pgbouncer.mjs";
import { peerVersion, target, workerdVersion } from "./lib/host.mjs";
import * as report from "./lib/report.mjs";
import * as sharing from "./lib/sharing.mjs";
import * as rows from "./lib/rows.mjs";
import * as rowsRust from "./lib/rows-rust.mjs";
import * as sizeRust from "./lib/size-rust.mjs";
import * as size from "./lib/size.mjs";

const progress = (entry) =>
  process.stderr.write(`${[entry.runtime, entry.workload, entry.candidate].filter(Boolean).join(", ")}\n`);

const benchmarks = {
  async rows(options) {
    const results = [];
    for (const runtime of ["node", "workerd"])
      results.push(...(await rows.measure(runtime, { ...options, log: progress })));
    return results;
  },
  cold: (options) => cold.measure({ ...options, log: progress }),
  size: () => size.measure(),
  encode: () => encode.measure(),
  "rust-size": () => sizeRust.measure(),
  "rust-rows": (options) => rowsRust.measure({ ...options, log: progress }),
  "rust-cold": (options) => coldRust.measure({ ...options, log: progress }),
  gateway: (options) => gateway.measure({ ...options, log: progress }),
  neon: (options) => neon.measure({ ...options, log: progress }),
  sharing: (options) => sharing.measure({ ...options, log: progress }),
  pgbouncer: (options) => pgbouncer.measure({ ...options, log: progress }),
};

const names = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const rounds = /^--rounds=(\d+)$/.exec(process.argv.find((argument) => argument.startsWith("--rounds=")) ?? "")?.[1];
const unknown = names.find((name) => !Object.hasOwn(benchmarks, name));
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}". There are ${Object.keys(benchmarks).join(", ")}.`);
  process.exit(2);
}

encode.makeInputs();
const load = () => loadavg()[0].toFixed(1);
console.log(
  `${cpus().length} × ${cpus()[0].model.trim()}, Node ${process.version}, workerd ${await workerdVersion()}, @neondatabase/serverless ${await peerVersion()}, ${new Date().toISOString().slice(0, 10)}\n`,
);
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  if (name === "pgbouncer" && pgbouncer.missing() !== undefined) {
    console.error(`pgbouncer is left out: ${pgbouncer.missing()}`);
    process.exitCode = names.length > 0 ? 1 : 0;
    continue;
  }
  const before = load();
  const results = await benchmarks[name](rounds === undefined ? {} : { rounds: Number(rounds) });
  const directory = path.join(target, "bench-results");
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, `${name}.json`), JSON.stringify(results, null, 1));
  console.log(
    `## ${name} (load of the machine ${before} before, ${load()} after)\n\n${report[name.replace(/-./, (part) => part[1].toUpperCase())](results)}\n`,
  );
}
