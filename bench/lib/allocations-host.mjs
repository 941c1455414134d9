// Serves the program under measurement from Node, Deno or Bun, where a program is told of its collections.

import { GCProfiler } from "node:v8";
import { serve } from "./serve.mjs";

const collect = globalThis.gc ?? (() => globalThis.Bun.gc(true));

serve(async (work) => {
  const profiler = new GCProfiler();
  profiler.start();
  collect();
  await work();
  collect();
  const collections = profiler.stop().statistics.map(({ beforeGC, afterGC }) => ({
    before: beforeGC.heapStatistics.usedHeapSize,
    after: afterGC.heapStatistics.usedHeapSize,
  }));
  return JSON.stringify(collections);
});
