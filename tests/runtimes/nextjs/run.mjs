// The package in Next.js: a real production build with edge routes and a Node route, served by `next start`, whose edge
// routes run in Vercel's Edge runtime.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/nextjs/run.mjs

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "../shared/package.mjs";
import { Checks, openProject, over, withServer } from "../shared/project.mjs";

const { folder, url } = await openProject(import.meta.url);
const next = join(folder, "node_modules/next/dist/bin/next");
const env = { ONETRIP_URL: url, NEXT_TELEMETRY_DISABLED: "1", CI: "1" };
// Next takes no file from outside of a project.
copyFileSync(join(root, "tests/runtimes/shared/scenarios.mjs"), join(folder, "app/scenarios/scenarios.mjs"));
const { version } = JSON.parse(readFileSync(join(folder, "node_modules/next/package.json"), "utf8"));
for (const bundler of ["--turbopack", "--webpack"]) {
  const checks = new Checks(`Next.js ${version}, built with ${bundler.slice(2)}`);
  rmSync(join(folder, ".next"), { recursive: true, force: true });
  await checks.that("a build", () => build(bundler));
  await checks.that("WebAssembly as a compiled module", () => {
    const files = readdirSync(join(folder, ".next/server"), { recursive: true }).map(String);
    if (!files.some((name) => name.endsWith(".wasm")))
      throw new Error("there is no .wasm in .next/server: the wrong entry was chosen");
  });
  const start = [next, "start", "--hostname", "127.0.0.1", "--port", "0"];
  await withServer(process.execPath, start, { cwd: folder, env }, async (address) => {
    await checks.example(over(address), "/items");
    await checks.example(over(address), "/node-items", "the example as a Node route");
    await checks.scenarios(over(address), "/scenarios");
  });
  checks.end();
}

function build(bundler) {
  try {
    execFileSync(process.execPath, [next, "build", bundler], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: "pipe",
      encoding: "utf8",
    });
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}`, { cause: error });
  }
}
