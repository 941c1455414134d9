// The package in Deno, from npm's package of Deno.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/deno/run.mjs

import { execFileSync } from "node:child_process";
import { Checks, equal, openProject, over, platformProgram, withServer } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const deno = platformProgram(project, "Deno", {
  "linux-x64": "@deno/linux-x64-glibc/deno",
  "linux-arm64": "@deno/linux-arm64-glibc/deno",
  "darwin-x64": "@deno/darwin-x64/deno",
  "darwin-arm64": "@deno/darwin-arm64/deno",
});
if (deno !== undefined) {
  const options = { cwd: project.folder, env: { ONETRIP_URL: project.url, DENO_NO_UPDATE_CHECK: "1" } };
  const version = execFileSync(deno, ["eval", "console.log(Deno.version.deno)"], { encoding: "utf8" }).trim();
  const checks = new Checks(`Deno ${version}`);
  // No more rights than the page on Deno says: environment and network.
  const serve = ["serve", "--host=127.0.0.1", "--port=0", "--allow-env", "--allow-net"];
  await checks.that("its types", () =>
    execFileSync(deno, ["check", "main.ts"], { ...options, env: { ...process.env, ...options.env }, stdio: "pipe" }),
  );
  await withServer(deno, [...serve, "main.ts"], options, (address) => checks.example(over(address)));
  await withServer(deno, [...serve, "scenarios.ts"], options, async (address) => {
    await checks.that("its entry", async () => equal(await over(address)("/"), "deno.js"));
    await checks.scenarios(over(address));
    await checks.others(over(address), "/", ["refused", "noTls"]);
  });
  checks.end();
}
