// What a handler saves that hands an answer on: `response()` against rows that are decoded and written as JSON again.

import * as rows from "./rows.mjs";

export const { defaults } = rows;

export async function measure(options) {
  const results = [];
  for (const runtime of ["node", "workerd"])
    results.push(...(await rows.measure(runtime, { ...options, set: "passing", workloads: ["100x8", "10000x10"] })));
  return results;
}
