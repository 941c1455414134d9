// The package in a page that webpack has bundled without a configuration, in Chromium.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/browser-webpack/run.mjs

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkPages } from "../shared/browser.mjs";
import { Checks, openProject } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const { folder, require } = project;
const out = join(folder, "out");
rmSync(out, { recursive: true, force: true });
for (const [entry, to] of [
  ["index", out],
  ["scenarios", join(out, "scenarios")],
]) {
  const webpack = [require.resolve("webpack-cli/bin/cli.js"), "build", "--mode", "production"];
  execFileSync(process.execPath, [...webpack, "--entry", `./src/${entry}.js`, "--output-path", to], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  // Of its own accord webpack makes a classic script.
  writeFileSync(
    join(to, "index.html"),
    '<!doctype html><title>Items</title><body><script src="main.js"></script></body>',
  );
}
const checks = new Checks(`Chromium, bundled by webpack ${require("webpack/package.json").version}`);
await checkPages(checks, project, { folder: out });
checks.end();
