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

/** PostgreSQL and the endpoint, both with TLS by a certificate of their own. */
async function startStack(folder) {
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

export async function measure({ rounds = 7, warm = 15, log = () => {} } = {}) {
  const { file } = await bundle("node", "queries-program.mjs", "queries.mjs");
  const stack = await startStack(path.join(target, "bench-stack"));
  const proxies = [];
  try {
    const { url, postgres, role, password, database, certificate } = stack;
    const port = (address) => Number(address.split(":").pop().split("/")[0]);
    const login = `${role}:${password}@localhost`;
    const places = [];
    for (const delay of DELAYS) {
      const ends = [Number(new URL(url).port), port(postgres)];
      // Without latency there is a proxy, too, so that nobody is spared its cost.
      for (const [index, end] of ends.entries()) {
        const server = await delayed(end, delay);
        proxies.push(server);
        ends[index] = server.address().port;
      }
      const endpoint = `https://${login}:${ends[0]}/${database}`;
      places.push({ delay, endpoint, postgres: `postgresql://${login}:${ends[1]}/${database}` });
    }
    const samples = new Map();
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < CLIENTS.length; turn++) {
        const client = CLIENTS[(turn + round) % CLIENTS.length];
        for (const { delay, ...urls } of places) {
          const { stdout } = await promisify(execFile)(
            process.execPath,
            [file, JSON.stringify({ client, warm, ...urls })],
            {
              env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
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
