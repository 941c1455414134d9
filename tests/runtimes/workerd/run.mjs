// The package in a real workerd, from the packed tarball, bundled by esbuild and by wrangler.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/workerd/run.mjs

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  bundle,
  newPrefix,
  printMistakes,
  printReport,
  root,
  scenarioFiles,
  testUrl,
  withProject,
} from "../shared/package.mjs";
import { withWorkerd } from "./workerd.mjs";

const url = testUrl();

const source = `
import * as onetrip from "onetrip";
import { runMistakes, runScenarios } from ${JSON.stringify(join(root, "tests/runtimes/shared/scenarios.mjs"))};

export default {
  async fetch(request, env) {
    const { files, prefix, options } = await request.json();
    if (new URL(request.url).pathname === "/mistakes") return Response.json(await runMistakes(onetrip.connect, env.ONETRIP_URL, onetrip));
    return Response.json(await runScenarios(onetrip.connect(env.ONETRIP_URL, options), files, prefix));
  },
};
`;

async function ask(address, path, options = {}) {
  const response = await fetch(`${address}${path}`, {
    method: "POST",
    body: JSON.stringify({ files: scenarioFiles(), prefix: newPrefix(), options }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`the Worker answered ${response.status}: ${text.slice(0, 2000)}`);
  return JSON.parse(text);
}

/** All files below a folder, by their paths in it; the main module first. */
function modulesOf(folder, main) {
  const files = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => /\.(m?js|wasm)$/.test(name) && statSync(join(folder, name)).isFile());
  files.sort((a, b) => Number(b === main) - Number(a === main));
  return Object.fromEntries(files.map((name) => [name.replaceAll("\\", "/"), readFileSync(join(folder, name))]));
}

let ok = true;
await withProject(async (project) => {
  const out = join(project, "out");
  await bundle(project, source, {
    conditions: ["workerd", "worker", "browser"],
    outdir: out,
    loader: { ".wasm": "copy" },
  });
  await withWorkerd(modulesOf(out, "entry.js"), { ONETRIP_URL: url }, async (address) => {
    ok = printReport("workerd, bundled by esbuild", await ask(address, "/")) && ok;
    ok = printReport("workerd, decoded in WebAssembly", await ask(address, "/", { decode: "local" })) && ok;
    ok = printMistakes("workerd", await ask(address, "/mistakes")) && ok;
  });

  // wrangler has rules of its own for WebAssembly.
  const dry = join(project, "dry");
  mkdirSync(dry);
  writeFileSync(
    join(project, "wrangler.toml"),
    'name = "project"\nmain = "entry.mjs"\ncompatibility_date = "2026-04-01"\n',
  );
  execFileSync(
    process.execPath,
    [join(root, "node_modules/wrangler/bin/wrangler.js"), "deploy", "--dry-run", "--outdir", dry],
    {
      cwd: project,
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", CI: "1" },
    },
  );
  await withWorkerd(modulesOf(dry, "entry.js"), { ONETRIP_URL: url }, async (address) => {
    ok =
      printReport(
        "workerd, bundled by wrangler, decoded in WebAssembly",
        await ask(address, "/", { decode: "local" }),
      ) && ok;
  });
});
process.exit(ok ? 0 : 1);
