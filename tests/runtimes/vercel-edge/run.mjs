// The package in Vercel's Edge runtime (npm edge-runtime), as the platform deploys a function: bundled by esbuild with the
// condition edge-light, WebAssembly handed in as a compiled module by `?module`, compiling bytes and generating code
// forbidden.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/vercel-edge/run.mjs

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Checks, openProject } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const { folder, url, require } = project;
const { EdgeRuntime } = require("edge-runtime");
const { build } = require("esbuild");

const checks = new Checks(`Vercel Edge (edge-runtime ${require("edge-runtime/package.json").version})`);
await checks.example(await deploy("api/items.ts"), "/api/items");
const ask = await deploy("api/scenarios.ts");
await checks.scenarios(ask, "/api/scenarios");
await checks.scenarios(ask, "/api/scenarios?slim", " slim with its user's module");
await checks.others(ask, "/api/scenarios?", ["refused", "noTls"]);
checks.end();

/** Bundles a function and runs it; returns how to ask it. */
async function deploy(entry) {
  const modules = new Map();
  const wasmModules = {
    name: "wasm?module",
    setup({ onResolve, onLoad, resolve }) {
      onResolve({ filter: /\.wasm\?module$/ }, async ({ path, importer, resolveDir }) => {
        const found = await resolve(path.replace("?module", ""), { kind: "import-statement", importer, resolveDir });
        return { path: found.path, namespace: "wasm" };
      });
      onLoad({ filter: /.*/, namespace: "wasm" }, ({ path }) => {
        const name = `wasm${modules.size}`;
        modules.set(name, new WebAssembly.Module(readFileSync(path)));
        return { contents: `export default globalThis.${name};` };
      });
    },
  };
  const { outputFiles } = await build({
    stdin: {
      contents: `import handler from ${JSON.stringify(`./${entry}`)};
        addEventListener("fetch", (event) => event.respondWith(handler(event.request)));`,
      resolveDir: folder,
    },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    conditions: ["edge-light", "browser"],
    define: { "process.env.ONETRIP_URL": JSON.stringify(url) },
    plugins: [wasmModules],
    logLevel: "warning",
  });
  if (modules.size === 0) throw new Error(`${entry} imports no WebAssembly module: the wrong entry was chosen`);
  const runtime = new EdgeRuntime({
    initialCode: outputFiles[0].text,
    codeGeneration: { strings: false, wasm: false },
    extend: (context) => Object.assign(context, Object.fromEntries(modules)),
  });
  return async (path, body) => {
    const request = body === undefined ? {} : { method: "POST", body };
    const response = await runtime.dispatchFetch(`http://edge.example${path}`, request);
    await response.waitUntil();
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 2000)}`);
    return JSON.parse(text);
  };
}
