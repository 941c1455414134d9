// The package in Deno, Bun and another Node, from the packed tarball: in those that are installed. What is not found is
// listed as skipped, since the repository pins no binaries of 100 MB.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database [DENO_BIN=…] [BUN_BIN=…] [NODE_BIN=…] node tests/runtimes/others/run.mjs

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  newPrefix,
  printMistakes,
  printReport,
  root,
  scenarioFiles,
  testUrl,
  withProject,
} from "../shared/package.mjs";

const shared = pathToFileURL(join(root, "tests/runtimes/shared/scenarios.mjs")).href;
const url = testUrl();

const program = `
import process from "node:process";
import * as onetrip from "onetrip";
import { runMistakes, runScenarios } from ${JSON.stringify(shared)};
const { url, files, prefix } = JSON.parse(process.env.ONETRIP_TEST);
const report = await runScenarios(onetrip.connect(url), files, prefix);
const local = await runScenarios(onetrip.connect(url, { decode: "local" }), files, prefix + "l");
const mistakes = await runMistakes(onetrip.connect, url, onetrip);
const entry = import.meta.resolve("onetrip").split("/").pop();
console.log(JSON.stringify({ report, local, mistakes, entry }));
`;

const runtimes = [
  {
    name: "Deno",
    program: process.env.DENO_BIN ?? "deno",
    args: ["run", "--allow-all", "--node-modules-dir=manual"],
    entry: "deno.js",
  },
  { name: "Bun", program: process.env.BUN_BIN ?? "bun", args: ["run"], entry: "bun.js" },
  { name: "another Node", program: process.env.NODE_BIN, args: [], entry: "node.js" },
];

let ok = true;
await withProject(async (project) => {
  writeFileSync(join(project, "program.mjs"), program);
  for (const { name, program: binary, args, entry } of runtimes) {
    let version;
    try {
      version = execFileSync(binary, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split(
        "\n",
      )[0];
    } catch {
      console.log(`${name}: skipped, it is not installed`);
      continue;
    }
    const input = JSON.stringify({ url, files: scenarioFiles(), prefix: newPrefix() });
    const output = execFileSync(binary, [...args, "program.mjs"], {
      cwd: project,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ONETRIP_TEST: input },
      maxBuffer: 1 << 26,
    });
    const found = JSON.parse(output.trim().split("\n").pop());
    ok = printReport(`${name} (${version})`, found.report) && ok;
    ok = printReport(`${name}, decoded in WebAssembly`, found.local) && ok;
    ok = printMistakes(name, found.mistakes) && ok;
    if (found.entry !== entry) {
      console.error(`  FAILED ${name} took the entry ${found.entry}, not ${entry}`);
      ok = false;
    }
  }
});
process.exit(ok ? 0 : 1);
