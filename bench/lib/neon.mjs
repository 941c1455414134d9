// Profile 1 beside profile 2: the same queries, endpoint and PostgreSQL, with what each one's JavaScript client asks for.
// And a batch against the same statements one after another, with latency between endpoint and PostgreSQL.

import http from "node:http";
import net from "node:net";
import path from "node:path";
import { Host, target } from "./host.mjs";
import { build, end, start } from "./program.mjs";
import { quartiles } from "./statistics.mjs";

const EIGHT = `select n as id, n * 2 as double, 'name ' || n as name, n * 0.5::float8 as score, n % 2 = 0 as even,
  'word ' || n as word, n::int8 as big, now() as at from generate_series(1, 100) n`;
const ten = Array.from({ length: 10 }, (_, index) => ["select $1::int4 as n", [index]]);
const WORKLOADS = [
  ["select 1", [["select 1", []]]],
  ["100 rows of 8 columns", [[EIGHT, []]]],
  ["batch of 10", ten],
];

/** What each profile's client sends for statements, and whether an answer is whole. */
const PROFILES = {
  "profile 1, blocks": (statements, { role, password }) => ({
    path: "/v1/bench/pipeline",
    headers: {
      authorization: `Basic ${Buffer.from(`${role}:${password}`).toString("base64")}`,
      "content-type": "application/json",
      accept: "application/vnd.onetrip.blocks",
    },
    body: JSON.stringify(
      statements.length === 1
        ? { sql: statements[0][0], params: statements[0][1] }
        : { batch: statements.map(([sql, params]) => ({ sql, params })) },
    ),
    whole: (body) => body.at(-1) === 0x49,
  }),
  "profile 2": (statements, { role, password }) => ({
    path: "/sql",
    headers: {
      "neon-connection-string": `postgresql://${role}:${password}@127.0.0.1/bench`,
      "neon-raw-text-output": "true",
      "neon-array-mode": "true",
    },
    body: JSON.stringify(
      statements.length === 1
        ? { query: statements[0][0], params: statements[0][1] }
        : { queries: statements.map(([query, params]) => ({ query, params })) },
    ),
    whole: (body) => body.at(-1) === 0x7d,
  }),
};

/** Sends `count` requests over so many connections: seconds, and the milliseconds of each. */
async function send(port, request, connections, count) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const headers = { ...request.headers, "content-length": Buffer.byteLength(request.body) };
  const one = () =>
    new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port, path: request.path, method: "POST", agent, headers };
      const sent = http.request(options, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => {
          const body = Buffer.concat(parts);
          if (response.statusCode === 200 && request.whole(body)) resolve();
          else reject(new Error(`${response.statusCode}: ${body.toString("latin1").slice(0, 500)}`));
        });
      });
      sent.on("error", reject);
      sent.end(request.body);
    });
  let left = count;
  const times = [];
  const begun = performance.now();
  const client = async () => {
    while (left-- > 0) {
      const before = performance.now();
      await one();
      times.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const seconds = (performance.now() - begun) / 1000;
  agent.destroy();
  return { seconds, times };
}

/** A proxy that holds back each of the server's answers for some milliseconds. */
function delayed(address, milliseconds) {
  const [host, port] = address.split("/")[0].split(":");
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), host);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on("data", (bytes) => upstream.write(bytes));
    upstream.on("data", (bytes) => setTimeout(() => client.write(bytes), milliseconds));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const serve = (program, address) =>
  start(
    program,
    ["serve", "--listen", "127.0.0.1:0", "--database", `bench=postgresql://${address}`],
    "stderr",
    /listening on http:\/\/127\.0\.0\.1:(\d+)/,
  );

export async function measure({ rounds = 9, log = () => {} } = {}) {
  build();
  const program = path.join(target, "release/onetrip");
  const postgres = await start(
    path.join(target, "debug/examples/run"),
    [path.join(target, "tools")],
    "stdout",
    /postgres:\/\/(\S+):(\S+)@(\S+)\n/,
  );
  postgres.endsWithInput = true;
  const [, role, password, address] = postgres.found;
  const proxy = await delayed(address, 2);
  const programs = [];
  try {
    const gateway = await serve(program, address);
    programs.push(gateway);
    const port = Number(gateway.found[1]);
    const host = new Host(gateway.child, port);
    const runs = WORKLOADS.flatMap(([workload, statements]) =>
      Object.entries(PROFILES).flatMap(([candidate, request]) =>
        [1, 8].map((connections) => ({
          workload,
          candidate,
          connections,
          request: request(statements, { role, password }),
          cpu: [],
          rate: [],
          times: [],
        })),
      ),
    );
    for (const { request, connections } of runs) await send(port, request, connections, 300);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < runs.length; turn++) {
        const run = runs[(turn + round) % runs.length];
        const count = 500;
        const before = await host.cpu();
        const { seconds, times } = await send(port, run.request, run.connections, count);
        const after = await host.cpu();
        run.cpu.push((after.all - before.all) / 1e3 / count);
        run.rate.push(count / seconds);
        run.times.push(...times);
      }
    }
    const results = runs.map(({ workload, candidate, connections, cpu, rate, times }) => {
      const sorted = times.sort((a, b) => a - b);
      const at = (part) => sorted[Math.floor((sorted.length - 1) * part)];
      const figures = { cpu: quartiles(cpu), rate: quartiles(rate), p50: at(0.5), p99: at(0.99) };
      const entry = { kind: "load", workload, candidate, connections, ...figures };
      log(entry);
      return entry;
    });

    const { port: delayedPort } = proxy.address();
    const far = await serve(program, `127.0.0.1:${delayedPort}/${address.split("/")[1]}`);
    programs.push(far);
    const single = PROFILES["profile 2"](ten.slice(0, 1), { role, password });
    const batch = PROFILES["profile 2"](ten, { role, password });
    const farPort = Number(far.found[1]);
    const [one, all] = [[], []];
    for (let round = 0; round <= rounds; round++) {
      const sequential = (await send(farPort, single, 1, 100)).seconds / 10;
      const together = (await send(farPort, batch, 1, 10)).seconds / 10;
      // The first round logs in.
      if (round > 0) {
        one.push(sequential * 1e3);
        all.push(together * 1e3);
      }
    }
    const entry = { kind: "latency", sequential: quartiles(one), batch: quartiles(all) };
    log({ candidate: "2 ms to PostgreSQL", ...entry });
    return [...results, entry];
  } finally {
    await end(...programs, postgres);
    proxy.close();
  }
}
