// Results as Markdown tables.

import { figure } from "./statistics.mjs";

function table(head, lines) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? "---" : "---:"))), ...lines.map(line)].join("\n");
}

const unique = (values) => [...new Set(values)];
const spread = ({ median, lower, upper }) => `${figure(median)} (${figure(lower)} – ${figure(upper)})`;
const ratio = (number) => `${number.toFixed(1)}×`;

/** The function of this file for a benchmark's name. */
export const functionName = (name) => name.replace(/-./, (part) => part[1].toUpperCase());

/** What `show` makes of the results of each runtime, or of one, and their workloads. */
const inRuntimes = (results, only, show) =>
  unique(results.map(({ runtime }) => runtime))
    .filter((runtime) => only === undefined || runtime === only)
    .map((runtime) => {
      const here = results.filter((entry) => entry.runtime === runtime);
      const heading = only === undefined ? `### ${runtime}: ` : "";
      return `${heading}${show(here, unique(here.map(({ workload }) => workload)))}`;
    })
    .join("\n\n");

/** The figures, and how many times the peer's CPU is the candidate's. */
export const rows = (results, only) =>
  inRuntimes(results, only, (here, workloads) => {
    const find = (workload, candidate) =>
      here.find((entry) => entry.workload === workload && entry.candidate === candidate);
    const candidates = unique(here.map(({ candidate }) => candidate));
    const lines = candidates.map((candidate) => [
      candidate,
      ...workloads.map((workload) => spread(find(workload, candidate))),
    ]);
    const ratios = AGAINST.filter(([one, other]) => candidates.includes(one) && candidates.includes(other)).map(
      ([one, other]) => [
        `${one}, against ${other}`,
        ...workloads.map((workload) => ratio(find(workload, other).median / find(workload, one).median)),
      ],
    );
    return `µs of CPU of the main thread for one answer, median (quartiles)\n\n${table(["", ...workloads], lines)}\n\n${table(["times less", ...workloads], ratios)}`;
  });

/** What is compared with what: equal work first. */
const AGAINST = [
  ["onetrip, blocks, no Response", "peer, no Response"],
  ["onetrip, wasm, no Response", "peer, no Response"],
  ["onetrip, blocks, no Response", "pg"],
  ["onetrip, blocks, no Response", "postgres"],
  ["onetrip, blocks, no Response", "JSON.parse"],
  ["onetrip, blocks", "peer"],
  ["onetrip, wasm", "peer"],
  ["onetrip, decoder of blocks", "peer, decoder"],
  ["onetrip, decoder of frames, wasm", "peer, decoder"],
];

/** The bytes of the heap, and how many times the peer's are the candidate's. */
export const allocations = (results, only) =>
  inRuntimes(results, only, (here, workloads) => {
    const find = (workload, candidate) =>
      here.find((entry) => entry.workload === workload && entry.candidate === candidate).bytes;
    const lines = unique(here.map(({ candidate }) => candidate)).map((candidate) => [
      candidate,
      ...workloads.map(
        (workload) =>
          `${figure(find(workload, candidate) / 1e3)} (${ratio(find(workload, "peer, no Response") / find(workload, candidate))})`,
      ),
    ]);
    return `KB of the heap for one answer (times fewer than the peer)\n\n${table(["", ...workloads], lines)}`;
  });

/** What a handler costs, and how many times less than the same from onetrip's blocks and from the peer `response()` does. */
export function passing(results, only) {
  const here = results.filter(({ runtime }) => only === undefined || runtime === only);
  const places = unique(here.map(({ runtime, workload }) => `${runtime}, ${workload}`));
  const find = (place, candidate) =>
    here.find((entry) => `${entry.runtime}, ${entry.workload}` === place && entry.candidate === candidate);
  const lines = unique(here.map(({ candidate }) => candidate)).map((candidate) => [
    candidate,
    ...places.map((place) => {
      const times = find(place, candidate).median / find(place, "onetrip, response()").median;
      return `${spread(find(place, candidate))}${candidate === "onetrip, response()" ? "" : ` ${ratio(times)}`}`;
    }),
  ]);
  return `µs of CPU of the main thread for one response, median (quartiles) and times that of \`response()\`\n\n${table(["", ...places], lines)}`;
}

/** Whole queries: milliseconds to each client's finished rows. */
export function queries(results, delay) {
  const here = results.filter((entry) => delay === undefined || String(entry.delay) === delay);
  const workloads = unique(here.map(({ workload }) => workload));
  const delays = unique(here.map((entry) => entry.delay));
  return delays
    .map((delay) => {
      const of = (workload, candidate) =>
        here.find((entry) => entry.workload === workload && entry.candidate === candidate && entry.delay === delay);
      const lines = unique(here.map(({ candidate }) => candidate)).map((candidate) => [
        candidate,
        ...workloads.map((workload) => {
          const [own, found] = [of(workload, "onetrip"), of(workload, candidate)];
          if (found === undefined) return "–";
          return `${spread(found)}${candidate === "onetrip" ? "" : ` ${ratio(found.median / own.median)}`}`;
        }),
      ]);
      return `Milliseconds with ${delay} ms of added round trip, median (quartiles) and times onetrip's\n\n${table(["", ...workloads], lines)}`;
    })
    .join("\n\n");
}

export function cold(results) {
  const of = (workload, candidate) =>
    results.find((entry) => entry.workload === workload && entry.candidate === candidate);
  const lines = results
    .filter(({ candidate }) => candidate !== "empty")
    .map(({ candidate, workload, load, first, both }) => {
      const peer = of(workload, candidate.endsWith(", minified") ? "peer, minified" : "peer");
      const times = candidate.startsWith("onetrip") ? ratio(peer.both.median / both.median) : "";
      return [candidate, workload, spread(load), spread(first), spread(both), times];
    });
  return `µs of CPU of the main thread for one isolate, above an empty Worker, median (quartiles)\n\n${table(["", "rows", "load", "first query", "both", "peer / this"], lines)}`;
}

/** Cold start to first row: milliseconds of a fresh process and of a fresh isolate at each distance. */
export function coldGateway(results) {
  const of = (candidate, kind, delay) =>
    results.find((entry) => entry.candidate === candidate && entry.kind === kind && entry.delay === delay);
  const places = unique(results.map(({ delay }) => delay)).flatMap((delay) =>
    ["process", "isolate"].map((kind) => [kind, delay]),
  );
  const far = Math.max(...results.map(({ delay }) => delay));
  const lines = unique(results.map(({ candidate }) => candidate)).map((candidate) => [
    candidate,
    ...places.map(([kind, delay]) => {
      const found = of(candidate, kind, delay);
      const times = ratio(found.median / of("onetrip", kind, delay).median);
      return `${spread(found)}${["onetrip", "no query"].includes(candidate) ? "" : ` ${times}`}`;
    }),
    ["process", "isolate"].map((kind) => of(candidate, kind, far).roundTrips).join(", "),
  ]);
  const head = places.map(([kind, delay]) => `fresh ${kind}, ${delay} ms`);
  const counts = ["process", "isolate"].map((kind) => `${of("onetrip", kind, far).count} of each fresh ${kind}`);
  return `Milliseconds to the end of the first answer by added round trip, median (quartiles) and times onetrip's; ${counts.join(", ")}\n\n${table(["", ...head, `round trips at ${far} ms`], lines)}`;
}

export function size(results) {
  return table(
    ["bytes", "raw", "gzip", "brotli", "wasm, raw"],
    results.map(({ candidate, raw, gzip, brotli, wasm }) => [candidate, raw, gzip, brotli, wasm].map(String)),
  );
}

export function encode(results) {
  const workloads = unique(results.map(({ workload }) => workload));
  const lines = unique(results.map(({ candidate }) => candidate)).map((candidate) => [
    candidate,
    ...workloads.map((workload) => {
      const { median_us, quartiles_us } = results.find(
        (entry) => entry.candidate === candidate && entry.workload === workload,
      );
      return spread({ median: median_us, lower: quartiles_us[0], upper: quartiles_us[1] });
    }),
  ]);
  return `µs for one answer, median (quartiles)\n\n${table(["", ...workloads], lines)}`;
}

export function gateway(results) {
  const lines = results.map(({ candidate, connections, cpu, rate }) => [
    candidate,
    String(connections),
    spread(cpu),
    spread(rate),
  ]);
  return `median (quartiles)\n\n${table(["request", "connections", "µs of CPU of the endpoint, all threads", "requests a second"], lines)}`;
}

export function neon(results) {
  const lines = results
    .filter(({ kind }) => kind === "load")
    .map(({ workload, candidate, connections, cpu, rate, p50, p99 }) => [
      workload,
      candidate,
      String(connections),
      spread(cpu),
      spread(rate),
      figure(p50),
      figure(p99),
    ]);
  const head = [
    "request",
    "",
    "connections",
    "µs of CPU of the endpoint, all threads",
    "requests a second",
    "p50, ms",
    "p99, ms",
  ];
  const { sequential, batch } = results.find(({ kind }) => kind === "latency");
  const times = ratio(sequential.median / batch.median);
  return `median (quartiles)\n\n${table(head, lines)}\n\nWith 2 ms between endpoint and PostgreSQL: ten statements one after another ${spread(sequential)} ms, as a batch ${spread(batch)} ms: ${times}`;
}

export function pgbouncer(results) {
  const of = (kind) => results.filter((entry) => entry.kind === kind);
  const ms = ({ median }) => figure(median / 1e3);
  const lines = of("load").map(({ candidate, clients, rate, p50, p99, cpu, failures, memory }) => {
    const other = of("load").find((entry) => entry.candidate === "PgBouncer, extended" && entry.clients === clients);
    return [
      candidate,
      String(clients),
      spread(rate),
      ms(p50),
      ms(p99),
      spread(cpu),
      ratio(cpu.median / other.cpu.median),
      String(failures),
      figure(memory / 1024),
    ];
  });
  const head = [
    "",
    "clients",
    "queries a second",
    "p50, ms",
    "p99, ms",
    "µs of CPU for one query",
    "of PgBouncer's",
    "failures",
    "MiB",
  ];
  const cold = of("cold").map(({ candidate, clients, failures, logins, p50_us, p99_us, seconds }) =>
    [candidate, clients, failures, logins, figure(p50_us / 1e3), figure(p99_us / 1e3), figure(seconds)].map(String),
  );
  const [idle] = of("idle");
  const mib = (kib) => `${figure(kib / 1024)} MiB`;
  return [
    "median (quartiles)",
    table(head, lines),
    "All clients at once, before the first connection to PostgreSQL:",
    table(["", "clients", "failures", "logins to PostgreSQL", "p50, ms", "p99, ms", "seconds in all"], cold),
    `Memory: PgBouncer ${mib(idle.idleAtStart.pgbouncer)} and onetrip ${mib(idle.idleAtStart.onetrip)} at start, onetrip ${mib(idle.memory)} with ${idle.clients} idle clients (${idle.failures} failures)`,
  ].join("\n\n");
}

const kilobytes = (bytes) => (bytes / 1000).toFixed(1);

export function rustSize(results) {
  const [empty] = results;
  const onetrip = results.find(({ candidate }) => candidate === "onetrip");
  const lines = results.map((entry) => [
    entry.candidate,
    ...["raw", "gzip", "brotli"].map((name) => kilobytes(entry[name])),
    ...["Raw", "Gzip", "Brotli"].map((name) =>
      entry === empty
        ? ""
        : `${kilobytes(entry[`added${name}`])} (${ratio(entry[`added${name}`] / onetrip[`added${name}`])})`,
    ),
  ]);
  return table(["KB", "raw", "gzip", "brotli", "added, raw", "added, gzip", "added, brotli"], lines);
}

export function rustRows(results) {
  const lines = results.map(({ profile, rows, frames, json, ratio: times }) => [
    `${rows}, ${profile === "speed" ? "opt-level 3" : "opt-level z"}`,
    figure(frames),
    figure(json),
    ratio(times),
  ]);
  return table(["ns per row", "onetrip", "serde_json", "times"], lines);
}

export function rustCold(results) {
  const [onetrip] = results;
  const lines = results.map(({ candidate, median, low, high, roundTrips }) => [
    candidate,
    `${median.toFixed(0)} (${low.toFixed(0)} – ${high.toFixed(0)})`,
    String(roundTrips),
    ratio(median / onetrip.median),
  ]);
  return table(["first query", "ms, median (quartiles)", "round trips", "against onetrip"], lines);
}

export function sharing(results) {
  const ms = ({ median }) => figure(median / 1e3);
  const lines = results.map(({ delay, depth, clients, slow, rate, p50, p99, cpu }) => {
    const same = (entry) => entry.delay === delay && entry.clients === clients && entry.slow === slow;
    const alone = results.find((entry) => same(entry) && entry.depth === 1);
    const who = slow > 0 ? `${clients} + ${slow} slow` : String(clients);
    return [
      String(delay),
      who,
      String(depth),
      spread(rate),
      ratio(rate.median / alone.rate.median),
      ms(p50),
      ms(p99),
      spread(cpu),
    ];
  });
  const head = ["ms away", "clients", "in a flight", "queries a second", "of one", "p50, ms", "p99, ms", "µs of CPU"];
  return `median (quartiles)\n\n${table(head, lines)}`;
}
