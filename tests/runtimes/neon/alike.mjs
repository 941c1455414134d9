// `onetrip/neon` against the published `@neondatabase/serverless`: the same programs by both, to the same endpoint and on
// the same recorded answers. What they send and what they make of the answers must be deeply equal.

import assert from "node:assert/strict";
import { PROGRAMS, described } from "./programs.mjs";

/** The same for values: which Buffer and which class of intervals a module has is its own business. */
function plain(value) {
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return { milliseconds: value.getTime() };
  if (value instanceof Uint8Array)
    return { bytes: [...value], hex: value.toString("hex"), json: JSON.stringify(value), text: value.toString() };
  if (Array.isArray(value)) return value.map(plain);
  const members = Object.fromEntries(Object.getOwnPropertyNames(value).map((name) => [name, plain(value[name])]));
  if (value.constructor?.name === "TypeOverrides") return { overrides: members.text };
  if (typeof value.toPostgres === "function" && typeof value.toISO === "function")
    return { members, written: [value.toPostgres(), value.toISO(), value.toISOString()] };
  return members;
}

/** Runs a program and gives what it sent, what it got and what it printed. */
async function observe(module, program, endpoint, url) {
  const requests = [];
  let answer;
  module.neonConfig.fetchEndpoint = `http://${endpoint}/sql`;
  module.neonConfig.fetchFunction = async (to, { headers, ...init }) => {
    // The one thing that must differ: the name that a module gives itself.
    const shown = { ...headers };
    const connection = shown["Neon-Connection-String"]?.replace(
      /application_name=(pkg|onetrip)[^&]*/,
      "application_name=NAME",
    );
    requests.push({ to, headers: { ...shown, "Neon-Connection-String": connection }, ...init });
    return answer === undefined ? fetch(to, { headers, ...init }) : answer();
  };
  let outcome;
  try {
    outcome = { value: plain(await program(module, url, { answers: (given) => (answer = given) })) };
  } catch (error) {
    outcome = { error: plain(described(error)) };
  }
  return { requests: plain(requests), ...outcome };
}

/** Compares the modules, with the clock of several places: `{passed, failed, skipped}`. */
export async function compare(ours, theirs, { endpoint, url, recorded }) {
  const report = { passed: [], failed: [], skipped: [] };
  const programs = { ...PROGRAMS };
  for (const { name, batch, status, body } of recorded) {
    programs[`recorded: ${name}`] = async ({ neon }, _, { answers }) => {
      answers(() => Response.json(structuredClone(body), { status }));
      const all = [];
      for (const arrayMode of [false, true]) {
        for (const fullResults of [false, true]) {
          const sql = neon(url, { arrayMode, fullResults });
          const run = batch === 0 ? sql`select 1` : sql.transaction(Array.from({ length: batch }, () => sql`select 1`));
          all.push(await Promise.resolve(run).catch((error) => described(error)));
        }
      }
      return all;
    };
  }
  const zone = process.env.TZ;
  for (const place of ["UTC", "Asia/Kathmandu", "America/St_Johns"]) {
    process.env.TZ = place;
    for (const [name, program] of Object.entries(programs)) {
      if (place !== "UTC" && !/date|time|parameter: Date|settings/.test(name)) continue;
      const [found, expected] = [
        await observe(ours, program, endpoint, url),
        await observe(theirs, program, endpoint, url),
      ];
      try {
        assert.deepStrictEqual(found, expected);
        report.passed.push(`${place}: ${name}`);
      } catch (error) {
        report.failed.push({ name: `${place}: ${name}`, reason: error.message.slice(0, 1500) });
      }
    }
  }
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
  return report;
}
