// The first query of a fresh Rust Worker in workerd, with 20 ms each way to what it talks to: onetrip over HTTPS, and
// tokio-postgres over a socket with TLS and SCRAM.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { delayed } from "./delay.mjs";
import { COMPATIBILITY_DATE, root } from "./host.mjs";

const ROUND_TRIP_MS = 40;
const target = join(root, "target/bench-workers");
const folder = join(target, "cold");
const workerd = createRequire(createRequire(import.meta.url).resolve("workerd/bin/workerd")).resolve(
  `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`,
);

function buildWorker(name) {
  const out = join(target, "workers", name);
  execFileSync(join(root, "target/tools/bin/worker-build"), ["--release", "--out-dir", out], {
    cwd: join(root, "bench/workers", name),
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      ...process.env,
      CARGO_TARGET_DIR: target,
      WASM_BINDGEN_BIN: join(root, "target/tools/bin/wasm-bindgen"),
      WASM_OPT_BIN: join(root, "node_modules/.bin/wasm-opt"),
      ESBUILD_BIN: join(root, "node_modules/.bin/esbuild"),
    },
  });
  const files = readdirSync(out, { recursive: true })
    .map(String)
    .filter((file) => /\.(m?js|wasm)$/.test(file) && statSync(join(out, file)).isFile());
  files.sort((a, b) => Number(b === "index.js") - Number(a === "index.js"));
  return files.map((file) => ({ file, kind: file.endsWith(".wasm") ? "wasm" : "esModule", path: join(out, file) }));
}

/**
 * Milliseconds and round trips from the first request of a new isolate to the end of its answer. `isRunning`: another isolate of the same
 * Worker has asked before, so the runtime may have a connection to the endpoint; otherwise workerd is new, too.
 */
async function firstQuery(modules, url, certificate, isRunning, proxy) {
  const list = modules
    .map(({ file, kind, path }) => `(name = "${file}", ${kind} = embed "${relative(folder, path)}")`)
    .join(", ");
  const path = join(folder, "config.capnp");
  const worker = `(compatibilityDate = "${COMPATIBILITY_DATE}", modules = [${list}],
    bindings = [(name = "DATABASE_URL", text = ${JSON.stringify(url)})])`;
  writeFileSync(
    path,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "main", worker = ${worker}),
  (name = "other", worker = ${worker}),
  (name = "internet", network = (allow = ["public", "private"],
    tlsOptions = (trustedCertificates = [${JSON.stringify(certificate)}]))),
], sockets = [
  (name = "main", address = "127.0.0.1:0", http = (), service = "main"),
  (name = "other", address = "127.0.0.1:0", http = (), service = "other"),
]);`,
  );
  const child = spawn(workerd, ["serve", "--control-fd=3", path], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
  try {
    const ports = await new Promise((resolve, reject) => {
      let lines = "";
      child.once("exit", (code) => reject(new Error(`workerd ended with ${code}`)));
      child.stdio[3].on("data", (chunk) => {
        lines += chunk;
        const found = [...lines.matchAll(/"event":"listen","socket":"(\w+)","port":(\d+)/g)];
        if (found.length === 2) resolve(Object.fromEntries(found.map(([, name, port]) => [name, port])));
      });
    });
    if (isRunning) await (await fetch(`http://127.0.0.1:${ports.other}/`)).text();
    proxy.roundTrips = 0;
    const start = performance.now();
    const answer = await fetch(`http://127.0.0.1:${ports.main}/`);
    const text = await answer.text();
    const milliseconds = performance.now() - start;
    const { roundTrips } = proxy;
    if (!text.includes("1: lamp")) throw new Error(`the Worker answered ${answer.status}: ${text}`);
    return { milliseconds, roundTrips };
  } finally {
    child.removeAllListeners("exit");
    child.kill();
  }
}

export async function measure({ rounds = 15, log = () => {} } = {}) {
  mkdirSync(folder, { recursive: true });
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", ...subject].concat(
      ["-keyout", key, "-out", certificate],
    ),
    { stdio: "ignore" },
  );
  execFileSync("chmod", ["644", key]);
  execFileSync("cargo", ["build", "--quiet", "--locked", "--package", "onetrip-tests", "--bin", "stack"], {
    cwd: root,
  });
  const script = "create table products (id int4 primary key, name text); insert into products values (1, 'lamp')";
  const settings = `[tls]\ncertificate = "${certificate}"\nkey = "${key}"`;
  const stack = spawn(
    join(root, "target/debug/stack"),
    ["--tls", certificate, key, "--settings", settings, "--script", script],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const proxies = [];
  try {
    const { value: line } = await createInterface({ input: stack.stdout })[Symbol.asyncIterator]().next();
    const { url, postgres, role, password, database } = JSON.parse(line);
    const proxy = async (address) => {
      const server = await delayed(Number(address.split(":").pop()), ROUND_TRIP_MS);
      proxies.push(server);
      return server;
    };
    const endpoint = new URL(url).host;
    const [toEndpoint, toPostgres] = [await proxy(endpoint), await proxy(postgres)];
    const trusted = readFileSync(certificate, "utf8");
    const credentials = `${role}:${password}@localhost`;
    const candidates = [
      { candidate: "onetrip", proxy: toEndpoint, way: ["https", ""] },
      { candidate: "tokio-postgres", proxy: toPostgres, way: ["postgresql", "?sslmode=require"] },
    ].flatMap(({ candidate, proxy, way: [scheme, options] }) => {
      const url = `${scheme}://${credentials}:${proxy.address().port}/${database}${options}`;
      const modules = buildWorker(candidate);
      return [false, true].map((isRunning) => {
        const name = `${candidate}, ${isRunning ? "new isolate" : "new workerd"}`;
        return { candidate: name, url, modules, isRunning, proxy, samples: [], roundTrips: [] };
      });
    });
    for (let round = -1; round < rounds; round++) {
      const turn = round % 2 === 0 ? candidates : [...candidates].reverse();
      for (const { candidate, url, modules, isRunning, proxy, samples, roundTrips } of turn) {
        const first = await firstQuery(modules, url, trusted, isRunning, proxy);
        // The first one warms the endpoint's connection to PostgreSQL and the disk.
        if (round >= 0) {
          samples.push(first.milliseconds);
          roundTrips.push(first.roundTrips);
        }
        const workload = `first query ${first.milliseconds.toFixed(0)} ms, ${first.roundTrips} round trips`;
        log({ runtime: "workerd", workload, candidate });
      }
    }
    return candidates.map(({ candidate, samples, roundTrips }) => {
      const sorted = samples.sort((a, b) => a - b);
      const at = (part) => sorted[Math.floor(part * (sorted.length - 1))];
      return { candidate, median: at(0.5), low: at(0.25), high: at(0.75), roundTrips: roundTrips.sort()[rounds >> 1] };
    });
  } finally {
    proxies.forEach((server) => server.close());
    stack.stdin.end();
  }
}
