// Writes what was measured into docs/bench: the results, the tables between their markers, and the charts.
//
// A page says `<!-- table: NAME … -->` where a table belongs and `<!-- end of table -->` behind it, so that no figure is
// copied by hand. What has no result yet stays as it is.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./host.mjs";
import { charts } from "./charts.mjs";
import * as report from "./report.mjs";
import { targets } from "./targets.mjs";

const directory = path.join(root, "docs/bench");
const results = path.join(directory, "results");

/** Four digits are more than any of these figures is worth. */
const short = (_key, value) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;

/** Keeps the results of one benchmark with the pages: one entry on each line. */
export function keep(name, { taken, results: entries }) {
  mkdirSync(results, { recursive: true });
  const lines = entries.map((entry) => `  ${JSON.stringify(entry, short)}`).join(",\n");
  writeFileSync(
    path.join(results, `${name}.json`),
    `{\n "taken": ${JSON.stringify(taken, short)},\n "results": [\n${lines}\n ]\n}\n`,
  );
}

function read(name) {
  const file = path.join(results, `${name}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

/** When, where and with what the figures were taken. */
function takenLine({ date, machine, load, versions, rounds, sliceMs }) {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const slice = sliceMs === undefined ? "" : ` of about ${sliceMs} ms`;
  const how = rounds === undefined ? "" : `${rounds} rounds${slice}; `;
  return `Taken on ${date}: ${how}${machine}, load of the machine ${load[0]} before and ${load[1]} after; ${list.join(", ")}.`;
}

function table(words) {
  const [name, ...rest] = words.split(" ");
  if (name === "targets") return targets(read);
  const result = read(name === "taken" ? rest[0] : name);
  if (result === undefined) return undefined;
  if (name === "taken") return takenLine(result.taken);
  return report[report.functionName(name)](result.results, ...rest);
}

/** Fills every marked place of every page, and draws the charts. */
export function write() {
  for (const name of readdirSync(directory).filter((name) => name.endsWith(".md"))) {
    const file = path.join(directory, name);
    const text = readFileSync(file, "utf8");
    const filled = text.replace(/<!-- table: (.+?) -->\n[^]*?<!-- end of table -->/g, (whole, words) => {
      const made = table(words);
      return made === undefined ? whole : `<!-- table: ${words} -->\n\n${made}\n\n<!-- end of table -->`;
    });
    if (filled !== text) writeFileSync(file, filled);
  }
  for (const [name, svg] of charts(read)) writeFileSync(path.join(directory, `${name}.svg`), svg);
}
