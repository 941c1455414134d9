// The published clients of Neon's protocol against the endpoint, in Node and in a real workerd: first as they are, then
// with `onetrip/neon` of the packed tarball under the name of `@neondatabase/serverless`; and `connect` of `onetrip/neon`.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/neon/run.mjs
//
// Needs `npm ci --ignore-scripts` in this folder before.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { printReport, root, testUrl, withProject } from "../shared/package.mjs";
import { withWorkerd } from "../shared/workerd.mjs";
import { compare } from "./alike.mjs";
import { runConnect } from "./connect.mjs";
import { compareProfiles } from "./profiles.mjs";

const folder = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(folder, "package.json"));
const endpoint = new URL(testUrl());
const url = `postgresql://${endpoint.username}:${endpoint.password}@${endpoint.host}${endpoint.pathname}`;
// Inside this folder, so that imports find the clients.
const work = mkdtempSync(join(folder, "node_modules/.onetrip-"));

/** Generates Prisma's client for a runtime. It downloads nothing: no engine is used, so any program may stand for one. */
function generate(runtime) {
  const output = join(work, runtime);
  const schema = join(work, `${runtime}.prisma`);
  const text = readFileSync(join(folder, "prisma/schema.prisma"), "utf8");
  writeFileSync(schema, text.replace("OUTPUT", output).replace("RUNTIME", runtime));
  execFileSync(process.execPath, [require.resolve("prisma/build/index.js"), "generate", "--schema", schema], {
    cwd: work,
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      CHECKPOINT_DISABLE: "1",
      PRISMA_HIDE_UPDATE_MESSAGE: "1",
    },
  });
  return join(output, "client.ts");
}

async function bundle(entry, source, options) {
  const { build } = await import("esbuild");
  writeFileSync(join(work, entry), source);
  const outdir = join(work, `${entry}-out`);
  await build({
    entryPoints: [join(work, entry)],
    bundle: true,
    format: "esm",
    outdir,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
    ...options,
  });
  return outdir;
}

function aliasOf(ours) {
  return ours === undefined ? {} : { "@neondatabase/serverless": ours };
}

const checks = JSON.stringify(join(folder, "checks.mjs"));

/** @param ours the file of `onetrip/neon`, if it is to stand in for the original */
async function inNode(ours) {
  const source = `import { run } from ${checks};
    import { PrismaClient } from ${JSON.stringify(generate("nodejs"))};
    import ws from "ws";
    export const report = (endpoint, url) => run(endpoint, url, PrismaClient, ${ours === undefined ? "globalThis.WebSocket ?? ws" : "null"});`;
  const banner = { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` };
  const out = await bundle("node.mjs", source, { platform: "node", banner, alias: aliasOf(ours) });
  const { report } = await import(`${pathToFileURL(join(out, "node.mjs")).href}?${ours}`);
  return report(endpoint.host, url);
}

async function inWorkerd(ours) {
  const source = `import { run } from ${checks};
    import { PrismaClient } from ${JSON.stringify(generate("workerd"))};
    export default {
      async fetch(request, env) {
        return Response.json(await run(env.ENDPOINT, env.URL, PrismaClient, ${ours === undefined ? "undefined" : "null"}));
      },
    };`;
  const wasm = {
    name: "wasm",
    setup(build) {
      // Workers import a module under its name with a query.
      build.onResolve({ filter: /\.wasm(\?module)?$/ }, (found) => ({
        path: join(found.resolveDir, found.path.replace("?module", "")),
      }));
    },
  };
  const out = await bundle("worker.mjs", source, {
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*", "cloudflare:*"],
    loader: { ".wasm": "copy" },
    plugins: [wasm],
    alias: aliasOf(ours),
  });
  const names = readdirSync(out).sort((a, b) => Number(b === "worker.mjs") - Number(a === "worker.mjs"));
  const modules = Object.fromEntries(names.map((name) => [name, readFileSync(join(out, name))]));
  const bindings = { ENDPOINT: endpoint.host, URL: url };
  return withWorkerd(
    modules,
    bindings,
    async (address) => {
      const response = await fetch(address);
      const text = await response.text();
      if (response.status !== 200) throw new Error(`the Worker answered ${response.status}: ${text.slice(0, 2000)}`);
      return JSON.parse(text);
    },
    ["nodejs_compat"],
  );
}

let ok = false;
try {
  ok = printReport("clients of Neon's protocol, Node", await inNode());
  ok = printReport("clients of Neon's protocol, workerd", await inWorkerd()) && ok;
  await withProject(async (project) => {
    const ours = createRequire(join(project, "package.json")).resolve("onetrip/package.json");
    const entry = join(dirname(ours), "dist/neon/index.js");
    ok = printReport("onetrip/neon by import alias, Node", await inNode(entry)) && ok;
    ok = printReport("onetrip/neon by import alias, workerd", await inWorkerd(entry)) && ok;
    const files = [join(root, "tests/vectors/neon.json"), join(folder, "recorded.json")];
    const recorded = files.flatMap((file) => JSON.parse(readFileSync(file, "utf8")).answers);
    const modules = [await import(pathToFileURL(entry).href), await import("@neondatabase/serverless")];
    const report = await compare(...modules, { endpoint: endpoint.host, url, recorded });
    ok = printReport("onetrip/neon beside @neondatabase/serverless, all deeply equal", report) && ok;
    ok = (await runConnect(project, endpoint.host, url)) && ok;
    const [profile1, profile2] = ["node.js", "neon/index.js"].map(
      (file) => pathToFileURL(join(dirname(ours), "dist", file)).href,
    );
    const sql = (await import(profile1)).connect(endpoint.href);
    const neonSql = (await import(profile2)).connect(url, { endpoint: `http://${endpoint.host}/sql` });
    ok = printReport("values of every type by both protocols, deeply equal", await compareProfiles(sql, neonSql)) && ok;
  });
} finally {
  rmSync(work, { recursive: true });
}
process.exit(ok ? 0 : 1);
