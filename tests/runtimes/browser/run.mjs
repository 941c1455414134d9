// The package in a headless Chromium, from the packed tarball: the page is served from another origin than the endpoint,
// so the endpoint must allow it (CORS). Skipped where there is no Chromium.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database [CHROMIUM_BIN=…] node tests/runtimes/browser/run.mjs

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import {
  bundle,
  newPrefix,
  printMistakes,
  printReport,
  root,
  scenarioFiles,
  testUrl,
  withProject,
} from "../shared/package.mjs";

const url = testUrl();

const source = `
import * as onetrip from "onetrip";
import { runMistakes, runScenarios } from ${JSON.stringify(join(root, "tests/runtimes/shared/scenarios.mjs"))};

const { url, files, prefix } = await (await fetch("/input")).json();
const found = {};
try {
  found.report = await runScenarios(onetrip.connect(url), files, prefix);
  found.local = await runScenarios(onetrip.connect(url, { decode: "local" }), files, prefix + "l");
  found.mistakes = await runMistakes(onetrip.connect, url, onetrip);
} catch (error) {
  found.error = String(error.stack);
}
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
`;

/** The first of these programs that is there. */
function onPath(names) {
  const found = names.find((name) =>
    process.env.PATH.split(delimiter).some((folder) => existsSync(join(folder, name))),
  );
  return found ?? names[0];
}

/** Opens the page and resolves to what it reports; undefined without a Chromium. */
function inChromium(page, found) {
  const profile = mkdtempSync(join(tmpdir(), "onetrip-chromium-"));
  const binary = process.env.CHROMIUM_BIN ?? onPath(["chromium", "google-chrome", "chrome"]);
  const chromium = spawn(
    binary,
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      `--user-data-dir=${profile}`,
      page,
    ],
    { stdio: "ignore" },
  );
  const gone = new Promise((resolve, reject) => {
    chromium.once("error", (error) => (error.code === "ENOENT" ? resolve(undefined) : reject(error)));
    chromium.once("exit", (code) => reject(new Error(`Chromium ended with ${code}`)));
  });
  return Promise.race([found, gone]).finally(async () => {
    chromium.removeAllListeners("exit");
    if (chromium.exitCode === null && chromium.pid !== undefined) {
      chromium.kill();
      await new Promise((resolve) => chromium.once("exit", resolve));
    }
    // Its children outlive it for a moment and still write. (rmSync's own retries do not reach folders in folders.)
    for (let attempt = 1; ; attempt++) {
      try {
        rmSync(profile, { recursive: true, force: true });
        return;
      } catch (error) {
        if (attempt === 50) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  });
}

let ok = true;
await withProject(async (project) => {
  const out = join(project, "page.js");
  await bundle(project, source, { conditions: ["browser"], outfile: out });
  let report;
  const found = new Promise((resolve) => (report = resolve));
  const server = createServer((request, response) => {
    if (request.url === "/input")
      return response.end(JSON.stringify({ url, files: scenarioFiles(), prefix: newPrefix() }));
    if (request.url === "/page.js")
      return response.writeHead(200, { "content-type": "text/javascript" }).end(readFileSync(out));
    if (request.url === "/found") {
      const chunks = [];
      request
        .on("data", (chunk) => chunks.push(chunk))
        .on("end", () => {
          response.end();
          report(JSON.parse(Buffer.concat(chunks)));
        });
      return undefined;
    }
    return response
      .writeHead(200, { "content-type": "text/html" })
      .end('<!doctype html><script type="module" src="/page.js"></script>');
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const result = await inChromium(`http://127.0.0.1:${server.address().port}/`, found);
    if (result === undefined) {
      console.log("Chromium: skipped, it is not installed");
      return;
    }
    if (result.error !== undefined) throw new Error(`in the page: ${result.error}`);
    ok = printReport("Chromium", result.report) && ok;
    ok = printReport("Chromium, decoded in WebAssembly", result.local) && ok;
    ok = printMistakes("Chromium", result.mistakes) && ok;
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
process.exit(ok ? 0 : 1);
