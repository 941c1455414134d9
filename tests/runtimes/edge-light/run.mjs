// The package in Vercel's Edge runtime (npm edge-runtime), from the packed tarball: WebAssembly comes in as a compiled
// module by `?module`, and compiling bytes or generating code is forbidden, as on the platform.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/edge-light/run.mjs

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { EdgeRuntime } from "edge-runtime";
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

addEventListener("fetch", (event) => event.respondWith((async () => {
  const { path, files, prefix, options } = await event.request.json();
  const url = new URL(event.request.url).searchParams.get("url");
  if (path === "mistakes") return Response.json(await runMistakes(onetrip.connect, url, onetrip));
  return Response.json(await runScenarios(onetrip.connect(url, options), files, prefix));
})()));
`;

let ok = true;
await withProject(async (project) => {
  const modules = {};
  const wasmModules = {
    name: "wasm?module",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /\.wasm\?module$/ }, ({ path, importer }) => ({
        path: join(dirname(importer), path.replace("?module", "")),
        namespace: "wasm",
      }));
      onLoad({ filter: /.*/, namespace: "wasm" }, ({ path }) => {
        modules.onetripWasm = readFileSync(path);
        return { contents: "export default globalThis.onetripWasm;" };
      });
    },
  };
  const out = join(project, "edge.js");
  await bundle(project, source, {
    conditions: ["edge-light", "browser"],
    outfile: out,
    format: "iife",
    plugins: [wasmModules],
  });
  if (modules.onetripWasm === undefined)
    throw new Error("the entry for edge-light imports no WebAssembly: the wrong entry was chosen");
  const runtime = new EdgeRuntime({
    initialCode: readFileSync(out, "utf8"),
    codeGeneration: { strings: false, wasm: false },
    extend: (context) => Object.assign(context, { onetripWasm: new WebAssembly.Module(modules.onetripWasm) }),
  });
  const ask = async (path, options = {}) => {
    const request = {
      method: "POST",
      body: JSON.stringify({ path, files: scenarioFiles(), prefix: newPrefix(), options }),
    };
    const response = await runtime.dispatchFetch(`http://edge.example/?url=${encodeURIComponent(url)}`, request);
    await response.waitUntil();
    const text = await response.text();
    if (response.status !== 200) throw new Error(`the function answered ${response.status}: ${text.slice(0, 2000)}`);
    return JSON.parse(text);
  };
  ok = printReport("edge-light", await ask("scenarios")) && ok;
  ok = printReport("edge-light, decoded in WebAssembly", await ask("scenarios", { decode: "local" })) && ok;
  ok = printMistakes("edge-light", await ask("mistakes")) && ok;
});
process.exit(ok ? 0 : 1);
