// The targets beside what was measured, with the verdict: work that is equal, a whole query against a whole query.

import { figure } from "./statistics.mjs";

const MIXED = ["1x5", "100x8", "10000x10"];
const ratio = (number) => `${number.toFixed(1)}×`;

function rowTargets(results) {
  const of = (runtime, workload, candidate) =>
    results.find((entry) => entry.runtime === runtime && entry.workload === workload && entry.candidate === candidate)
      .median;
  const against = (runtime, workload, kind, response = ", no Response") =>
    of(runtime, workload, `peer${response}`) / of(runtime, workload, `onetrip, ${kind}${response}`);
  const runtimes = [...new Set(results.map(({ runtime }) => runtime))];
  const workloads = [...new Set(results.map(({ workload }) => workload))];
  const lines = [];
  for (const [kind, least, name] of [
    ["blocks", 8, "blocks from the endpoint"],
    ["wasm", 4, "blocks made in wasm"],
  ]) {
    for (const workload of MIXED) {
      const measured = runtimes.map((runtime) => [runtime, against(runtime, workload, kind)]);
      lines.push([
        `bytes to rows, ${name}, ${workload}`,
        `at least ${least}× the peer`,
        measured.map(([runtime, value]) => `${runtime} ${ratio(value)}`).join(", "),
        // Two digits are what these ratios are worth.
        measured.filter(([, value]) => value < least).map(([runtime]) => runtime),
      ]);
    }
  }
  const wide = runtimes.map((runtime) => [runtime, against(runtime, "wide", "blocks")]);
  lines.push([
    "long text that is not ASCII, blocks from the endpoint",
    "at least 5× the peer",
    wide.map(([runtime, value]) => `${runtime} ${ratio(value)}`).join(", "),
    wide.filter(([, value]) => value < 5).map(([runtime]) => runtime),
  ]);
  for (const [kind, response, name] of [
    ["blocks", ", no Response", "blocks from the endpoint"],
    ["blocks", "", "blocks from the endpoint, in the runtime's Response"],
    ["wasm", ", no Response", "blocks made in wasm"],
    ["wasm", "", "blocks made in wasm, in the runtime's Response"],
  ]) {
    const all = runtimes
      .flatMap((runtime) =>
        workloads.map((workload) => [`${runtime}, ${workload}`, against(runtime, workload, kind, response)]),
      )
      .sort(([, one], [, other]) => one - other);
    const slow = all.filter(([, value]) => value < 1);
    lines.push([
      `slower on no workload in no runtime, ${name}`,
      "at least 1×",
      slow.length === 0
        ? `the least is ${ratio(all[0][1])} (${all[0][0]})`
        : slow.map(([name, value]) => `${name} ${value.toFixed(2)}×`).join("; "),
      slow.map(([name]) => name),
    ]);
  }
  return lines;
}

function coldTargets(results) {
  const of = (candidate, workload) =>
    results.find((entry) => entry.candidate === candidate && entry.workload === workload);
  const lines = [
    ["", "as wrangler bundles by default"],
    [", minified", "both minified"],
  ].flatMap(([how, name]) =>
    ["1x5", "100x8"].map((workload) => {
      const times = of(`peer${how}`, workload).both.median / of(`onetrip, blocks${how}`, workload).both.median;
      return [
        `first result in a cold isolate, ${workload}, ${name}`,
        "at least 4 times less CPU",
        `${times.toFixed(2)}×`,
        times < 4 ? ["it"] : [],
      ];
    }),
  );
  const [own, peer] = ["onetrip, blocks", "peer"].map((name) => of(name, "1x5").load.median / 1e3);
  lines.push([
    "start-up in workerd over an empty Worker",
    "at most 3 ms and below the peer's",
    `${own.toFixed(1)} ms, the peer ${peer.toFixed(1)}`,
    own > 3 || own >= peer ? ["it"] : [],
  ]);
  return lines;
}

function sizeTargets(results) {
  const [peer, own] = ["@neondatabase/serverless", "onetrip"].map((name) =>
    results.find(({ candidate }) => candidate === name || candidate.startsWith(`${name} `)),
  );
  return [
    [
      "bundled for workerd, HTTP path",
      "at most 28 KB gzip",
      `${(own.gzip / 1e3).toFixed(1)} KB, the peer ${(peer.gzip / 1e3).toFixed(1)}`,
      own.gzip > 28_000 ? ["it"] : [],
    ],
  ];
}

/** Times faster than each peer, with the round trip that is added. No figure was asked for. */
function queryLines(results) {
  const of = (workload, candidate, delay) =>
    results.find((entry) => entry.workload === workload && entry.candidate === candidate && entry.delay === delay);
  return [...new Set(results.map(({ workload }) => workload))].map((workload) => {
    const here = results.filter((entry) => entry.workload === workload && entry.delay === 20);
    const own = of(workload, "onetrip", 20).median;
    const others = here
      .filter(({ candidate }) => candidate !== "onetrip")
      .map(({ candidate, median }) => `${candidate} ${figure(median)}`);
    return [`${workload}, 20 ms of round trip`, "none", `${figure(own)} ms; ${others.join(", ")}`, undefined];
  });
}

/** How many times less CPU a handler takes that hands an answer on. No figure was asked for. */
function passingLines(results) {
  const unique = (key) => [...new Set(results.map((entry) => entry[key]))];
  return unique("workload").map((workload) => {
    const measured = unique("runtime").map((runtime) => {
      const here = results.filter((entry) => entry.runtime === runtime && entry.workload === workload);
      const of = (candidate) => here.find((entry) => entry.candidate === candidate).median;
      const times = (candidate) => ratio(of(candidate) / of("onetrip, response()"));
      return `${runtime} ${times("onetrip, blocks, Response.json(rows)")}, the peer's ${times("peer, Response.json(rows)")}`;
    });
    return [`\`response()\` against \`Response.json(rows)\`, ${workload}`, "none", measured.join("; "), undefined];
  });
}

/** Milliseconds to the first row of a Worker. No figure was asked for. */
function coldGatewayLines(results) {
  return ["process", "isolate"].map((kind) => {
    const here = results.filter((entry) => entry.kind === kind && entry.delay === 20 && entry.candidate !== "no query");
    const text = here.map(({ candidate, median }) => `${candidate} ${figure(median)}`);
    const [own, ...others] = text.map((part) => part.replace(/^onetrip (.*)/, "$1 ms"));
    return [
      `cold start to first row in workerd, fresh ${kind}, 20 ms of round trip`,
      "none",
      `${own}; ${others.join(", ")}`,
      undefined,
    ];
  });
}

export function targets(read) {
  const parts = [
    ["rows", rowTargets],
    ["cold", coldTargets],
    ["size", sizeTargets],
    ["queries", queryLines],
    ["cold-gateway", coldGatewayLines],
    ["passing", passingLines],
  ];
  const lines = parts.flatMap(([name, make]) => {
    const found = read(name);
    return found === undefined ? [] : make(found.results);
  });
  const cells = lines.map(([what, target, measured, misses]) => {
    const verdict =
      misses === undefined
        ? "stated"
        : misses.length === 0
          ? "met"
          : misses[0] === "it"
            ? "**missed**"
            : `**missed in ${misses.join("; ")}**`;
    return `| ${what} | ${target} | ${measured} | ${verdict} |`;
  });
  return ["| | target | measured | verdict |", "| --- | --- | --- | --- |", ...cells].join("\n");
}
