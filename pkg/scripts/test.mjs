// Runs the package's own tests: types by tsc, then pkg/test/*.test.mjs on what the build left in pkg/dist.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tests = join(root, "pkg/test");
if (!existsSync(join(root, "pkg/dist/node.js"))) {
  console.error("test: pkg/dist is empty; build first: node pkg/scripts/build.mjs");
  process.exit(1);
}
try {
  const run = (...args) => execFileSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  run("node_modules/typescript/bin/tsc", "-p", "pkg/test");
  console.log("types: as expected");
  run("--test", ...readdirSync(tests).filter((name) => name.endsWith(".test.mjs")).map((name) => join(tests, name)));
} catch (error) {
  process.exit(error.status ?? 1);
}
