// What users download, in bytes: printed at each build and held against pkg/size-budget.json.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** Prints the sizes; false if one is over its budget or the module imports something that is not in the list. */
export function checkSizes({ pkg, dist, esbuild }) {
  const budget = JSON.parse(readFileSync(join(pkg, "size-budget.json"), "utf8"));
  const wasm = readFileSync(join(dist, "wasm/onetrip_bg.wasm"));
  const work = mkdtempSync(join(tmpdir(), "onetrip-size-"));
  const bundle = (name, ...options) => bundleFile(join(dist, `${name}.js`), name, ...options);
  /** What a program is that imports only this. */
  const program = (name, statement) => {
    const entry = join(work, `${name}-entry.js`);
    writeFileSync(entry, statement);
    return bundleFile(entry, name);
  };
  const bundleFile = (entry, name, ...options) => {
    const file = join(work, `${name}.js`);
    execFileSync(esbuild, [
      entry,
      "--bundle",
      "--minify",
      "--format=esm",
      "--conditions=workerd,worker,browser",
      "--external:*.wasm",
      "--external:cloudflare:*",
      "--log-level=warning",
      `--outfile=${file}`,
      ...options,
    ]);
    return readFileSync(file);
  };
  const problems = [];
  let isNeonInDefault = false;
  try {
    const query = bundle("workerd");
    isNeonInDefault = query.includes("neon-connection-string") || query.includes("Neon-Connection-String");
    const loop = bundle("blocks", "--external:./values.js");
    const slim = bundle("slim", "--external:./wasm/onetrip.js");
    const neon = (from) => `export { neon, neonConfig } from ${JSON.stringify(from)};`;
    const entry = join(dist, "neon/workerd.js");
    const ours = program("neon", neon(entry));
    const neonConnect = program("neon-connect", `export { connect } from ${JSON.stringify(entry)};`);
    const peer = program("peer", neon(join(pkg, "../node_modules/@neondatabase/serverless/index.mjs")));
    const rows = [
      ["WebAssembly", [wasm], { raw: budget.raw_wasm_bytes }],
      ["query path, workerd, without WebAssembly", [query], { gzip: budget.query_path_without_wasm_gzip_bytes }],
      ["query path, workerd, all", [query, wasm], { gzip: budget.query_path_gzip_bytes }],
      ["slim", [slim], {}],
      ["neon() of onetrip/neon", [ours], { gzip: budget.neon_gzip_bytes }],
      ["connect of onetrip/neon, without WebAssembly", [neonConnect], { gzip: budget.neon_connect_gzip_bytes }],
      ["neon() of @neondatabase/serverless", [peer], {}],
      ["decode loop alone", [loop], { gzip: budget.decode_loop_gzip_bytes }],
    ];
    console.log(`${"bytes".padEnd(44)}${["raw", "gzip", "brotli"].map((name) => name.padStart(9)).join("")}   budget`);
    for (const [name, files, limits] of rows) {
      const sizes = { raw: 0, gzip: 0, brotli: 0 };
      for (const file of files) {
        sizes.raw += file.length;
        sizes.gzip += gzipSync(file, { level: 9 }).length;
        sizes.brotli += brotliCompressSync(file, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
      }
      const shown = Object.entries(limits).map(([unit, limit]) => `${unit} <= ${limit}`);
      console.log(
        `${name.padEnd(44)}${Object.values(sizes)
          .map((size) => String(size).padStart(9))
          .join("")}   ${shown.join(", ")}`,
      );
      for (const [unit, limit] of Object.entries(limits)) {
        if (sizes[unit] > limit)
          problems.push(`${name}: ${sizes[unit]} bytes ${unit}, ${sizes[unit] - limit} over the budget of ${limit}`);
      }
    }
  } finally {
    rmSync(work, { recursive: true });
  }
  if (isNeonInDefault) problems.push("the query path holds code of onetrip/neon");
  // The hash in a generated name changes with wasm-bindgen's version.
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(wasm))
    .map(({ module, name }) => `${module}.${name.replace(/_[0-9a-f]{16}$/, "_*")}`)
    .sort();
  if (JSON.stringify(imports) !== JSON.stringify([...budget.wasm_imports].sort())) {
    problems.push(`the module imports ${imports.join(", ")}; the budget lists ${budget.wasm_imports.join(", ")}`);
  }
  for (const problem of problems) console.error(`size budget: ${problem}`);
  return problems.length === 0;
}
