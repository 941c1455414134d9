// Requests against PostgreSQL and over broken connections, from the packed tarball, in Node and in workerd: checks.mjs and
// network.mjs say what is checked.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/requests/run.mjs

import { execFile } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { withBroken } from "./broken.mjs";
import { bundle, newPrefix, root, testUrl, withProject } from "../shared/package.mjs";
import { withWorkerd } from "../shared/workerd.mjs";

const url = testUrl();
const folder = join(root, "tests/runtimes/requests");

const program = `
import * as onetrip from "onetrip";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from ${JSON.stringify(pathToFileURL(join(folder, "checks.mjs")).href)};
import { runNetwork } from ${JSON.stringify(pathToFileURL(join(folder, "network.mjs")).href)};
const [url, prefix, broken] = process.argv.slice(2);
const failed = await runRequests(onetrip.connect, url, onetrip, sqlstate, prefix);
console.log(JSON.stringify({ failed, network: await runNetwork(onetrip.connect, JSON.parse(broken), onetrip) }));
`;

const worker = `
import * as onetrip from "onetrip";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from ${JSON.stringify(join(folder, "checks.mjs"))};
import { runNetwork } from ${JSON.stringify(join(folder, "network.mjs"))};
export default {
  async fetch(request, env) {
    const { prefix, broken } = await request.json();
    const failed = await runRequests(onetrip.connect, env.ONETRIP_URL, onetrip, sqlstate, prefix);
    return Response.json({ failed, network: await runNetwork(onetrip.connect, broken, onetrip) });
  },
};
`;

let ok = true;
function print(name, failed) {
  console.log(
    `${name}: ${failed.length === 0 ? "requests do what they should, and say so when they break" : "FAILED"}`,
  );
  for (const line of failed) console.error(`  FAILED ${line}`);
  ok &&= failed.length === 0;
}

/** Runs all of it by `run` in a runtime that tells of the broken endpoints in `told` that no connection came about. */
const inRuntime = (name, told, run) =>
  withBroken(async (broken, problems) => {
    const { failed, network } = JSON.parse(await run(broken));
    print(name, [...failed, ...problems(network, told)]);
  });

await withProject(async (project) => {
  const file = join(project, "node.mjs");
  writeFileSync(file, program);
  await inRuntime("Node", ["refused", "noTls"], async (broken) => {
    const args = [file, url, newPrefix(), JSON.stringify(broken)];
    return (await promisify(execFile)(process.execPath, args, { timeout: 120_000 })).stdout;
  });

  const out = join(project, "out");
  await bundle(project, worker, {
    conditions: ["workerd", "worker", "browser"],
    outdir: out,
    loader: { ".wasm": "copy" },
  });
  const names = readdirSync(out).filter((name) => /\.(js|wasm)$/.test(name));
  names.sort((a, b) => Number(b === "entry.js") - Number(a === "entry.js"));
  const modules = Object.fromEntries(names.map((name) => [name, readFileSync(join(out, name))]));
  await withWorkerd(modules, { ONETRIP_URL: url }, (address) =>
    inRuntime("workerd", [], async (broken) => {
      const body = JSON.stringify({ prefix: newPrefix(), broken });
      const answered = await fetch(address, { method: "POST", body, signal: AbortSignal.timeout(120_000) });
      const text = await answered.text();
      if (answered.status !== 200) throw new Error(`the Worker answered ${answered.status}: ${text.slice(0, 2000)}`);
      return text;
    }),
  );
});
process.exit(ok ? 0 : 1);
