// The package in Node, from the packed tarball: as an ES module, by require, and with rows decoded in WebAssembly;
// the programs of its README, composition, and values of all types.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/node/run.mjs

import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  newPrefix,
  printMistakes,
  printReport,
  root,
  scenarioFiles,
  testUrl,
  withProject,
} from "../shared/package.mjs";

const shared = pathToFileURL(join(root, "tests/runtimes/shared/scenarios.mjs")).href;
const url = testUrl();

const program = (load) => `
${load}
import(${JSON.stringify(shared)}).then(async ({ runCatalogue, runScenarios, runMistakes }) => {
  const { connect } = onetrip;
  const { url, files, prefix, options } = JSON.parse(process.env.ONETRIP_TEST);
  const report = await runScenarios(connect(url, options), files, prefix);
  const mistakes = await runMistakes(connect, url, onetrip);
  const catalogue = process.env.ONETRIP_CATALOGUE ? await runCatalogue(connect(url)) : null;
  console.log(JSON.stringify({ report, mistakes, catalogue }));
});
`;

let ok = true;
await withProject(async (project) => {
  const runs = [
    ["Node, import", "esm.mjs", 'import * as onetrip from "onetrip";', {}],
    ["Node, import, decoded in WebAssembly", "esm.mjs", 'import * as onetrip from "onetrip";', { decode: "local" }],
    ["Node, require", "common.cjs", 'const onetrip = require("onetrip");', {}],
    ["Node, require, decoded in WebAssembly", "common.cjs", 'const onetrip = require("onetrip");', { decode: "local" }],
    [
      "Node, slim",
      "slim.mjs",
      'import * as slim from "onetrip/slim"; const onetrip = { ...slim, connect: (url, options) => slim.connect({ url, ...options }) };',
      {},
    ],
  ];
  for (const [name, file, load, options] of runs) {
    writeFileSync(join(project, file), program(load));
    const input = JSON.stringify({ url, files: scenarioFiles(), prefix: newPrefix(), options });
    const output = execFileSync(process.execPath, [file], {
      cwd: project,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ONETRIP_TEST: input, ONETRIP_CATALOGUE: runs[0][0] === name ? "yes" : "" },
      maxBuffer: 1 << 26,
    });
    const { report, mistakes, catalogue } = JSON.parse(output.trim().split("\n").pop());
    ok = printReport(name, report) && ok;
    if (options.decode === undefined) ok = printMistakes(name, mistakes) && ok;
    if (catalogue?.length === 0) console.log(`${name}: every array type of the catalogue is an array`);
    else if (catalogue !== null) {
      console.error(`  FAILED array types that are not read as arrays: ${catalogue.join("; ")}`);
      ok = false;
    }
  }

  // Inside the project, so that the import is the installed package.
  const readme = join(project, "check-readme.mjs");
  copyFileSync(join(root, "tests/runtimes/node/readme.mjs"), readme);
  execFileSync(process.execPath, [readme, root, project, url], { stdio: "inherit" });
  const composition = join(project, "composition.mjs");
  copyFileSync(join(root, "tests/runtimes/node/composition.mjs"), composition);
  execFileSync(process.execPath, [composition, url], { stdio: "inherit" });
  const types = join(project, "types.mjs");
  copyFileSync(join(root, "tests/runtimes/node/types.mjs"), types);
  const env = { ...process.env, TZ: "America/New_York" };
  execFileSync(process.execPath, [types, url, root], { stdio: "inherit", env });
});
process.exit(ok ? 0 : 1);
