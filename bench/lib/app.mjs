// The program under measurement: an HTTP handler that runs one candidate so many times and answers when it is done.
//
// Runtimes differ in what they let a program measure (workerd stops its clocks during computation), so nothing is
// timed in here: who asks reads the CPU time of this process before and after. Programs that count what the work
// allocates hand over how.

import { candidates } from "./candidates.mjs";
import { onetrip } from "./onetrip.mjs";
import { difference } from "./difference.mjs";
import { passing, verify as verifyPassing } from "./passing-candidates.mjs";
import { tcpClients } from "./tcp-clients.mjs";

const rows = { ...candidates, ...tcpClients, ...onetrip };
const all = { ...rows, ...passing };
const opened = new Map();

/** Everybody's rows against the peer's: an implementation that shares no code with ours. */
async function verifyRows(open) {
  const expected = await (await open("peer"))();
  for (const name of Object.keys(rows)) {
    if (name === "Response alone" || name === "JSON.parse") continue;
    // postgres.js gives rows in an array of a class of its own.
    const found = difference(Array.from(await (await open(name))()), expected, "rows");
    if (found !== undefined) return `${name}: ${found}`;
  }
  return "equal";
}

/** What is measured together: the candidates, and whether they are right. */
const sets = {
  rows: { names: Object.keys(rows), verify: verifyRows },
  passing: { names: Object.keys(passing), verify: verifyPassing },
};

/** Prepares a candidate for a workload, once: a function that does the work. */
async function open(load, workload, name) {
  const key = `${workload} ${name}`;
  if (!opened.has(key)) {
    const candidate = all[name];
    opened.set(key, await candidate.open(new Uint8Array(await load(`${workload}.${candidate.format}`))));
  }
  return opened.get(key);
}

/** Makes strings of 1 KiB and lets them go: about as many bytes in every engine, so what a counter must find. */
function knownStrings(count) {
  const decoder = new TextDecoder();
  const bytes = new Uint8Array(1024).fill(65);
  let length = 0;
  for (let i = 0; i < count; i++) length += decoder.decode(bytes).length;
  return length;
}

/** `counted` does work between two collections and says what the program knows of what it allocated. */
export function app(load, counted) {
  return async (url) => {
    const { pathname, searchParams } = new URL(url);
    const workload = searchParams.get("workload");
    const set = sets[searchParams.get("set")];
    if (pathname === "/candidates") return JSON.stringify(set.names);
    if (pathname === "/verify") return set.verify((name) => open(load, workload, name));
    const count = Number(searchParams.get("count"));
    if (pathname === "/known") return counted(() => knownStrings(count));
    if (pathname === "/run" || pathname === "/allocations") {
      const run = await open(load, workload, searchParams.get("candidate"));
      const work = async () => {
        let rows = 0;
        // A decoder is no promise, and awaiting one costs as much as a small answer.
        for (let i = 0; i < count; i++) {
          const result = run();
          rows += (Array.isArray(result) ? result : await result).length;
        }
        return String(rows);
      };
      return pathname === "/run" ? work() : counted(work);
    }
    return "";
  };
}
