// What it brings that waiting requests share a flight: queries a second and how long they take, by the most requests in a
// flight and by how far away PostgreSQL is; and beside queries of 50 ms.

import path from "node:path";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { target } from "./host.mjs";
import { build, cpuTime, end, start } from "./program.mjs";
import { quartiles } from "./statistics.mjs";

const CONNECTIONS = 8;
const DEPTHS = [1, 2, 4, 8];
/** How long a round trip between the endpoint and PostgreSQL takes, in ms. */
const DELAYS = [0, 0.5, 2];
/** How many clients ask quick questions, and how many slow ones. */
const CLIENTS = [
  [64, 0],
  [512, 0],
  [64, 4],
];

async function startEndpoint(port, depth) {
  const directory = await mkdtemp(path.join(tmpdir(), "onetrip-bench-"));
  const config = path.join(directory, "onetrip.toml");
  await writeFile(
    config,
    `listen = "127.0.0.1:0"
[databases.bench]
url = "postgresql://127.0.0.1:${port}/postgres?sslmode=disable"
pool_size = ${CONNECTIONS}
pool_timeout = "2m"
queue_size = 20000
requests_in_flight = ${depth}
`,
  );
  const program = path.join(target, "release/onetrip");
  const listening = /listening on http:\/\/127\.0\.0\.1:(\d+)/;
  const started = await start(program, ["serve", "--config", config], "stderr", listening);
  await rm(directory, { recursive: true });
  return { ...started, port: Number(started.found[1]) };
}

async function load({ role, password }, port, clients, slow, seconds) {
  const authorization = `Basic ${Buffer.from(`${role}:${password}`).toString("base64")}`;
  const args = [`127.0.0.1:${port}`, "bench", authorization, "--clients", String(clients)];
  args.push("--seconds", String(seconds), "--slow", String(slow));
  const { stdout } = await promisify(execFile)(path.join(target, "release/load"), args);
  const result = JSON.parse(stdout);
  if (result.failure)
    process.stderr.write(`  ${result.failures} failures, the first: ${result.failure.slice(0, 300)}\n`);
  return result;
}

export async function measure({ rounds = 3, log = () => {}, seconds = 2 } = {}) {
  build("--package", "onetrip-bench", "--bin", "load", "--bin", "delay");
  const run = path.join(target, "debug/examples/run");
  const url = /postgres:\/\/(\S+):(\S+)@[^:]+:(\d+)\/\S*\n/;
  const postgres = await start(run, [path.join(target, "tools")], "stdout", url);
  postgres.endsWithInput = true;
  const [, role, password, postgresPort] = postgres.found;
  const running = [postgres];
  try {
    const runs = [];
    for (const delay of DELAYS) {
      let port = postgresPort;
      if (delay > 0) {
        const args = [`127.0.0.1:${postgresPort}`, String((delay * 1000) / 2)];
        const proxy = await start(path.join(target, "release/delay"), args, "stdout", /(\d+)\n/);
        running.push({ ...proxy, endsWithInput: true });
        port = proxy.found[1];
      }
      for (const depth of DEPTHS) {
        const endpoint = await startEndpoint(port, depth);
        running.push(endpoint);
        for (const [clients, slow] of CLIENTS)
          runs.push({ delay, depth, clients, slow, endpoint, rate: [], p50: [], p99: [], cpu: [] });
      }
    }
    const authorization = `Basic ${Buffer.from(`${role}:${password}`).toString("base64")}`;
    const headers = { authorization, "content-type": "application/json" };
    const batch = [
      "create table pgbench_accounts as select aid, 0 as abalance from generate_series(1, 1000000) aid",
      "alter table pgbench_accounts add primary key (aid)",
    ].map((sql) => ({ sql }));
    const body = JSON.stringify({ batch });
    const made = await fetch(`http://127.0.0.1:${runs[0].endpoint.port}/v1/bench/pipeline`, {
      method: "POST",
      headers,
      body,
    });
    if (!made.ok || (await made.json()).error) throw new Error("the table cannot be made");
    for (const { endpoint, clients } of runs) await load({ role, password }, endpoint.port, clients, 0, 0.3);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < runs.length; turn++) {
        const entry = runs[(turn + round) % runs.length];
        const before = cpuTime(entry.endpoint.child.pid);
        const { port } = entry.endpoint;
        const result = await load({ role, password }, port, entry.clients, entry.slow, seconds);
        entry.cpu.push((cpuTime(entry.endpoint.child.pid) - before) / result.requests);
        entry.rate.push(result.requests / result.seconds);
        entry.p50.push(result.p50_us);
        entry.p99.push(result.p99_us);
      }
    }
    return runs.map(({ delay, depth, clients, slow, rate, p50, p99, cpu }) => {
      const all = { rate: quartiles(rate), p50: quartiles(p50), p99: quartiles(p99), cpu: quartiles(cpu) };
      const entry = { delay, depth, clients, slow, ...all };
      log({ workload: `${delay} ms, ${clients} + ${slow} clients`, candidate: `${depth} in a flight` });
      return entry;
    });
  } finally {
    await end(...running.reverse());
  }
}
