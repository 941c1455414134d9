// A bundled page in a headless Chromium. It is served from another origin than the endpoint's, so the endpoint must allow
// it (CORS).

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, request as forward } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join, normalize } from "node:path";
import { withBroken } from "../requests/broken.mjs";
import { newPrefix, scenarioFiles } from "./package.mjs";
import { equal } from "./project.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/**
 * Opens the page of the scenarios, and by it the example, and checks what it finds. The pages come from a folder, or from
 * a development server at an address. `all`: the page has the package's other entries, too.
 */
export const checkPages = (checks, project, options) =>
  options.all
    ? withBroken((...broken) => checkPagesWith(checks, project, options, ...broken))
    : checkPagesWith(checks, project, options);

async function checkPagesWith(
  checks,
  { url },
  { folder, address, page = "/scenarios/index.html", what = "", all = false },
  broken,
  problems,
) {
  let report;
  const found = new Promise((resolve) => (report = resolve));
  const answers = {
    // What a page of an application would get from its own server, for the user who is signed in.
    "/session": () => session(url),
    "/input": () => ({ url, input: { files: scenarioFiles(), prefix: newPrefix() }, broken }),
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://page.example");
    if (answers[pathname] !== undefined) return response.end(JSON.stringify(answers[pathname]()));
    if (pathname === "/found") {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      return request.on("end", () => {
        response.end();
        report(JSON.parse(Buffer.concat(chunks)));
      });
    }
    if (address !== undefined) return proxy(address, request, response);
    const file = join(folder, normalize(pathname));
    if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
    return response
      .writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
      .end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const result = await inChromium(`http://127.0.0.1:${server.address().port}${page}`, found);
    await checks.that(`the example${what}`, () => {
      if (result.error !== undefined) throw new Error(`in the page: ${result.error}`);
      equal(result.example, ["Cup 12.50", "Plate 8.00"]);
    });
    await checks.report(result.default, what);
    await checks.report(result.slim, `${what} slim with its user's module`);
    if (all) {
      await checks.report(result.neon, `${what} by onetrip/neon`);
      await checks.requests(() => result.requests);
      await checks.network(() => problems(result.network, []));
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The endpoint's address with the role, and the header that lets in. */
function session(given) {
  const url = new URL(given);
  const authorization = `Basic ${btoa(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`)}`;
  url.password = "";
  return { url, authorization };
}

function proxy(address, request, response) {
  const { method, headers } = request;
  const passed = forward(new URL(request.url, address), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  request.pipe(passed);
}

/** The first of these programs that is on the PATH. */
function chromiumProgram() {
  const names = ["chromium", "google-chrome", "chrome"];
  const paths = process.env.PATH.split(delimiter);
  const found = names.find((name) => paths.some((folder) => existsSync(join(folder, name))));
  return process.env.CHROMIUM_BIN ?? found ?? names[0];
}

/** Opens the page and resolves to what it reports. */
function inChromium(page, found) {
  const profile = mkdtempSync(join(tmpdir(), "onetrip-chromium-"));
  const chromium = spawn(
    chromiumProgram(),
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
  const gone = new Promise((_, reject) => {
    chromium.once("error", (error) => reject(new Error(`Chromium cannot be started: ${error.message}`)));
    chromium.once("exit", (code) => reject(new Error(`Chromium ended with ${code}`)));
    setTimeout(() => reject(new Error("the page says nothing for two minutes")), 120_000).unref();
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
