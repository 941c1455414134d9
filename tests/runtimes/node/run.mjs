// The package in Node: by import, by require and slim, in the Node that runs this and in newer ones from npm; its types
// under each way to resolve modules; the programs of its README; composition; and its values.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/node/run.mjs

import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { root, withProject } from "../shared/package.mjs";
import { Checks, equal, openProject, over, platformProgram, withServer } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const options = { cwd: project.folder, env: { ONETRIP_URL: project.url, PORT: "0" } };

const newer = ["22", "24"].map((version) =>
  platformProgram(project, `Node ${version}`, { "linux-x64": `node-${version}-linux-x64/bin/node` }),
);
for (const node of [process.execPath, ...newer]) {
  if (node === undefined) continue;
  const checks = new Checks(`Node ${execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1)}`);
  const serve = (file, use, ...args) =>
    withServer(node, [file, ...args], options, (address) => use(over(address))).catch((error) =>
      checks.that(file, () => Promise.reject(error)),
    );
  await serve("index.mjs", (ask) => checks.example(ask, "/", "the example by import"));
  await serve("index.cjs", (ask) => checks.example(ask, "/", "by require"));
  await serve("scenarios.mjs", async (ask) => {
    await checks.scenarios(ask, "/", " by import");
    await checks.that("every array type", async () => equal(await ask("/catalogue"), []));
  });
  await serve("scenarios.cjs", (ask) => checks.scenarios(ask, "/", " by require"));
  if (node === process.execPath) {
    await serve("slim.mjs", (ask) => checks.scenarios(ask, "/", " slim"), "none");
    await serve("slim.mjs", (ask) => checks.scenarios(ask, "/", " slim with bytes"), "bytes");
    await serve("slim.mjs", (ask) => checks.scenarios(ask, "/", " slim with a module"), "compiled");
  }
  checks.end();
}

const declarations = new Checks("declarations");
const tsc = join(root, "node_modules/typescript/bin/tsc");
const strict = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023", "--types", "node"];
for (const [module, moduleResolution] of [
  ["node16", "node16"],
  ["nodenext", "nodenext"],
  ["preserve", "bundler"],
]) {
  const flags = [...strict, "--module", module, "--moduleResolution", moduleResolution];
  await declarations.that(moduleResolution, () =>
    run(process.execPath, [tsc, ...flags, "declarations.mts", "declarations.cts"], { cwd: project.folder }),
  );
}
declarations.end();

await withProject(async (folder) => {
  // Inside the project, so that the import is the installed package.
  const readme = join(folder, "check-readme.mjs");
  copyFileSync(join(project.folder, "readme.mjs"), readme);
  execFileSync(process.execPath, [readme, root, folder, project.url], { stdio: "inherit" });
  const composition = join(folder, "composition.mjs");
  copyFileSync(join(project.folder, "composition.mjs"), composition);
  execFileSync(process.execPath, [composition, project.url], { stdio: "inherit" });
  const types = join(folder, "types.mjs");
  copyFileSync(join(project.folder, "types.mjs"), types);
  const env = { ...process.env, TZ: "America/New_York" };
  execFileSync(process.execPath, [types, project.url, root], { stdio: "inherit", env });
});

/** Runs a program; what it prints is in the error if it fails. */
function run(program, args, { cwd }) {
  try {
    execFileSync(program, args, { cwd, stdio: "pipe", encoding: "utf8" });
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}`, { cause: error });
  }
}
