// A whole query through the real endpoint: its CPU for one request, and requests a second, with an embedded PostgreSQL
// behind it. All on one machine, so that only the endpoint's CPU says much.

import http from "node:http";
import path from "node:path";
import { Host, target } from "./host.mjs";
import { build, end, start } from "./program.mjs";
import { quartiles } from "./statistics.mjs";

const REQUESTS = [
  ["select 1", { sql: "select 1" }],
  ["one row by parameter", { sql: "select $1::int4 as id, $2::text as name", params: [1, "Ada"] }],
  [
    "batch of 10",
    { batch: Array.from({ length: 10 }, (_, index) => ({ sql: "select $1::int4 as n", params: [index] })) },
  ],
  ["100 rows", { sql: "select n as id, 'name ' || n as name, n * 0.5 as score from generate_series(1, 100) n" }],
];
const CONNECTIONS = [1, 8];

/** Sends `count` requests, one after another on each connection, and checks each answer. */
async function send(port, authorization, body, connections, count) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const one = () =>
    new Promise((resolve, reject) => {
      const headers = {
        authorization,
        "content-type": "application/json",
        accept: "application/vnd.onetrip.blocks",
        "content-length": Buffer.byteLength(body),
      };
      const request = http.request(
        { host: "127.0.0.1", port, path: "/v1/bench/pipeline", method: "POST", agent, headers },
        (response) => {
          let last = 0;
          response.on("data", (part) => (last = part.at(-1)));
          // The last message is ReadyForQuery, whose body is I.
          response.on("end", () =>
            response.statusCode === 200 && last === 0x49
              ? resolve()
              : reject(new Error(`${response.statusCode}: not the answer of ${body}`)),
          );
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  let left = count;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) await one();
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  agent.destroy();
  return seconds;
}

export async function measure({ rounds = 9, log = () => {} } = {}) {
  build();
  const postgres = await start(
    path.join(target, "debug/examples/run"),
    [path.join(target, "tools")],
    "stdout",
    /postgres:\/\/(\S+):(\S+)@(\S+)\n/,
  );
  postgres.endsWithInput = true;
  const [, role, password, address] = postgres.found;
  let gateway;
  try {
    gateway = await start(
      path.join(target, "release/onetrip"),
      ["serve", "--listen", "127.0.0.1:0", "--database", `bench=postgresql://${address}`],
      "stderr",
      /listening on http:\/\/127\.0\.0\.1:(\d+)/,
    );
    const port = Number(gateway.found[1]);
    const host = new Host(gateway.child, port);
    const authorization = `Basic ${Buffer.from(`${role}:${password}`).toString("base64")}`;
    const runs = REQUESTS.flatMap(([name, request]) =>
      CONNECTIONS.map((connections) => ({ name, connections, body: JSON.stringify(request), cpu: [], rate: [] })),
    );
    for (const { body, connections } of runs) await send(port, authorization, body, connections, 500);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < runs.length; turn++) {
        const run = runs[(turn + round) % runs.length];
        const count = 1000;
        const before = await host.cpu();
        const seconds = await send(port, authorization, run.body, run.connections, count);
        const after = await host.cpu();
        run.cpu.push((after.all - before.all) / 1e3 / count);
        run.rate.push(count / seconds);
      }
    }
    return runs.map(({ name, connections, cpu, rate }) => {
      const entry = { candidate: name, connections, cpu: quartiles(cpu), rate: quartiles(rate) };
      log(entry);
      return entry;
    });
  } finally {
    await end(gateway, postgres);
  }
}
