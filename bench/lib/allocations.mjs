// Bytes of the heap that an answer costs each client, in each runtime.
//
// Engines say how much of the heap is in use before and after each collection. What is in use before one, less what was
// in use after the one before, was allocated between the two. A run begins and ends with a collection that it asks for, so
// that the sum over its collections is all that it allocated, whatever the collector did meanwhile.

import { readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { bundle, data, startProgram, startWorkerd, wasm, workerConfiguration } from "./host.mjs";
import { WORKLOADS } from "./rows.mjs";
import { quartiles } from "./statistics.mjs";

const CANDIDATES = [
  "peer, no Response",
  "JSON.parse",
  "pg",
  "postgres",
  "onetrip, blocks, no Response",
  "onetrip, wasm, no Response",
];

export const defaults = { rounds: 5 };

const WARM_UP_MS = 500;

// A young generation that is seldom full: what is counted is the same, with fewer pauses.
const V8_FLAGS = ["--expose-gc", "--max-semi-space-size=128", "--min-semi-space-size=128"];

/** The same for JavaScriptCore, which collects beside the program: with its own limits it counts up to 3 % less. */
const JSC_OPTIONS = Object.fromEntries(
  ["smallHeapSize", "mediumHeapSize", "largeHeapSize"].map((name) => [`BUN_JSC_${name}`, String(1 << 29)]),
);

/** Node, Deno and Bun say to the program itself what its collections were. */
async function startCounted(runtime) {
  const { file } = await bundle(runtime, "allocations-host.mjs", `allocations.${runtime}.mjs`);
  const options = {
    node: { flags: V8_FLAGS },
    deno: { flags: [`--v8-flags=${V8_FLAGS.join(",")}`] },
    bun: { environment: JSC_OPTIONS },
  };
  const host = await startProgram(runtime, file, options[runtime]);
  return { host, collections: async (url) => JSON.parse(await host.get(url)) };
}

/** workerd tells a Worker nothing of them, but V8 writes them to workerd's output. */
async function startTraced() {
  const { file } = await bundle("workerd", "allocations-worker.mjs", "allocations.worker.js");
  const configuration = await workerConfiguration("allocations", file, await readdir(data), {
    modules: [wasm],
    flags: ["nodejs_compat"],
    v8Flags: [...V8_FLAGS, "--trace-gc-nvp"],
  });
  const host = await startWorkerd(configuration, { stdout: "pipe" });
  // Each run's collections begin with one that it asked for and end with another.
  const runs = [];
  let isOpen = false;
  createInterface({ input: host.child.stdout }).on("line", (line) => {
    const found = /"reason":"(.*?)".*"start_object_size":(\d+),"end_object_size":(\d+)/.exec(line);
    if (!found) return;
    const isAskedFor = found[1] === "testing";
    if (isAskedFor && !isOpen) runs.push([]);
    if (isAskedFor || isOpen) runs.at(-1).push({ before: Number(found[2]), after: Number(found[3]) });
    if (isAskedFor) isOpen = !isOpen;
  });
  const isWritten = (run) => runs.length > run + 1 || (runs.length === run + 1 && !isOpen);
  let asked = 0;
  const ask = (url) => {
    asked++;
    return host.get(url);
  };
  return {
    host,
    async collections(url) {
      const run = asked;
      await ask(url);
      // The output is buffered: what comes later pushes it out.
      for (let more = 0; !isWritten(run); more++) {
        if (more === 100) throw new Error("V8 writes no collections to workerd's output");
        await ask("/known?count=0");
      }
      return runs[run];
    },
  };
}

/** Measures the candidates in `runtime`, each after a warm-up of half a second: bytes for one answer. */
export async function measure(
  runtime,
  { workloads = WORKLOADS, only = CANDIDATES, rounds = defaults.rounds, log = () => {} } = {},
) {
  const { host, collections } = await (runtime === "workerd" ? startTraced() : startCounted(runtime));
  const allocated = async (url, { least = 1 } = {}) => {
    const [first, ...others] = await collections(url);
    if (others.length < least) throw new Error(`${runtime}: only ${others.length} collections in ${url}`);
    let sum = 0;
    let inUse = first.after;
    for (const { before, after } of others) {
      sum += before - inUse;
      inUse = after;
    }
    return sum;
  };
  try {
    // A string of 1 KiB has a header. So many of them that there are collections that nobody asked for.
    const known = (await allocated("/known?count=1000000", { least: 2 })) / 1_000_000;
    if (known < 1024 || known > 1100) throw new Error(`${runtime}: ${known} bytes are counted for a string of 1 KiB`);
    const report = [];
    for (const workload of workloads) {
      const verdict = await host.get(`/verify?set=rows&workload=${workload}`);
      if (verdict !== "equal") throw new Error(`${runtime}, ${workload}: ${verdict}`);
      for (const candidate of only) {
        const query = (count) => `workload=${workload}&candidate=${encodeURIComponent(candidate)}&count=${count}`;
        // Optimised code allocates less.
        let answers = 0;
        for (const begun = performance.now(); performance.now() - begun < WARM_UP_MS; answers += step(answers))
          await host.get(`/run?${query(step(answers))}`);
        const count = Math.max(5, Math.min(2000, answers));
        const samples = [];
        for (let round = 0; round < rounds; round++)
          samples.push((await allocated(`/allocations?${query(count)}`)) / count);
        const { median, least } = quartiles(samples);
        const entry = { runtime, workload, candidate, bytes: median, least, most: Math.max(...samples) };
        report.push(entry);
        log(entry);
      }
    }
    return report;
  } finally {
    await host.stop();
  }
}

/** How many answers the next request of a warm-up asks for: as many as all before it. */
const step = (answers) => Math.max(1, Math.min(1000, answers));
