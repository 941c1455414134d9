// Counts what each candidate allocates for an answer, in Node, and prints it as JSON.
//
// V8's profiler of collections says how much of the heap was in use before and after each one: what was collected and what
// the heap has grown by is together what was allocated, whatever the collector did meanwhile.

import { readFile } from "node:fs/promises";
import { GCProfiler, getHeapStatistics } from "node:v8";
import { candidateNames, open } from "./app.mjs";

const directory = process.argv[2];
const [workloads, only] = JSON.parse(process.env.ALLOCATIONS);
const load = (name) => readFile(`${directory}/${name}`);

async function allocated(run, count) {
  const profiler = new GCProfiler();
  globalThis.gc();
  profiler.start();
  const before = getHeapStatistics().used_heap_size;
  for (let i = 0; i < count; i++) await run();
  const after = getHeapStatistics().used_heap_size;
  const collected = profiler
    .stop()
    .statistics.map(
      ({ beforeGC, afterGC }) => beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize,
    );
  return (after - before + collected.reduce((sum, one) => sum + one, 0)) / count;
}

const report = [];
for (const workload of workloads) {
  for (const candidate of candidateNames.filter((name) => only.includes(name))) {
    const run = await open(load, workload, candidate);
    // Optimised code allocates less: warm up first, for at least half a second.
    let count = 0;
    for (const begun = performance.now(); performance.now() - begun < 500; count++) await run();
    const answers = Math.max(5, Math.min(2000, count));
    const samples = [];
    for (let round = 0; round < 5; round++) samples.push(await allocated(run, answers));
    samples.sort((a, b) => a - b);
    report.push({ runtime: "node", workload, candidate, bytes: samples[2], least: samples[0], most: samples[4] });
  }
}
console.log(JSON.stringify(report));
