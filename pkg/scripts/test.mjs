// Runs the package's own tests: format by prettier, types by tsc, what package.json promises by publint and attw, then
// pkg/test/*.test.mjs on what the build left in pkg/dist.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const FORMATTED = ["pkg/bin", "pkg/ts", "pkg/test", "pkg/scripts", "tests/runtimes"];
const root = fileURLToPath(new URL("../..", import.meta.url));
const tests = join(root, "pkg/test");
if (!existsSync(join(root, "pkg/dist/node.js"))) {
  console.error("test: pkg/dist is empty; build first: node pkg/scripts/build.mjs");
  process.exit(1);
}
try {
  const run = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  run("node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", ...FORMATTED);
  run("node_modules/typescript/bin/tsc", "-p", "pkg/test");
  console.log("types: as expected");
  const tarball = readdirSync(join(root, "pkg")).find((name) => /^onetrip-.*\.tgz$/.test(name));
  if (tarball === undefined) throw new Error("there is no pkg/onetrip-*.tgz; build it: node pkg/scripts/build.mjs");
  run("node_modules/publint/src/cli.js", "pkg", "--strict", "--pack", "npm");
  // node16: resolution of Node before 16 knows no subpaths, and Node 20 is the oldest supported.
  const attw = ["node_modules/@arethetypeswrong/cli/dist/index.js", join("pkg", tarball), "--profile", "node16"];
  run(...attw, "--quiet", "--exclude-entrypoints", "onetrip.wasm");
  // require() of the WebAssembly file is nobody's wish, and bundlers take it from both worlds.
  run(...attw, "--quiet", "--entrypoints", "onetrip.wasm", "--ignore-rules", "cjs-resolves-to-esm");
  const files = readdirSync(tests).filter((name) => name.endsWith(".test.mjs"));
  const test = (names, ...flags) =>
    run(...flags, "--test", "--test-reporter=spec", ...names.map((name) => join(tests, name)));
  test(files);
  console.log("once more, with queries sent as in Workers and browsers:");
  const connecting = files.filter(
    (name) => name !== "direct.test.mjs" && readFileSync(join(tests, name), "utf8").includes("dist/node.js"),
  );
  if (connecting.length === 0) throw new Error("no test imports the entry for Node");
  test(connecting, "--import", pathToFileURL(join(tests, "support/long-way.mjs")).href);
} catch (error) {
  console.error(`test: ${error.message.split("\n")[0]}`);
  process.exit(error.status ?? 1);
}
