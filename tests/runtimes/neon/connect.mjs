// `connect` of `onetrip/neon`: the scenarios of every client, over Neon's protocol, in Node and in a real workerd.

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runRequests } from "../requests/checks.mjs";
import { bundle, newPrefix, printMistakes, printReport, root, scenarioFiles } from "../shared/package.mjs";
import { NEON_LEFT } from "../shared/scenarios.mjs";
import { withWorkerd } from "../shared/workerd.mjs";

const shared = JSON.stringify(join(root, "tests/runtimes/shared/scenarios.mjs"));

/** Checks of requests that this protocol cannot pass, and why. */
const REQUESTS_LEFT = {
  "text of every length is decoded in WebAssembly": "there are no frames to decode",
  "queries of one tick are one request": "a request holds one group",
  "a mistake that the endpoint refuses": "a NUL character is refused by PostgreSQL itself, with SQLSTATE 22021",
  "the endpoint cancels at the deadline by itself": "no header tells the deadline",
  "response() hands on JSON": "answers are not rows alone",
  "response() rejects as the query does": "answers are not rows alone",
};

/**
 * What each runtime does with the package as it was imported there. Mistakes are made in one of them: the endpoint counts
 * wrong passwords, and allows ten in a minute.
 */
const RUN = `async (onetrip, { url, endpoint, files, prefix, left, mistakes }) => {
  const { runMistakes, runScenarios } = await import(${shared});
  const connect = (url, options) => onetrip.connect(url, { endpoint, ...options });
  return {
    report: await runScenarios(connect(url), files, prefix, left),
    mistakes: mistakes ? await runMistakes(connect, url, onetrip, 2) : undefined,
  };
}`;

/** Runs them from the installed package; false if something failed. */
export async function runConnect(project, endpoint, url) {
  const input = (mistakes = false) => ({
    mistakes,
    url,
    endpoint: `http://${endpoint}/sql`,
    files: scenarioFiles(),
    prefix: newPrefix(),
    left: NEON_LEFT,
  });
  let ok = true;
  const print = (name, { report, mistakes }) => {
    ok = printReport(name, report) && ok;
    if (mistakes !== undefined) ok = printMistakes(name, mistakes) && ok;
  };

  for (const [name, file, load] of [
    ["connect of onetrip/neon, Node, import", "neon.mjs", 'import * as onetrip from "onetrip/neon";'],
    ["connect of onetrip/neon, Node, require", "neon.cjs", 'const onetrip = require("onetrip/neon");'],
  ]) {
    writeFileSync(
      join(project, file),
      `${load}\n(${RUN})(onetrip, JSON.parse(process.env.ONETRIP_TEST)).then((found) => console.log(JSON.stringify(found)));`,
    );
    const output = execFileSync(process.execPath, [file], {
      cwd: project,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ONETRIP_TEST: JSON.stringify(input(file === "neon.mjs")) },
      maxBuffer: 1 << 26,
    });
    print(name, JSON.parse(output.trim().split("\n").pop()));
  }

  const installed = (file) => import(pathToFileURL(join(project, "node_modules/onetrip/dist", file)).href);
  const [onetrip, sqlstate] = [await installed("neon/index.js"), await installed("sqlstate.js")];
  const connect = (text, options) => onetrip.connect(text, { endpoint: `http://${endpoint}/sql`, ...options });
  const failed = await runRequests(connect, url, onetrip, sqlstate, newPrefix());
  const left = Object.keys(REQUESTS_LEFT);
  const wrong = [
    ...failed.filter((line) => !left.some((start) => line.startsWith(start))),
    ...left.filter((start) => !failed.some((line) => line.startsWith(start))).map((start) => `${start}: it passes now`),
  ];
  console.log(
    `connect of onetrip/neon, Node: requests ${wrong.length === 0 ? "do in PostgreSQL what they should" : "FAILED"}`,
  );
  for (const [start, reason] of Object.entries(REQUESTS_LEFT)) console.log(`  skipped ${start}: ${reason}`);
  for (const line of wrong) console.error(`  FAILED ${line}`);
  ok = wrong.length === 0 && ok;

  const out = join(project, "neon-worker");
  const source = `import * as onetrip from "onetrip/neon";
    export default { fetch: async (request) => Response.json(await (${RUN})(onetrip, await request.json())) };`;
  await bundle(project, source, {
    conditions: ["workerd", "worker", "browser"],
    outdir: out,
    loader: { ".wasm": "copy" },
  });
  const names = readdirSync(out).sort((a, b) => Number(b === "entry.js") - Number(a === "entry.js"));
  const modules = Object.fromEntries(names.map((name) => [name, readFileSync(join(out, name))]));
  await withWorkerd(modules, {}, async (address) => {
    const response = await fetch(address, { method: "POST", body: JSON.stringify(input()) });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`the Worker answered ${response.status}: ${text.slice(0, 2000)}`);
    print("connect of onetrip/neon, workerd", JSON.parse(text));
  });
  return ok;
}
