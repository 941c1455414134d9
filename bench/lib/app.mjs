// The program under measurement: an HTTP handler that runs one candidate so many times and answers when it is done.
//
// Runtimes differ in what they let a program measure (workerd stops its clocks during computation), so nothing is
// timed in here: who asks reads the CPU time of this process before and after.

import { candidates } from "./candidates.mjs";
import { onetrip } from "./onetrip.mjs";
import { difference } from "./difference.mjs";
import { tcpClients } from "./tcp-clients.mjs";

const all = { ...candidates, ...tcpClients, ...onetrip };
const opened = new Map();

export const candidateNames = Object.keys(all);

/** Prepares a candidate for a workload, once: a function that does the work. */
export async function open(load, workload, name) {
  const key = `${workload} ${name}`;
  if (!opened.has(key)) {
    const candidate = all[name];
    opened.set(key, await candidate.open(new Uint8Array(await load(`${workload}.${candidate.format}`))));
  }
  return opened.get(key);
}

export function app(load) {
  return async (url) => {
    const { pathname, searchParams } = new URL(url);
    const workload = searchParams.get("workload");
    if (pathname === "/candidates") return JSON.stringify(Object.keys(all));
    if (pathname === "/verify") {
      // Everybody's rows against the peer's: an implementation that shares no code with ours.
      const expected = await (await open(load, workload, "peer"))();
      for (const name of Object.keys(all)) {
        if (name === "Response alone" || name === "JSON.parse") continue;
        // postgres.js gives rows in an array of a class of its own.
        const found = difference(Array.from(await (await open(load, workload, name))()), expected, "rows");
        if (found !== undefined) return `${name}: ${found}`;
      }
      return "equal";
    }
    if (pathname === "/run") {
      const run = await open(load, workload, searchParams.get("candidate"));
      const count = Number(searchParams.get("count"));
      let rows = 0;
      // A decoder is no promise, and awaiting one costs as much as a small answer.
      for (let i = 0; i < count; i++) {
        const result = run();
        rows += (Array.isArray(result) ? result : await result).length;
      }
      return String(rows);
    }
    return "";
  };
}
