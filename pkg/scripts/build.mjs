// Builds the npm package: Rust to WebAssembly, TypeScript to JavaScript, both into pkg/dist, then pkg/onetrip-*.tgz.
// Prints the sizes of what users download and fails when one is over pkg/size-budget.json.
//
//   node pkg/scripts/build.mjs [--no-wasm] [--no-pack]
//
// `--no-wasm` keeps the WebAssembly of the last build. Tools: WASM_BINDGEN_BIN, WASM_METADCE_BIN, WASM_OPT_BIN and ESBUILD_BIN, otherwise
// target/tools/bin (cargo xtask puts wasm-bindgen there), node_modules/.bin and PATH, in this order.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileEagerly } from "./eager.mjs";
import { checkSizes } from "./sizes.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const pkg = join(root, "pkg");
const dist = join(pkg, "dist");
const has = (flag) => process.argv.includes(flag);

function tool(name, variable) {
  const given = process.env[variable];
  if (given) return given;
  return [join(root, "target/tools/bin", name), join(root, "node_modules/.bin", name)].find(existsSync) ?? name;
}

function run(program, args, options = {}) {
  try {
    return execFileSync(program, args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      ...options,
    });
  } catch (error) {
    process.stdout.write(error.stdout ?? "");
    const missing =
      error.code === "ENOENT" ? "it is not installed (cargo xtask setup, npm ci)" : `exit status ${error.status}`;
    console.error(`build: ${program} ${args.slice(0, 3).join(" ")} … failed: ${missing}`);
    process.exit(1);
  }
}

function buildWasm() {
  // Made aside and put in place at once, so that who uses the last build is not left without.
  const wasmDir = join(dist, `wasm-${process.pid}`);
  const wasmBindgen = tool("wasm-bindgen", "WASM_BINDGEN_BIN");
  const locked = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(readFileSync(join(root, "Cargo.lock"), "utf8"))?.[1];
  const found = run(wasmBindgen, ["--version"]).trim().split(" ").pop();
  if (found !== locked) {
    console.error(
      `build: ${wasmBindgen} is ${found}, but Cargo.lock has wasm-bindgen ${locked}. Install that version: cargo install wasm-bindgen-cli --version ${locked}`,
    );
    process.exit(1);
  }
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const build = ["build", "--quiet", "--package", "onetrip-js", "--target", "wasm32-unknown-unknown"];
  run("cargo", [...build, "--profile", "release-wasm"], {
    // Loops as they are written and functions inlined where that makes no code: a twentieth of the module, at no cost in time.
    env: {
      ...process.env,
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS:
        "-Cllvm-args=--inline-threshold=25 -Cllvm-args=--unroll-max-count=1",
    },
  });
  mkdirSync(wasmDir, { recursive: true });
  // Of what this target makes only the module is used; ts/load.ts calls its functions as they are.
  const options = ["--target", "bundler", "--out-name", "onetrip"];
  run(wasmBindgen, [
    ...options,
    "--out-dir",
    wasmDir,
    join(target, "wasm32-unknown-unknown/release-wasm/onetrip_js.wasm"),
  ]);
  const wasm = join(wasmDir, "onetrip_bg.wasm");
  for (const name of ["onetrip.js", "onetrip.d.ts", "onetrip_bg.js", "onetrip_bg.wasm.d.ts"])
    rmSync(join(wasmDir, name));
  // The features that rustc turns on for wasm32-unknown-unknown, and no others: every runtime has them since 2021.
  const features = [
    "bulk-memory",
    "bulk-memory-opt",
    "sign-ext",
    "mutable-globals",
    "nontrapping-float-to-int",
    "reference-types",
    "multivalue",
  ];
  const enabled = features.map((name) => `--enable-${name}`);
  // Only what ts/wasm.ts calls, and what that needs: no tables of JavaScript's objects, and so no imports.
  const called = ["memory", "start", "input", "encode", "output", "problem_at", "retry_after_ms"];
  const graph = join(wasmDir, "called.json");
  writeFileSync(
    graph,
    JSON.stringify([
      { name: "ts/wasm.ts", root: true, reaches: called },
      ...called.map((name) => ({ name, export: name })),
    ]),
  );
  run(tool("wasm-metadce", "WASM_METADCE_BIN"), [...enabled, "--graph-file", graph, wasm, "-o", wasm]);
  rmSync(graph);
  const stripped = ["--strip-debug", "--strip-producers", "--strip-target-features"];
  run(tool("wasm-opt", "WASM_OPT_BIN"), ["-Oz", "--converge", ...enabled, ...stripped, wasm, "-o", wasm]);
  writeInline(wasmDir, readFileSync(wasm));
  rmSync(join(dist, "wasm"), { recursive: true, force: true });
  renameSync(wasmDir, join(dist, "wasm"));
}

/** The module as text, for runtimes that compile bytes: the one form that every bundler carries along. */
function writeInline(wasmDir, bytes) {
  const text = `// Made by pkg/scripts/build.mjs: onetrip_bg.wasm in base64.\nconst base64 = "${bytes.toString("base64")}";\n\n/** The bytes of the module. */\nexport function bytes() {\n  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));\n}\n`;
  writeFileSync(join(wasmDir, "inline.js"), text);
  writeFileSync(
    join(wasmDir, "module.d.ts"),
    'import type { WasmModule } from "../load.js";\n\n/** The module as Workers and bundlers import it: compiled. */\ndeclare const module: WasmModule;\nexport default module;\n',
  );
  writeFileSync(
    join(wasmDir, "inline.d.ts"),
    "/** The bytes of the module. */\nexport function bytes(): Uint8Array<ArrayBuffer>;\n",
  );
}

function buildTypeScript() {
  const before = Date.now() - 1000;
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(pkg, "ts")]);
  // What this build did not write is of files that are gone.
  for (const folder of [dist, join(dist, "neon")]) {
    for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile())) {
      if (statSync(join(folder, name)).mtimeMs < before) rmSync(join(folder, name));
    }
  }
}

/**
 * Shortens the modules: V8 reads every byte of them in each isolate, and bundlers for Workers leave them as they are.
 * Exports keep their names, and with them errors the names of their classes.
 */
function minify() {
  const files = readdirSync(dist, { recursive: true }).filter(
    (name) => name.endsWith(".js") && !name.startsWith("cjs"),
  );
  // What esbuild would strip with the white space: by these comments bundlers know what they may leave out.
  const isMarked = (name) => readFileSync(join(dist, name), "utf8").includes("@__PURE__");
  const shorten = (names, ...options) =>
    run(tool("esbuild", "ESBUILD_BIN"), [
      ...names.map((name) => join(dist, name)),
      ...options,
      "--minify-identifiers",
      // Private methods that are none any more (eager.mjs).
      "--mangle-props=^eager_",
      "--sourcemap",
      "--target=es2022",
      "--log-level=warning",
      "--allow-overwrite",
      `--outbase=${dist}`,
      `--outdir=${dist}`,
    ]);
  shorten(files.filter(isMarked));
  shorten(
    files.filter((name) => !isMarked(name)),
    "--minify-whitespace",
  );
}

/** One CommonJS file for each entry that `require` can mean, and its declarations under CommonJS names. */
function buildCommonJs() {
  const cjs = join(dist, "cjs");
  mkdirSync(cjs, { recursive: true });
  for (const [entry, name] of [
    ["node", "index"],
    ["slim", "slim"],
    ["sqlstate", "sqlstate"],
    ["decoders", "decoders"],
    ["neon/index", "neon/index"],
  ]) {
    run(tool("esbuild", "ESBUILD_BIN"), [
      join(dist, `${entry}.js`),
      "--bundle",
      "--format=cjs",
      "--platform=node",
      "--target=node20",
      "--sourcemap",
      "--log-level=warning",
      `--outfile=${join(cjs, `${name}.cjs`)}`,
    ]);
  }
  const folders = ["", "neon/"];
  for (const file of folders.flatMap((folder) => readdirSync(join(dist, folder)).map((name) => folder + name))) {
    if (!file.endsWith(".d.ts")) continue;
    const text = readFileSync(join(dist, file), "utf8").replace(/(from "|import\(")(\.[\w./-]+)\.js"/g, '$1$2.cjs"');
    writeFileSync(join(cjs, file.replace(/\.d\.ts$/, ".d.cts")), text.replace(/\n\/\/# sourceMappingURL=.*/, ""));
  }
}

mkdirSync(dist, { recursive: true });
if (!has("--no-wasm") || !existsSync(join(dist, "wasm/onetrip_bg.wasm"))) buildWasm();
buildTypeScript();
await compileEagerly(dist);
minify();
buildCommonJs();
const ok = checkSizes({ root, pkg, dist, esbuild: tool("esbuild", "ESBUILD_BIN") });
if (!has("--no-pack")) {
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"])
    if (existsSync(join(root, licence))) cpSync(join(root, licence), join(pkg, licence));
  for (const name of readdirSync(pkg)) if (name.endsWith(".tgz")) rmSync(join(pkg, name));
  const [packed] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--loglevel=error"], {
      cwd: pkg,
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  console.log(`pkg/${packed.filename}: ${packed.size} bytes, ${packed.entryCount} files`);
}
process.exit(ok ? 0 : 1);
