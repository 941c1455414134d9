// Whole queries through the real endpoint and PostgreSQL, with and without latency, against the peers over their own
// protocols: one row, a hundred, an atomic batch of ten, and the first row of a fresh process.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { execFile } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { delayed } from "./delay.mjs";
import { bundle, root, target } from "./host.mjs";
import { quartiles } from "./statistics.mjs";

export const defaults = { rounds: 7 };

const CLIENTS = ["onetrip", "@neondatabase/serverless", "pg", "postgres"];
/** Added to a round trip between client and server, in milliseconds: half of it each way. */
const DELAYS = [0, 20];
const WORKLOADS = {
  first: "first row of a fresh process",
  row: "one row by key",
  rows: "100 rows of 8 columns",
  batch: "atomic batch of 10",
};
const SCRIPT = `create table bench_rows (id int4 primary key, name text, email text, active bool, created_at timestamptz, score float8, account_id int8, settings jsonb);
insert into bench_rows select n, 'name ' || n, n || '@example.com', n % 2 = 0, now(), n / 7.0, n * 1000000000000, '{"theme": "dark"}' from generate_series(1, 1000) n;
analyze bench_rows`;

/** PostgreSQL with the table of these questions and the endpoint, both with TLS by a certificate of their own. */
export async function startStack(folder) {
  mkdirSync(folder, { recursive: true });
  const [certificate, key] = [path.join(folder, "certificate.pem"), path.join(folder, "key.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  execFileSync("openssl", [...request, ...subject, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  // PostgreSQL runs as another user where this runs as root.
  execFileSync("chmod", ["644", key]);
  execFileSync("cargo", ["build", "--quiet", "--release", "--package", "onetrip-tests", "--bin", "stack"], {
    cwd: root,
  });
  const settings = `[tls]\ncertificate = "${certificate}"\nkey = "${key}"`;
  const child = spawn(
    path.join(target, "release/stack"),
    ["--tls", certificate, key, "--settings", settings, "--script", SCRIPT],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const { value: line } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  return { ...JSON.parse(line), certificate, end: () => child.stdin.end() };
}

/** The addresses of endpoint and PostgreSQL at each distance, with the proxy in front of each; all proxies go to `proxies`. */
export async function distances({ url, postgres, role, password, database }, delays, proxies) {
  const login = `${role}:${password}@localhost`;
  const ports = [new URL(url).port, postgres.split(":").pop().split("/")[0]].map(Number);
  const places = [];
  for (const delay of delays) {
    // Without latency there is a proxy, too, so that nobody is spared its cost.
    const [toEndpoint, toPostgres] = [await delayed(ports[0], delay), await delayed(ports[1], delay)];
    proxies.push(toEndpoint, toPostgres);
    const endpoint = `https://${login}:${toEndpoint.address().port}/${database}`;
    const direct = `postgresql://${login}:${toPostgres.address().port}/${database}`;
    places.push({ delay, endpoint, postgres: direct, toEndpoint, toPostgres });
  }
  return places;
}

export async function measure({ rounds = defaults.rounds, warm = 15, log = () => {} } = {}) {
  const { file } = await bundle("node", "queries-program.mjs", "queries.mjs");
  const stack = await startStack(path.join(target, "bench-stack"));
  const proxies = [];
  try {
    const places = await distances(stack, DELAYS, proxies);
    const samples = new Map();
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < CLIENTS.length; turn++) {
        const client = CLIENTS[(turn + round) % CLIENTS.length];
        for (const { delay, endpoint, postgres } of places) {
          const { stdout } = await promisify(execFile)(
            process.execPath,
            [file, JSON.stringify({ client, warm, endpoint, postgres })],
            {
              env: { ...process.env, NODE_EXTRA_CA_CERTS: stack.certificate },
            },
          );
          for (const [workload, times] of Object.entries(JSON.parse(stdout))) {
            const key = JSON.stringify({ workload: WORKLOADS[workload], candidate: client, delay });
            samples.set(key, [...(samples.get(key) ?? []), ...times]);
          }
        }
      }
    }
    return [...samples].map(([key, times]) => {
      const entry = { ...JSON.parse(key), ...quartiles(times) };
      log(entry);
      return entry;
    });
  } finally {
    proxies.forEach((server) => server.close());
    stack.end();
  }
}
