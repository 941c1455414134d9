// The package in a page that esbuild has bundled, in Chromium.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/browser-esbuild/run.mjs

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkPages } from "../shared/browser.mjs";
import { Checks, openProject } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const { folder, require } = project;
const out = join(folder, "out");
rmSync(out, { recursive: true, force: true });
const { build, version } = require("esbuild");
const options = { bundle: true, minify: true, format: "esm", logLevel: "warning" };
for (const [entry, to] of [
  ["index", out],
  ["scenarios", join(out, "scenarios")],
]) {
  // The default entry needs no option; who imports the WebAssembly file itself says what it is.
  const loader = entry === "scenarios" ? { ".wasm": "file" } : {};
  // The tests look for a function of theirs in a stack.
  const keepNames = entry === "scenarios";
  await build({
    ...options,
    loader,
    keepNames,
    entryPoints: [join(folder, `src/${entry}.js`)],
    outfile: join(to, "main.js"),
  });
  mkdirSync(to, { recursive: true });
  writeFileSync(
    join(to, "index.html"),
    '<!doctype html><title>Items</title><body><script type="module" src="main.js"></script></body>',
  );
}
const checks = new Checks(`Chromium, bundled by esbuild ${version}`);
await checkPages(checks, project, { folder: out, all: true });
checks.end();
