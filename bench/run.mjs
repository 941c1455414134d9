// Runs the benchmarks and prints their tables:
// node bench/run.mjs [name …] [--rounds=N] [--sliceMs=N] [--runtimes=name,…] [--write-docs]
//
//   rows     bytes in memory to finished rows, warm, in Node, workerd, Deno and Bun
//   cold     first result of a fresh isolate in workerd
//   size     what a bundler ships
//   allocations  bytes of the heap for an answer, in Node, workerd, Deno and Bun
//   passing  what a handler saves that hands an answer on, in Node and workerd
//   queries  whole queries through the endpoint, with and without latency, against the peers over their own protocols
//   cold-gateway  cold start to first row in workerd through the endpoint, with and without latency
//   encode   what each format costs the endpoint
//   gateway  whole queries through the endpoint, PostgreSQL behind it
//   neon     profile 1 beside profile 2, and a batch against the same statements one after another
//   pgbouncer  the endpoint against PgBouncer, with the same PostgreSQL behind both; needs Debian's packages
//   sharing  waiting requests in one flight, at several distances from PostgreSQL
//   rust-size  what a client adds to a Rust Worker
//   rust-rows  bytes of an answer to Rust structs, in wasm
//   rust-cold  first query of a fresh Rust Worker, 20 ms away
//
// Without a name all of them run. The package must be built (node pkg/scripts/build.mjs), and what is measured beside it
// installed (npm ci in bench); `cargo xtask bench` does both. Results in full go to target/bench-results. With --write-docs
// they go into docs/bench, too: the tables of its pages and the charts. The name `docs` writes those anew and measures
// nothing. With --runtimes rows and allocations are measured in those alone, which docs/bench does not take.

import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg, release } from "node:os";
import path from "node:path";
import * as coldGateway from "./lib/cold-gateway.mjs";
import * as cold from "./lib/cold.mjs";
import * as encode from "./lib/encode.mjs";
import * as coldRust from "./lib/cold-rust.mjs";
import * as gateway from "./lib/gateway.mjs";
import * as neon from "./lib/neon.mjs";
import * as pgbouncer from "./lib/pgbouncer.mjs";
import * as allocations from "./lib/allocations.mjs";
import * as docs from "./lib/docs.mjs";
import { target, versions } from "./lib/host.mjs";
import * as passing from "./lib/passing.mjs";
import * as queries from "./lib/queries.mjs";
import * as report from "./lib/report.mjs";
import * as sharing from "./lib/sharing.mjs";
import * as rows from "./lib/rows.mjs";
import * as rowsRust from "./lib/rows-rust.mjs";
import * as sizeRust from "./lib/size-rust.mjs";
import * as size from "./lib/size.mjs";

const progress = (entry) =>
  process.stderr.write(`${[entry.runtime, entry.workload, entry.candidate].filter(Boolean).join(", ")}\n`);

const inEachRuntime =
  ({ measure }) =>
  async ({ runtimes = rows.RUNTIMES, ...options }) => {
    const results = [];
    for (const runtime of runtimes) results.push(...(await measure(runtime, { ...options, log: progress })));
    return results;
  };

const benchmarks = {
  rows: inEachRuntime(rows),
  cold: (options) => cold.measure({ ...options, log: progress }),
  size: () => size.measure(),
  allocations: inEachRuntime(allocations),
  passing: (options) => passing.measure({ ...options, log: progress }),
  queries: (options) => queries.measure({ ...options, log: progress }),
  "cold-gateway": (options) => coldGateway.measure({ ...options, log: progress }),
  encode: () => encode.measure(),
  "rust-size": () => sizeRust.measure(),
  "rust-rows": (options) => rowsRust.measure({ ...options, log: progress }),
  "rust-cold": (options) => coldRust.measure({ ...options, log: progress }),
  gateway: (options) => gateway.measure({ ...options, log: progress }),
  neon: (options) => neon.measure({ ...options, log: progress }),
  sharing: (options) => sharing.measure({ ...options, log: progress }),
  pgbouncer: (options) => pgbouncer.measure({ ...options, log: progress }),
};

const USAGE = "node bench/run.mjs [name …] [--rounds=N] [--sliceMs=N] [--runtimes=name,…] [--write-docs]";
const KNOWN = new RegExp(
  `^--(rounds=\\d+|sliceMs=\\d+|runtimes=(${rows.RUNTIMES.join("|")})(,(${rows.RUNTIMES.join("|")}))*|write-docs)$`,
);
const names = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const strange = process.argv.slice(2).find((argument) => argument.startsWith("-") && !KNOWN.test(argument));
if (strange !== undefined) {
  const isHelp = strange === "--help" || strange === "-h";
  if (!isHelp) console.error(`There is no option ${strange}.`);
  console[isHelp ? "log" : "error"](
    `${USAGE}\nThe names are ${[...Object.keys(benchmarks), "docs"].join(", ")}; without one all of them run.`,
  );
  process.exit(isHelp ? 0 : 2);
}
const number = (name) => {
  const found = process.argv.map((argument) => new RegExp(`^--${name}=(\\d+)$`).exec(argument)).find(Boolean);
  return found === undefined ? {} : { [name]: Number(found[1]) };
};
const runtimes = process.argv
  .find((argument) => argument.startsWith("--runtimes="))
  ?.replace(/.*=/, "")
  .split(",");
const options = { ...number("rounds"), ...number("sliceMs"), ...(runtimes && { runtimes }) };
/** Those that say in docs/bench how many rounds they had. */
const rounds = { rows, allocations, cold, passing, queries, "cold-gateway": coldGateway };
const used = (name) =>
  Object.fromEntries(Object.entries(rounds[name]?.defaults ?? {}).map(([key, value]) => [key, options[key] ?? value]));
const isForDocs = process.argv.includes("--write-docs");
if (isForDocs && runtimes) {
  console.error("docs/bench has tables of all runtimes: leave out --runtimes or --write-docs.");
  process.exit(2);
}
if (names.includes("docs")) {
  docs.write();
  process.exit(0);
}
const unknown = names.find((name) => !Object.hasOwn(benchmarks, name));
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}". There are ${[...Object.keys(benchmarks), "docs"].join(", ")}.`);
  process.exit(2);
}

encode.makeInputs();
const load = () => loadavg()[0].toFixed(1);
const machine = `${cpus().length} × ${cpus()[0].model.trim()}, Linux ${release()}`;
const date = new Date().toISOString().slice(0, 10);
const named = await versions();
console.log(
  `${machine}, ${date}, ${Object.entries(named)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}\n`,
);
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) {
  if (name === "pgbouncer" && pgbouncer.missing() !== undefined) {
    console.error(`pgbouncer is left out: ${pgbouncer.missing()}`);
    process.exitCode = names.length > 0 ? 1 : 0;
    continue;
  }
  const before = load();
  const results = await benchmarks[name](options);
  const taken = { date, machine, load: [before, load()], versions: named, ...used(name) };
  const directory = path.join(target, "bench-results");
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, `${name}.json`), JSON.stringify({ taken, results }, null, 1));
  console.log(
    `## ${name} (load of the machine ${taken.load[0]} before, ${taken.load[1]} after)\n\n${report[report.functionName(name)](results)}\n`,
  );
  if (isForDocs) {
    docs.keep(name, { taken, results });
    docs.write();
  }
}
