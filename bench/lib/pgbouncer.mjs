// The endpoint against PgBouncer in transaction mode: the same query, the same PostgreSQL, as many connections to it.
//
// pgbench drives PgBouncer and a load of our own drives the endpoint, one thread each. All share the machine, so that
// CPU for one query says more than queries a second. PgBouncer lets its clients in without a password, so that their logins
// are not counted; the endpoint proves the password of each request.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { target } from "./host.mjs";
import { build, cpuTime, end, memory, start } from "./program.mjs";
import { quartiles } from "./statistics.mjs";

const SERVER_CONNECTIONS = 8;
const CLIENTS = [1, 64, 512];
const COLD_CLIENTS = 1000;
const IDLE_CLIENTS = 10_000;
const SCRIPT = "\\set aid random(100000, 999999)\nselect abalance from pgbench_accounts where aid = :aid;\n";
// Each client is a file; many systems allow 1,024.
const ENOUGH_FILES = 'ulimit -n $(ulimit -Hn) && exec "$@"';

/** What is not installed, with the command that installs it. */
export function missing() {
  const has = (program) =>
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin"].some((directory) =>
      existsSync(path.join(directory, program)),
    );
  const absent = ["pgbouncer", "pgbench", "psql"].filter((program) => !has(program));
  if (process.platform !== "linux") return "this benchmark reads /proc and runs on Linux only";
  return absent.length > 0
    ? `not installed: ${absent.join(", ")}. On Debian: apt-get install --no-install-recommends pgbouncer postgresql-client postgresql-contrib`
    : undefined;
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const withFiles = (program, args) => ["/bin/sh", ["-c", ENOUGH_FILES, "sh", program, ...args]];

async function startPgbouncer(directory, postgres) {
  const port = await freePort();
  const ini = path.join(directory, "pgbouncer.ini");
  const users = path.join(directory, "users.txt");
  await writeFile(users, `"${postgres.role}" "${postgres.password}"\n`);
  await writeFile(
    ini,
    `[databases]
bench = host=127.0.0.1 port=${postgres.port} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${SERVER_CONNECTIONS}
max_client_conn = 2000
query_wait_timeout = 120
log_connections = 0
log_disconnections = 0
`,
  );
  await Promise.all([chmod(directory, 0o755), chmod(ini, 0o644), chmod(users, 0o644)]);
  // It refuses to run as root.
  const user = userInfo().uid === 0 ? ["-u", "nobody"] : [];
  const started = await start(...withFiles("pgbouncer", [...user, ini]), "stderr", /process up/);
  return { ...started, port };
}

async function startEndpoint(postgres) {
  const directory = await mkdtemp(path.join(tmpdir(), "onetrip-bench-"));
  const config = path.join(directory, "onetrip.toml");
  await writeFile(
    config,
    `listen = "127.0.0.1:0"
[databases.bench]
url = "postgresql://127.0.0.1:${postgres.port}/postgres?sslmode=disable"
pool_size = ${SERVER_CONNECTIONS}
pool_timeout = "2m"
queue_size = 20000
`,
  );
  const program = path.join(target, "release/onetrip");
  const started = await start(
    ...withFiles(program, ["serve", "--config", config]),
    "stderr",
    /listening on http:\/\/127\.0\.0\.1:(\d+)/,
  );
  await rm(directory, { recursive: true });
  return { ...started, port: Number(started.found[1]) };
}

/** Runs a program to its end. Not synchronously: what the others print must be read meanwhile. */
async function run(program, args, env = process.env) {
  const child = spawn(...withFiles(program, args), { env, stdio: ["ignore", "pipe", "pipe"] });
  let [text, errors] = ["", ""];
  child.stdout.on("data", (part) => (text += part));
  child.stderr.on("data", (part) => (errors = (errors + part).slice(-2000)));
  const [status] = await once(child, "close");
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${errors}`);
  return text;
}

/** pgbench for some seconds, or for a number of transactions of each client. */
async function pgbench(directory, postgres, port, protocol, clients, amount) {
  const prefix = path.join(directory, "pgbench");
  const args = [
    "-n",
    "-h",
    "127.0.0.1",
    "-p",
    String(port),
    "-U",
    postgres.role,
    "-M",
    protocol,
    "-c",
    String(clients),
  ];
  args.push("-j", "1", "-f", path.join(directory, "script.sql"), "-l", "--log-prefix", prefix, ...amount, "bench");
  const text = await run("pgbench", args, { ...process.env, PGPASSWORD: postgres.password });
  const latencies = [];
  for (const file of (await readdir(directory)).filter((name) => name.startsWith("pgbench."))) {
    const log = await readFile(path.join(directory, file), "utf8");
    for (const line of log.split("\n")) if (line !== "") latencies.push(Number(line.split(" ")[2]));
    await rm(path.join(directory, file));
  }
  latencies.sort((one, other) => one - other);
  const at = (part) => latencies[Math.floor(latencies.length * part)];
  const tps = /tps = ([\d.]+) \(without initial/.exec(text);
  if (tps === null) throw new Error(`pgbench did not say how many transactions it did:\n${text}`);
  const rate = Number(tps[1]);
  const failures = Number(/number of failed transactions: (\d+)/.exec(text)?.[1] ?? 0);
  return { requests: latencies.length, failures, rate, p50_us: at(0.5), p99_us: at(0.99) };
}

const authorization = ({ role, password }) => `Basic ${Buffer.from(`${role}:${password}`).toString("base64")}`;

async function load(postgres, port, clients, amount) {
  const args = [`127.0.0.1:${port}`, "bench", authorization(postgres), "--clients", String(clients), ...amount];
  const result = JSON.parse(await run(path.join(target, "release/load"), args));
  if (result.failure)
    process.stderr.write(`  ${result.failures} failures, the first: ${result.failure.slice(0, 300)}\n`);
  return { ...result, rate: result.requests / result.seconds };
}

/** How many sessions PostgreSQL has had, this question's own included. */
async function sessions(postgres) {
  const env = { ...process.env, PGPASSWORD: postgres.password };
  const args = ["-h", "127.0.0.1", "-p", String(postgres.port), "-U", postgres.role, "-AtXc"];
  args.push("select pg_stat_clear_snapshot(), sessions from pg_stat_database where datname = 'postgres'", "postgres");
  return Number((await run("psql", args, env)).trim().split("|")[1]);
}

export async function measure({ rounds = 5, log = () => {}, seconds = 3 } = {}) {
  const absent = missing();
  if (absent !== undefined) throw new Error(absent);
  build("--package", "onetrip-bench", "--bin", "load");
  const embedded = await start(
    path.join(target, "debug/examples/run"),
    [path.join(target, "tools")],
    "stdout",
    /postgres:\/\/(\S+):(\S+)@[^:]+:(\d+)\/\S*\n/,
  );
  embedded.endsWithInput = true;
  const [, role, password, postgresPort] = embedded.found;
  const postgres = { role, password, port: Number(postgresPort) };
  const directory = await mkdtemp(path.join(tmpdir(), "onetrip-bench-"));
  let pgbouncer, endpoint;
  try {
    await writeFile(path.join(directory, "script.sql"), SCRIPT);
    const init = ["-i", "-q", "-s", "10", "-h", "127.0.0.1", "-p", postgresPort, "-U", role, "postgres"];
    await run("pgbench", init, { ...process.env, PGPASSWORD: password });
    const results = [];
    const cold = async (candidate, startOne, drive) => {
      const started = await startOne();
      // Those that ended before are counted with a delay.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const before = await sessions(postgres);
      const begun = performance.now();
      const result = await drive(started);
      const took = (performance.now() - begun) / 1e3;
      await end(started);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const entry = { kind: "cold", candidate, clients: COLD_CLIENTS, ...result, seconds: took };
      entry.logins = (await sessions(postgres)) - before - 1;
      log(entry);
      results.push(entry);
    };
    const one = ["-t", "1"];
    await cold(
      "PgBouncer",
      () => startPgbouncer(directory, postgres),
      ({ port }) => pgbench(directory, postgres, port, "extended", COLD_CLIENTS, one),
    );
    await cold(
      "onetrip",
      () => startEndpoint(postgres),
      ({ port }) => load(postgres, port, COLD_CLIENTS, ["--requests", "1"]),
    );

    pgbouncer = await startPgbouncer(directory, postgres);
    endpoint = await startEndpoint(postgres);
    const idleAtStart = { pgbouncer: memory(pgbouncer.child.pid).now, onetrip: memory(endpoint.child.pid).now };
    const time = ["-T", String(seconds)];
    const candidates = [
      [
        "PgBouncer, simple",
        pgbouncer,
        (clients) => pgbench(directory, postgres, pgbouncer.port, "simple", clients, time),
      ],
      [
        "PgBouncer, extended",
        pgbouncer,
        (clients) => pgbench(directory, postgres, pgbouncer.port, "extended", clients, time),
      ],
      ["onetrip", endpoint, (clients) => load(postgres, endpoint.port, clients, ["--seconds", String(seconds)])],
    ];
    const runs = CLIENTS.flatMap((clients) =>
      candidates.map(([candidate, { child }, drive]) => ({
        candidate,
        clients,
        pid: child.pid,
        drive,
        cpu: [],
        rate: [],
        p50: [],
        p99: [],
        failures: 0,
        loadCpu: [],
      })),
    );
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < runs.length; turn++) {
        const entry = runs[(turn + round) % runs.length];
        const before = cpuTime(entry.pid);
        const result = await entry.drive(entry.clients);
        entry.cpu.push((cpuTime(entry.pid) - before) / result.requests);
        entry.rate.push(result.rate);
        entry.p50.push(result.p50_us);
        entry.p99.push(result.p99_us);
        entry.failures += result.failures;
        if (result.cpu_us !== undefined) entry.loadCpu.push(result.cpu_us / result.requests);
        entry.memory = memory(entry.pid).now;
      }
    }
    for (const { candidate, clients, cpu, rate, p50, p99, failures, loadCpu, memory } of runs) {
      const all = { cpu: quartiles(cpu), rate: quartiles(rate), p50: quartiles(p50), p99: quartiles(p99) };
      const entry = { kind: "load", candidate, clients, ...all, failures, loadCpu: quartiles(loadCpu), memory };
      log(entry);
      results.push(entry);
    }

    const idle = spawn(
      ...withFiles(path.join(target, "release/load"), [
        `127.0.0.1:${endpoint.port}`,
        "bench",
        authorization(postgres),
        "--clients",
        String(IDLE_CLIENTS),
        "--idle",
      ]),
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const [line] = await once(idle.stdout, "data");
    const { failures } = JSON.parse(line);
    results.push({
      kind: "idle",
      clients: IDLE_CLIENTS,
      failures,
      memory: memory(endpoint.child.pid).now,
      idleAtStart,
    });
    const ended = once(idle, "exit");
    idle.stdin.end();
    await ended;
    return results;
  } finally {
    await end(pgbouncer, endpoint, embedded);
    await rm(directory, { recursive: true });
  }
}
