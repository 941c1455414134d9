// The package in Bun, from npm's package of Bun.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/bun/run.mjs

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "../shared/package.mjs";
import { Checks, equal, openProject, over, platformProgram, withServer } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const bun = platformProgram(project, "Bun", {
  "linux-x64": "@oven/bun-linux-x64/bin/bun",
  "linux-arm64": "@oven/bun-linux-aarch64/bin/bun",
  "darwin-x64": "@oven/bun-darwin-x64/bin/bun",
  "darwin-arm64": "@oven/bun-darwin-aarch64/bin/bun",
});
if (bun !== undefined) {
  const options = { cwd: project.folder, env: { ONETRIP_URL: project.url } };
  const version = execFileSync(bun, ["--version"], { encoding: "utf8" }).trim();
  const checks = new Checks(`Bun ${version}`);
  await checks.that("its types", () =>
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", project.folder], {
      stdio: "pipe",
    }),
  );
  await withServer(bun, ["run", "scenarios.ts"], options, async (address) => {
    await checks.that("its entry", async () => equal(await over(address)("/entry"), "bun.js"));
    await checks.example(over(address));
    await checks.scenarios(over(address));
    await checks.others(over(address), "/", ["refused"]);
  });
  checks.end();
}
