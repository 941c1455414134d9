// Requests against PostgreSQL, from the packed tarball, in Node and in workerd: checks.mjs says what is checked.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/requests/run.mjs

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle, newPrefix, root, testUrl, withProject } from "../shared/package.mjs";
import { withWorkerd } from "../shared/workerd.mjs";

const url = testUrl();
const checks = join(root, "tests/runtimes/requests/checks.mjs");

const program = `
import * as onetrip from "onetrip";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from ${JSON.stringify(pathToFileURL(checks).href)};
const [url, prefix] = process.argv.slice(2);
console.log(JSON.stringify(await runRequests(onetrip.connect, url, onetrip, sqlstate, prefix)));
`;

const worker = `
import * as onetrip from "onetrip";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from ${JSON.stringify(checks)};
export default {
  async fetch(request, env) {
    return Response.json(await runRequests(onetrip.connect, env.ONETRIP_URL, onetrip, sqlstate, await request.text()));
  },
};
`;

let ok = true;
function print(name, failed) {
  console.log(`${name}: ${failed.length === 0 ? "requests do in PostgreSQL what they should" : "requests FAILED"}`);
  for (const line of failed) console.error(`  FAILED ${line}`);
  ok &&= failed.length === 0;
}

await withProject(async (project) => {
  const file = join(project, "node.mjs");
  writeFileSync(file, program);
  print("Node", JSON.parse(execFileSync(process.execPath, [file, url, newPrefix()], { encoding: "utf8" })));

  const out = join(project, "out");
  await bundle(project, worker, {
    conditions: ["workerd", "worker", "browser"],
    outdir: out,
    loader: { ".wasm": "copy" },
  });
  const names = readdirSync(out).filter((name) => /\.(js|wasm)$/.test(name));
  names.sort((a, b) => Number(b === "entry.js") - Number(a === "entry.js"));
  const modules = Object.fromEntries(names.map((name) => [name, readFileSync(join(out, name))]));
  await withWorkerd(modules, { ONETRIP_URL: url }, async (address) => {
    const answered = await fetch(address, { method: "POST", body: newPrefix() });
    const text = await answered.text();
    if (answered.status !== 200) throw new Error(`the Worker answered ${answered.status}: ${text.slice(0, 2000)}`);
    print("workerd", JSON.parse(text));
  });
});
process.exit(ok ? 0 : 1);
