// The package in Google Cloud Functions: served by their functions-framework, as on the platform.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/google-cloud-functions/run.mjs

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Checks, openProject, over, withServer } from "../shared/project.mjs";

const { folder, url } = await openProject(import.meta.url);
const framework = join(folder, "node_modules/@google-cloud/functions-framework");
const { version } = JSON.parse(readFileSync(join(framework, "package.json"), "utf8"));
const checks = new Checks(`Google Cloud Functions (functions-framework ${version})`);
await serve("items", "index.js", (ask) => checks.example(ask));
await serve("scenarios", "scenarios.js", (ask) => checks.scenarios(ask));
checks.end();

/** Production: otherwise the framework prints an address of its own, which is not where it listens here. */
function serve(target, source, use) {
  const args = ["--require", "./loopback.cjs", join(framework, "build/src/main.js")];
  const options = { cwd: folder, env: { ONETRIP_URL: url, NODE_ENV: "production" } };
  return withServer(process.execPath, [...args, `--target=${target}`, `--source=${source}`], options, (address) =>
    use(over(address)),
  );
}
