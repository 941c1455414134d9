// The package in Cloudflare Workers: wrangler's development server, and what wrangler and esbuild bundle in miniflare and in
// bare workerd.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/cloudflare-workers/run.mjs

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../shared/package.mjs";
import { Checks, equal, openProject, over, withServer } from "../shared/project.mjs";
import { withWorkerd } from "../shared/workerd.mjs";

const project = await openProject(import.meta.url);
const { folder, url } = project;
const out = join(folder, "out");
rmSync(out, { recursive: true, force: true });
const quiet = { WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", CI: "1" };
const wrangler = join(folder, "node_modules/wrangler/bin/wrangler.js");

/** What wrangler would upload, as modules; the main one first. */
function bundleByWrangler(entry) {
  const outdir = join(out, entry);
  execFileSync(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", outdir, `src/${entry}.ts`], {
    cwd: folder,
    stdio: "pipe",
    env: { ...process.env, ...quiet },
  });
  return modulesOf(outdir, `${entry}.js`);
}

/** As who writes a bundler's configuration by hand: the conditions, and WebAssembly as a file of its own. */
async function bundleByEsbuild() {
  const { build } = await import("esbuild");
  await build({
    entryPoints: [join(folder, "src/scenarios.ts")],
    outdir: join(out, "esbuild"),
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*"],
    loader: { ".wasm": "copy" },
    logLevel: "warning",
  });
  return modulesOf(join(out, "esbuild"), "scenarios.js");
}

function modulesOf(outdir, main) {
  const files = readdirSync(outdir, { recursive: true })
    .map(String)
    .filter((name) => /\.(m?js|wasm)$/.test(name) && statSync(join(outdir, name)).isFile());
  if (!files.some((name) => name.endsWith(".wasm")))
    throw new Error(`${outdir} holds no WebAssembly module: the wrong entry was chosen`);
  files.sort((a, b) => Number(b === main) - Number(a === main));
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(outdir, name))]));
}

const version = (name) => JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).version;

{
  const checks = new Checks(`wrangler ${version("wrangler")}`);
  await checks.that("its types", () =>
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], { stdio: "pipe" }),
  );
  const flags = ["--ip=127.0.0.1", "--port=0", "--inspector-port=0", "--var", `ONETRIP_URL:${url}`];
  const inDevelopment = (script, use) =>
    withServer(process.execPath, [wrangler, "dev", script, ...flags], { cwd: folder, env: quiet }, (address) =>
      use(over(address)),
    );
  await inDevelopment("src/index.ts", (ask) => checks.example(ask));
  await inDevelopment("src/scenarios.ts", async (ask) => {
    await checks.scenarios(ask);
    await checkSharing(checks, ask);
  });
  checks.end();
}

const modules = bundleByWrangler("scenarios");
{
  const checks = new Checks(`miniflare ${version("miniflare")}`);
  const { Miniflare, Log, LogLevel } = await import(
    pathToFileURL(join(folder, "node_modules/miniflare/dist/src/index.js")).href
  );
  const miniflare = new Miniflare({
    log: new Log(LogLevel.ERROR),
    cf: false,
    host: "127.0.0.1",
    port: 0,
    compatibilityDate: "2026-04-01",
    bindings: { ONETRIP_URL: url },
    modulesRoot: folder,
    modules: Object.entries(modules).map(([name, contents]) => ({
      type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
      path: join(folder, name),
      contents,
    })),
  });
  try {
    const ask = over((await miniflare.ready).href.replace(/\/$/, ""));
    await checks.scenarios(ask);
    await checks.scenarios(ask, "/slim", " slim with its user's module");
    await checkSharing(checks, ask);
  } finally {
    await miniflare.dispose();
  }
  checks.end();
}

for (const [name, bundled] of [
  ["wrangler", modules],
  ["esbuild", await bundleByEsbuild()],
]) {
  const checks = new Checks(`workerd, bundled by ${name}`);
  await withWorkerd(bundled, { ONETRIP_URL: url }, async (address) => {
    // First: whatever is loaded once per isolate is loaded in the middle of these.
    await checkSharing(checks, over(address), address);
    await checks.scenarios(over(address));
  });
  checks.end();
}

/** Connections that belong to the module: no request waits for another one's work, or gets another one's rows. */
async function checkSharing(checks, ask, address) {
  const expect = async (number, query = "") => {
    equal(await ask(`/?number=${number}${query}`), [number, number + 1, number + 2]);
  };
  for (const query of ["", "&local=yes"]) {
    const what = `of one connection${query === "" ? "" : ", decoded in WebAssembly"}`;
    if (address !== undefined)
      await checks.that(`20 requests after ones that went away ${what}`, async () => {
        // They go away while they wait for PostgreSQL, and while the module loads.
        const cut = [5, 10, 20, 40, 80, 160].map((after) =>
          fetch(`${address}/?number=0&pause=0.1${query}`, { signal: AbortSignal.timeout(after) }).catch(() => {}),
        );
        await Promise.all([...cut, ...Array.from({ length: 20 }, (_, index) => expect(10 * index, query))]);
      });
    await checks.that(`requests one after another ${what}`, async () => {
      for (let number = 1; number < 10; number++) await expect(number, query);
    });
    await checks.that(`50 requests at once ${what}`, () =>
      Promise.all(Array.from({ length: 50 }, (_, index) => expect(10 * index, `${query}&pause=${(index % 5) * 0.02}`))),
    );
  }
}
