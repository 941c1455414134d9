// The package in a page that Vite has built without a configuration, and in one that its development server serves, in
// Chromium.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/browser-vite/run.mjs

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { checkPages } from "../shared/browser.mjs";
import { Checks, openProject, withServer } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const { folder } = project;
const out = join(folder, "out");
rmSync(out, { recursive: true, force: true });
rmSync(join(folder, "node_modules/.vite"), { recursive: true, force: true });
const vite = join(folder, "node_modules/vite/bin/vite.js");
const build = (...args) =>
  execFileSync(process.execPath, [vite, "build", ...args, "--logLevel", "warn"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
build("--outDir", out);
build("scenarios", "--outDir", join(out, "scenarios"), "--emptyOutDir", "--base", "/scenarios/");
const { version } = JSON.parse(readFileSync(join(folder, "node_modules/vite/package.json"), "utf8"));
const checks = new Checks(`Chromium, built by Vite ${version}`);
await checkPages(checks, project, { folder: out });
const serve = [vite, "dev", "--host", "127.0.0.1", "--port", "0"];
await withServer(process.execPath, serve, { cwd: folder, env: {} }, (address) =>
  checkPages(checks, project, { address, what: " in development" }),
);
checks.end();
