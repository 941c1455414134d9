// Bytes in memory to finished rows, warm: every candidate in turn, in one process of each runtime.

import { readdir } from "node:fs/promises";
import { bundle, data, startProgram, startWorkerd, wasm, workerConfiguration } from "./host.mjs";
import { quartiles } from "./statistics.mjs";

export const WORKLOADS = [
  "1x5",
  "100x8",
  "10000x10",
  "100x8-hard",
  "10000x10-hard",
  "ascii",
  "wide",
  "numbers",
  "jsonb",
];

export const RUNTIMES = ["node", "workerd", "deno", "bun"];

export const defaults = { rounds: 15, sliceMs: 60 };

async function start(runtime) {
  if (runtime !== "workerd") {
    const { file } = await bundle(runtime, "node-host.mjs", `rows.${runtime}.mjs`);
    return startProgram(runtime, file);
  }
  const { file } = await bundle("workerd", "worker-host.mjs", "rows.worker.js");
  // Without Node's modules pg and postgres.js do not run in a Worker at all.
  return startWorkerd(
    await workerConfiguration("rows", file, await readdir(data), { modules: [wasm], flags: ["nodejs_compat"] }),
  );
}

/**
 * Measures the candidates of a set in `runtime`. Each round runs every candidate once, for about `sliceMs` of CPU,
 * beginning with another one than the round before; figures are microseconds of CPU of the main thread for one answer.
 */
export async function measure(
  runtime,
  {
    set = "rows",
    workloads = WORKLOADS,
    only,
    rounds = defaults.rounds,
    sliceMs = defaults.sliceMs,
    log = () => {},
  } = {},
) {
  const host = await start(runtime);
  try {
    const names = JSON.parse(await host.get(`/candidates?set=${set}`)).filter((name) => !only || only.includes(name));
    const report = [];
    for (const workload of workloads) {
      const verdict = await host.get(`/verify?set=${set}&workload=${workload}`);
      if (verdict !== "equal") throw new Error(`${runtime}, ${workload}: ${verdict}`);
      const spend = async (candidate, count) => {
        const before = await host.cpu();
        await host.get(`/run?workload=${workload}&candidate=${encodeURIComponent(candidate)}&count=${count}`);
        const after = await host.cpu();
        return { main: after.main - before.main, all: after.all - before.all };
      };
      const counts = {};
      for (const name of names) {
        // Warm up until optimised, then find out how many answers make a slice.
        let count = 1;
        let spent = 0;
        for (let total = 0; total < 6 * sliceMs; total += spent) {
          spent = (await spend(name, count)).main / 1e6;
          if (spent < sliceMs) count = Math.ceil(count * Math.min(8, sliceMs / Math.max(spent, 0.5)));
        }
        counts[name] = Math.max(1, Math.round((count * sliceMs) / Math.max(spent, 1)));
      }
      const times = Object.fromEntries(names.map((name) => [name, { main: [], all: [] }]));
      for (let round = 0; round < rounds; round++) {
        const empty = await spend(names[0], 0);
        for (let turn = 0; turn < names.length; turn++) {
          const name = names[(turn + round) % names.length];
          const spent = await spend(name, counts[name]);
          for (const key of ["main", "all"]) times[name][key].push((spent[key] - empty[key]) / 1e3 / counts[name]);
        }
      }
      for (const name of names) {
        const entry = {
          runtime,
          workload,
          candidate: name,
          ...quartiles(times[name].main),
          all: quartiles(times[name].all).median,
        };
        report.push(entry);
        log(entry);
      }
    }
    return report;
  } finally {
    await host.stop();
  }
}
