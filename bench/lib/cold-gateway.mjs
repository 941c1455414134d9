// Cold start to first row in workerd through the real endpoint, with and without latency: a fresh process, from its start
// to the end of its first answer, and a fresh isolate in a process that runs, from the request that loads it.

import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { COMPATIBILITY_DATE, bundle, bundles, startWorkerd, target, wasm } from "./host.mjs";
import { distances, startStack } from "./queries.mjs";
import { quartiles } from "./statistics.mjs";

export const defaults = { rounds: 9 };

const STATEMENT = "select id, name, email, active, created_at from bench_rows where id = $1";
/** Added to a round trip, in milliseconds. */
const DELAYS = [0, 20];
/** How many isolates are loaded in each process that runs, one after another. */
const ISOLATES = 3;
const CLIENTS = [
  { client: "no query", program: "cold-gateway-empty.mjs", flags: [] },
  { client: "onetrip", program: "cold-gateway-onetrip.mjs", flags: [], hasWasm: true },
  { client: "@neondatabase/serverless", program: "cold-gateway-peer.mjs", flags: [] },
  // Without Node's modules these do not run in a Worker at all.
  { client: "pg", program: "cold-gateway-pg.mjs", flags: ["nodejs_compat"] },
  { client: "postgres", program: "cold-gateway-postgres.mjs", flags: ["nodejs_compat"] },
];

/**
 * Loads the Worker of its bindings anew for each path. V8 keeps compiled modules by their bytes for the whole process: a
 * section with a number makes each another.
 */
const LOADER = `let loaded = 0;
export default {
  fetch(request, { LOADER, CODE, WASM, FLAGS, ...env }) {
    const wasm = new Uint8Array(WASM.byteLength + 5);
    wasm.set(new Uint8Array(WASM));
    wasm.set([0, 3, 1, 0x6e, loaded++], WASM.byteLength);
    const modules = { "worker.js": CODE, "onetrip_bg.wasm": { wasm: wasm.buffer } };
    if (WASM.byteLength === 0) delete modules["onetrip_bg.wasm"];
    const worker = {
      compatibilityDate: ${JSON.stringify(COMPATIBILITY_DATE)},
      compatibilityFlags: JSON.parse(FLAGS),
      mainModule: "worker.js",
      modules,
      env,
    };
    return LOADER.get(new URL(request.url).pathname, () => worker).getEntrypoint().fetch(request);
  },
};
`;

/** Writes the configurations of one client at one distance: the Worker itself, and one that loads it. */
async function configure({ client, program, flags, hasWasm }, { delay, endpoint, postgres }, certificate) {
  const id = `cold-gateway-${client.replace(/\W+/g, "-")}`;
  const { file } = await bundle("workerd", program, `${id}.js`);
  const embedded = (file) => `embed ${JSON.stringify(path.relative(bundles, file))}`;
  const text = (name, value) => `(name = "${name}", text = ${JSON.stringify(value)})`;
  const env = [text("ENDPOINT", endpoint), text("POSTGRES", postgres), text("STATEMENT", STATEMENT)];
  const alone = [`(name = "worker.js", esModule = ${embedded(file)})`];
  if (hasWasm) alone.push(`(name = "onetrip_bg.wasm", wasm = ${embedded(wasm)})`);
  const loading = [
    ...env,
    '(name = "LOADER", workerLoader = (id = "loader"))',
    `(name = "CODE", text = ${embedded(file)})`,
    `(name = "WASM", data = ${hasWasm ? embedded(wasm) : '""'})`,
    text("FLAGS", JSON.stringify(flags)),
  ];
  const write = async (kind, modules, bindings, flags) => {
    const configuration = path.join(bundles, `${id}-${delay}-${kind}.capnp`);
    await writeFile(
      configuration,
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (modules = [${modules}], bindings = [${bindings}],
      compatibilityDate = "${COMPATIBILITY_DATE}", compatibilityFlags = ${JSON.stringify(flags)})),
    (name = "internet", network = (allow = ["public", "private"],
      tlsOptions = (trustedCertificates = [${JSON.stringify(readFileSync(certificate, "utf8"))}]))),
  ],
  sockets = [(name = "main", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
    );
    return configuration;
  };
  return {
    process: await write("process", alone.join(", "), env.join(", "), flags),
    isolate: await write("isolate", `(name = "loader.js", esModule = ${JSON.stringify(LOADER)})`, loading.join(", "), [
      "experimental",
    ]),
  };
}

/** Asks once, and says how many milliseconds and round trips have passed since `begun`. */
async function first(host, url, begun, { toEndpoint, toPostgres }) {
  const trips = () => toEndpoint.roundTrips + toPostgres.roundTrips;
  const before = trips();
  const answer = await host.get(url);
  const milliseconds = performance.now() - begun;
  if (answer !== "true") throw new Error(`the Worker answered ${answer}`);
  return { milliseconds, roundTrips: trips() - before };
}

/** The first answers of one process, of its start or of isolates in it. */
async function once({ kind, configuration, place }) {
  const begun = performance.now();
  const host = await startWorkerd(configuration, kind === "isolate" ? { flags: ["--experimental"] } : {});
  try {
    if (kind === "process") return [await first(host, "/", begun, place)];
    // The isolate before it has asked, as others have in a process that runs.
    await host.get("/running");
    const samples = [];
    for (let index = 0; index < ISOLATES; index++)
      samples.push(await first(host, `/${index}`, performance.now(), place));
    return samples;
  } finally {
    await host.stop();
  }
}

export async function measure({ rounds = defaults.rounds, log = () => {} } = {}) {
  const stack = await startStack(path.join(target, "bench-stack"));
  const proxies = [];
  try {
    const runs = [];
    for (const place of await distances(stack, DELAYS, proxies)) {
      for (const client of CLIENTS) {
        const configurations = await configure(client, place, stack.certificate);
        for (const [kind, configuration] of Object.entries(configurations))
          runs.push({ candidate: client.client, kind, delay: place.delay, configuration, place, samples: [] });
      }
    }
    // The first round warms the endpoint's connections to PostgreSQL and the disk.
    for (let round = -1; round < rounds; round++) {
      for (let turn = 0; turn < runs.length; turn++) {
        const run = runs[(turn + round + runs.length) % runs.length];
        const samples = await once(run);
        if (round >= 0) run.samples.push(...samples);
      }
    }
    return runs.map(({ candidate, kind, delay, samples }) => {
      const roundTrips = quartiles(samples.map((sample) => sample.roundTrips)).median;
      const times = quartiles(samples.map((sample) => sample.milliseconds));
      const entry = { candidate, kind, delay, ...times, roundTrips, count: samples.length };
      log(entry);
      return entry;
    });
  } finally {
    proxies.forEach((server) => server.close());
    stack.end();
  }
}
