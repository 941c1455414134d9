// What a first result costs in a fresh isolate, loading included: CPU of workerd's main thread above an empty Worker.
//
// A process holds many Workers with the same code, each an isolate of its own that nobody has warmed up. They are loaded
// when the process starts and asked once each, so that both costs are means over many isolates; the process is started
// several times for each candidate, in turn.

import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { COMPATIBILITY_DATE, bundle, bundles, data, startWorkerd, wasm } from "./host.mjs";
import { quartiles } from "./statistics.mjs";

export const defaults = { rounds: 11 };

const ISOLATES = 24;
const BLOCKS = "application/vnd.onetrip.blocks";
const FRAMES = "application/vnd.onetrip.pgwire";

/** `entry` is onetrip's entry for a runtime; `hasWasm` says whether it imports the module. */
const CANDIDATES = [
  { name: "empty", program: "cold-empty.mjs", format: "utf16.blocks", workloads: ["1x5"] },
  { name: "peer", program: "cold-peer.mjs", format: "peer.json" },
  { name: "peer, minified", program: "cold-peer.mjs", format: "peer.json", minify: true },
  {
    name: "onetrip, blocks",
    program: "cold-onetrip.mjs",
    format: "utf16.blocks",
    entry: "workerd",
    type: BLOCKS,
    decode: "endpoint",
    hasWasm: true,
  },
  {
    name: "onetrip, blocks, minified",
    program: "cold-onetrip.mjs",
    format: "utf16.blocks",
    entry: "workerd",
    type: BLOCKS,
    decode: "endpoint",
    hasWasm: true,
    minify: true,
  },
  {
    name: "onetrip, blocks, without the wasm module",
    program: "cold-onetrip.mjs",
    format: "utf16.blocks",
    entry: "slim",
    type: BLOCKS,
    decode: "endpoint",
  },
  {
    name: "onetrip, wasm",
    program: "cold-onetrip.mjs",
    format: "frames",
    entry: "workerd",
    type: FRAMES,
    decode: "local",
    hasWasm: true,
  },
  {
    name: "empty, with the wasm module",
    program: "cold-empty.mjs",
    format: "utf16.blocks",
    workloads: ["1x5"],
    hasWasm: true,
    importWasm: true,
  },
];

/** Writes the configuration of one candidate with one workload; returns its file. */
async function configure(
  { name, program, format, entry = "workerd", type, decode, hasWasm, importWasm, minify = false },
  workload,
) {
  const id = `cold-${name.replace(/\W+/g, "-")}-${workload}`;
  const { file } = await bundle(entry, program, `${id}.js`, {
    external: ["input"],
    minify,
    // As wrangler has it, minified or not.
    keepNames: true,
    define: { MEDIA_TYPE: JSON.stringify(type ?? ""), DECODE: JSON.stringify(decode ?? "") },
    ...(importWasm && { banner: { js: 'import module from "./onetrip_bg.wasm"; globalThis.module = module;' } }),
  });
  const relative = (file) => JSON.stringify(path.relative(bundles, file));
  const services = [];
  const bindings = [];
  for (let index = 0; index < ISOLATES; index++) {
    const modules = [
      `(name = "worker.js", esModule = embed ${relative(file)})`,
      `(name = "input", data = embed ${relative(path.join(data, `${workload}.${format}`))})`,
    ];
    if (hasWasm) {
      // V8 keeps compiled modules by their bytes for the whole process: a section with a number makes each another.
      const unique = path.join(bundles, `cold-${index}.wasm`);
      await writeFile(unique, Buffer.concat([await readFile(wasm), Buffer.from([0, 3, 1, 0x6e, index])]));
      modules.push(`(name = "onetrip_bg.wasm", wasm = embed ${relative(unique)})`);
    }
    services.push(
      `(name = "s${index}", worker = (modules = [${modules.join(", ")}], compatibilityDate = "${COMPATIBILITY_DATE}"))`,
    );
    bindings.push(`(name = "s${index}", service = "s${index}")`);
  }
  const router =
    "export default { fetch(request, env) { return env[new URL(request.url).pathname.slice(1)].fetch(request); } }";
  const configuration = path.join(bundles, `${id}.capnp`);
  await writeFile(
    configuration,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "router", worker = (modules = [(name = "router.js", esModule = ${JSON.stringify(router)})], bindings = [${bindings.join(", ")}], compatibilityDate = "${COMPATIBILITY_DATE}")),
    ${services.join(",\n    ")}],
  sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "router")],
);
`,
  );
  return configuration;
}

/** CPU of the main thread, when it has become quiet, in microseconds. */
async function settled(host) {
  for (let before = -1; ; await setTimeout(20)) {
    const { main } = await host.cpu();
    if (main === before) return main / 1e3;
    before = main;
  }
}

/** One process: the CPU of loading and of the first answers, per isolate, in microseconds. */
async function once(configuration) {
  const host = await startWorkerd(configuration);
  try {
    const loaded = await settled(host);
    for (let index = 0; index < ISOLATES; index++) await host.get(`/s${index}`);
    const answered = await settled(host);
    return { load: loaded / ISOLATES, first: (answered - loaded) / ISOLATES };
  } finally {
    await host.stop();
  }
}

export async function measure({ workloads = ["1x5", "100x8"], rounds = defaults.rounds, log = () => {} } = {}) {
  const runs = [];
  for (const candidate of CANDIDATES) {
    for (const workload of candidate.workloads ?? workloads) {
      runs.push({
        name: candidate.name,
        workload,
        configuration: await configure(candidate, workload),
        load: [],
        first: [],
        both: [],
      });
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < runs.length; turn++) {
      const run = runs[(turn + round) % runs.length];
      const { load, first } = await once(run.configuration);
      run.load.push(load);
      run.first.push(first);
      run.both.push(load + first);
    }
  }
  const [empty] = runs;
  const above = (run, key) => {
    const base = quartiles(empty[key]).median;
    return quartiles(run[key].map((value) => value - base));
  };
  return runs.map((run) => {
    const entry = {
      candidate: run.name,
      workload: run.workload,
      load: above(run, "load"),
      first: above(run, "first"),
      both: above(run, "both"),
    };
    log(entry);
    return entry;
  });
}
