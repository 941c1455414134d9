// The charts of docs/bench: which figures stand in which picture.

import { bars } from "./plot.mjs";

const times = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}×`;
const unique = (values) => [...new Set(values)];

/** How many times the CPU of the peer is that of each client, all of them without a Response. */
function rows(results, runtime) {
  const here = results.filter((entry) => entry.runtime === runtime);
  const of = (workload, candidate) =>
    here.find((entry) => entry.workload === workload && entry.candidate === candidate)?.median;
  const series = {
    "onetrip, blocks": "onetrip, blocks, no Response",
    "onetrip, wasm": "onetrip, wasm, no Response",
    pg: "pg",
    "postgres.js": "postgres",
    "JSON.parse alone": "JSON.parse",
  };
  return bars({
    title: `${runtime}: a whole query, times less CPU than @neondatabase/serverless (1 is as much)`,
    series: Object.keys(series),
    isLog: true,
    line: 8,
    show: times,
    groups: unique(here.map(({ workload }) => workload)).map((name) => ({
      name,
      values: Object.values(series).map((candidate) => {
        const own = of(name, candidate);
        return own === undefined ? undefined : of(name, "peer, no Response") / own;
      }),
    })),
  });
}

/** How many times the bytes that the peer allocates are those of each client. */
function allocations(results, runtime) {
  const here = results.filter((entry) => entry.runtime === runtime);
  const candidates = [
    "peer, no Response",
    "pg",
    "postgres",
    "onetrip, blocks, no Response",
    "onetrip, wasm, no Response",
  ];
  const of = (workload, candidate) =>
    here.find((entry) => entry.workload === workload && entry.candidate === candidate)?.bytes;
  return bars({
    title: `${runtime}: a whole query, times fewer bytes allocated than @neondatabase/serverless`,
    series: ["pg", "postgres.js", "onetrip, blocks", "onetrip, wasm"],
    isLog: true,
    show: times,
    groups: unique(here.map(({ workload }) => workload)).map((name) => ({
      name,
      values: candidates.slice(1).map((candidate) => of(name, candidates[0]) / of(name, candidate)),
    })),
  });
}

const cold = (results) =>
  bars({
    title: "A cold isolate of workerd: ms of CPU above an empty Worker, loading and first query",
    series: ["loading", "first query"],
    show: (value) => value.toFixed(2),
    groups: results
      .filter(({ candidate }) => !candidate.startsWith("empty"))
      .map(({ candidate, workload, load, first }) => ({
        name: `${candidate.replace("without the wasm module", "slim")}, ${workload}`,
        values: [load.median / 1e3, first.median / 1e3],
      })),
  });

const size = (results) =>
  bars({
    title: "One query over HTTP, bundled and minified for Workers: KB, gzip",
    series: ["gzip"],
    line: 28,
    show: (value) => value.toFixed(1),
    groups: results.map(({ candidate, gzip }) => ({
      name: candidate.replace(/, without.*/, ""),
      values: [gzip / 1e3],
    })),
  });

/** Milliseconds of whole queries with latency between client and server. */
const queries = (results, delay) =>
  bars({
    title: `Through the real endpoint, ${delay} ms of added round trip: milliseconds, median`,
    series: unique(results.map(({ candidate }) => candidate)),
    isLog: delay === "0",
    show: (value) => value.toPrecision(3),
    groups: unique(results.map(({ workload }) => workload)).map((name) => ({
      name,
      values: unique(results.map(({ candidate }) => candidate)).map(
        (candidate) =>
          results.find(
            (entry) => entry.workload === name && entry.candidate === candidate && String(entry.delay) === delay,
          )?.median,
      ),
    })),
  });

/** How many times the CPU of `response()` is that of `Response.json` with the rows of each client. */
function passing(results) {
  const of = (place, candidate) =>
    results.find((entry) => `${entry.runtime}, ${entry.workload}` === place && entry.candidate === candidate).median;
  const clients = ["peer", "onetrip, blocks", "onetrip, wasm"];
  return bars({
    title: "Response.json(rows): times the CPU of handing the answer on by response()",
    series: clients,
    isLog: true,
    show: times,
    groups: unique(results.map(({ runtime, workload }) => `${runtime}, ${workload}`)).map((name) => ({
      name,
      values: clients.map((client) => of(name, `${client}, Response.json(rows)`) / of(name, "onetrip, response()")),
    })),
  });
}

/** Milliseconds from nothing to a Worker's first answer. */
function coldGateway(results) {
  const candidates = unique(results.map(({ candidate }) => candidate));
  return bars({
    title: "A Worker's first answer through the real endpoint, by added round trip: milliseconds, median",
    series: candidates,
    show: (value) => value.toPrecision(3),
    groups: unique(results.map(({ delay }) => delay)).flatMap((delay) =>
      ["process", "isolate"].map((kind) => ({
        name: `fresh ${kind}, ${delay} ms`,
        values: candidates.map(
          (candidate) =>
            results.find((entry) => entry.candidate === candidate && entry.kind === kind && entry.delay === delay)
              .median,
        ),
      })),
    ),
  });
}

/** Name and picture of every chart whose results are there. */
export function* charts(read) {
  const each = (name, draw) =>
    ["node", "workerd", "deno", "bun"].map((runtime) => [name, `${name}-${runtime}`, (r) => draw(r, runtime)]);
  const all = [
    ...each("rows", rows),
    ...each("allocations", allocations),
    ["cold", "cold", cold],
    ["size", "size", size],
    ["passing", "passing", passing],
    ["cold-gateway", "cold-gateway", coldGateway],
    ...["0", "20"].map((delay) => ["queries", `queries-${delay}`, (r) => queries(r, delay)]),
  ];
  for (const [name, file, draw] of all) {
    const found = read(name);
    if (found !== undefined) yield [file, draw(found.results)];
  }
}
