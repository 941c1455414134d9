// Starts the program under measurement in Node or in workerd, asks it to work, and reads what CPU time that took.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { builtinModules, createRequire } from "node:module";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const target = path.join(root, "target");
export const data = path.join(target, "bench-data");
export const bundles = path.join(target, "bench-bundles");
const workerd = createRequire(import.meta.url).resolve("workerd/bin/workerd");
const workerdBinary = createRequire(workerd).resolve(
  `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`,
);

export const COMPATIBILITY_DATE = "2026-04-01";

/** The built package: what is measured is what users install. */
const dist = path.join(root, "pkg/dist");
export const wasm = path.join(dist, "wasm/onetrip_bg.wasm");

/** Lets esbuild find the package: `#onetrip` is its entry for a runtime, `#onetrip/…` one of its files. */
const onetripPackage = (runtime) => ({
  name: "onetrip-package",
  setup(build) {
    build.onResolve({ filter: /^#onetrip$/ }, () => ({ path: path.join(dist, `${runtime}.js`) }));
    build.onResolve({ filter: /^#onetrip\// }, (found) => ({
      path: path.join(dist, found.path.slice("#onetrip/".length)),
    }));
    // The module itself, as the runtime takes it.
    build.onResolve({ filter: /^#onetrip-wasm$/ }, (found) => ({ path: found.path, namespace: "onetrip-wasm" }));
    build.onLoad({ filter: /.*/, namespace: "onetrip-wasm" }, () => ({
      contents: isLikeNode(runtime)
        ? `import { readFile } from "node:fs/promises"; export const source = () => readFile(${JSON.stringify(wasm)});`
        : 'import module from "./onetrip_bg.wasm"; export const source = () => module;',
      resolveDir: bundles,
    }));
    // The peer's decoder is a function that it does not export.
    build.onResolve({ filter: /^#peer-decoder$/ }, () => ({
      path: path.join(root, "node_modules/@neondatabase/serverless/index.mjs"),
      namespace: "peer-decoder",
    }));
    build.onLoad({ filter: /.*/, namespace: "peer-decoder" }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const [, name] = /function (\w+)\(\w+,\{arrayMode:\w+,fullResults:\w+,types:\w+\}\)/.exec(source);
      return { contents: `${source}\nexport { ${name} as processQueryResult };` };
    });
    // What CommonJS packages take by `require` from Node, which a Worker can only import (as wrangler does it).
    if (!isLikeNode(runtime)) {
      const names = new Set(builtinModules);
      build.onResolve({ filter: /^[a-z]/ }, ({ path: name, kind }) =>
        kind === "require-call" && names.has(name) ? { path: name, namespace: "node-builtin" } : undefined,
      );
      build.onResolve({ filter: /^[a-z]/ }, ({ path: name, kind }) =>
        kind === "import-statement" && names.has(name) ? { path: `node:${name}`, external: true } : undefined,
      );
      build.onLoad({ filter: /.*/, namespace: "node-builtin" }, ({ path: name }) => ({
        contents: `import builtin from "node:${name}"; module.exports = builtin;`,
      }));
    }
    // A Worker's modules lie side by side.
    build.onResolve({ filter: /\.wasm$/ }, (found) => ({ path: `./${path.basename(found.path)}`, external: true }));
  },
});

const isLikeNode = (runtime) => ["node", "deno", "bun"].includes(runtime);

/** Bundles a program of this directory for `runtime` as users do. */
export async function bundle(runtime, entry, outfile, { define, ...options } = {}) {
  if (!existsSync(wasm)) throw new Error("the package is not built: run node pkg/scripts/build.mjs");
  await mkdir(bundles, { recursive: true });
  const file = path.join(bundles, outfile);
  const { metafile } = await build({
    entryPoints: [path.resolve(root, "bench/lib", entry)],
    // Programs that are written for a bundle find the clients, too.
    nodePaths: [path.join(root, "bench/node_modules"), path.join(root, "node_modules")],
    outfile: file,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    conditions: isLikeNode(runtime) ? [runtime, "node"] : ["workerd", "worker"],
    platform: isLikeNode(runtime) ? "node" : "neutral",
    external: ["node:*", "cloudflare:*"],
    // How the package's entry for the runtime has text written, by an endpoint and by its own module.
    define: {
      STRINGS: JSON.stringify(runtime === "bun" ? "utf16-joined" : "utf16"),
      LOCAL_STRINGS: JSON.stringify(["node", "workerd"].includes(runtime) ? "utf16" : "utf8"),
      ...define,
    },
    // CommonJS asks for some of Node's modules only when it needs them.
    ...(isLikeNode(runtime) && {
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    }),
    mainFields: ["module", "main"],
    plugins: [onetripPackage(runtime)],
    metafile: true,
    ...options,
  });
  return { file, metafile };
}

/** A running program; `get` asks it, `cpu` reads its CPU time so far in nanoseconds. */
export class Host {
  constructor(child, port) {
    this.child = child;
    this.port = port;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  }

  get(url) {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: "127.0.0.1", port: this.port, path: url, agent: this.agent }, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => {
          const text = Buffer.concat(parts).toString();
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${url}: ${response.statusCode} ${text}`));
        });
      });
      request.on("error", reject);
    });
  }

  /** CPU time of the main thread and of all threads. */
  async cpu() {
    const tasks = `/proc/${this.child.pid}/task`;
    let [main, all] = [0, 0];
    for (const task of await readdir(tasks)) {
      // A thread may have ended since.
      const text = await readFile(`${tasks}/${task}/schedstat`, "utf8").catch(() => "0");
      const spent = Number(text.split(" ")[0]);
      all += spent;
      if (Number(task) === this.child.pid) main = spent;
    }
    return { main, all };
  }

  async stop() {
    this.agent.destroy();
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }
}

/** Runtimes that come as npm packages: bench/package.json pins them. */
const binary = (name) => path.join(root, "bench/node_modules", name);
const PROGRAMS = {
  node: [process.execPath],
  deno: [
    binary(`@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}/deno`),
    "run",
    "--allow-all",
    "--no-lock",
    "--no-config",
  ],
  // Without its script the package leaves the program where it came.
  bun: [
    [`@oven/bun-${process.platform}-${process.arch === "x64" ? "x64" : "aarch64"}/bin/bun`, "bun/bin/bun.exe"]
      .map(binary)
      .find(existsSync) ?? "bun",
    "run",
  ],
};

/** Starts a program in Node, Deno or Bun that prints a line of JSON with its port. */
export async function startProgram(runtime, file, { flags = [], environment } = {}) {
  const [program, ...args] = PROGRAMS[runtime];
  if (!existsSync(program)) throw new Error(`${runtime} is not installed: run npm ci in bench`);
  const child = spawn(program, [...args, ...flags, file, data], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...environment },
  });
  const { port } = JSON.parse(await firstLine(child, child.stdout));
  return new Host(child, port);
}

/** Starts workerd on a configuration whose one socket is called `main`; `stdout` is as Node's `spawn` has it. */
export async function startWorkerd(configuration, { flags = [], stdout = "inherit" } = {}) {
  const child = spawn(workerdBinary, ["serve", "--control-fd=3", ...flags, configuration], {
    stdio: ["ignore", stdout, "inherit", "pipe"],
  });
  const { port } = JSON.parse(await firstLine(child, child.stdio[3]));
  return new Host(child, port);
}

function firstLine(child, stream) {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (part) => {
      text += part;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`the program ended with ${code} before it listened`)));
  });
}

/** Writes a configuration of one Worker whose inputs are bindings. */
export async function workerConfiguration(name, script, inputs, { modules = [], flags = [], v8Flags = [] } = {}) {
  const file = path.join(bundles, `${name}.capnp`);
  const relative = (file) => JSON.stringify(path.relative(bundles, file));
  await writeFile(
    file,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed ${relative(script)})${modules.map((module) => `, (name = ${JSON.stringify(path.basename(module))}, wasm = embed ${relative(module)})`).join("")}],
    bindings = [${inputs.map((input) => `(name = ${JSON.stringify(input)}, data = embed ${relative(path.join(data, input))})`).join(", ")}],
    compatibilityDate = "${COMPATIBILITY_DATE}", compatibilityFlags = ${JSON.stringify(flags)},
  ))],
  sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "main")],
  v8Flags = ${JSON.stringify(v8Flags)},
);
`,
  );
  return file;
}

/** The version of an installed package. */
export async function versionOf(name) {
  const file = ["bench/node_modules", "node_modules"]
    .map((folder) => path.join(root, folder, name, "package.json"))
    .find(existsSync);
  return JSON.parse(await readFile(file, "utf8")).version;
}

/** What takes part in the measurements, with its version. */
export async function versions() {
  const names = { workerd: "workerd", Deno: "deno", Bun: "bun", esbuild: "esbuild" };
  const peers = ["@neondatabase/serverless", "pg", "postgres"];
  const embedded = await readFile(path.join(root, "crates/embedded-postgres/src/installation.rs"), "utf8");
  const list = {
    onetrip: JSON.parse(await readFile(path.join(root, "pkg/package.json"), "utf8")).version,
    Rust: /channel = "(.+)"/.exec(await readFile(path.join(root, "rust-toolchain.toml"), "utf8"))[1],
    // The packager calls all of its releases beta.
    PostgreSQL: /PACKAGE_VERSION: &str = "(\d+\.\d+)/.exec(embedded)[1],
    Node: process.versions.node,
  };
  for (const [name, module] of [...Object.entries(names), ...peers.map((name) => [name, name])])
    list[name] = await versionOf(module);
  return list;
}
