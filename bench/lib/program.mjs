// Programs that run beside a benchmark: started, waited for, asked what CPU and memory they took, and ended.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { root } from "./host.mjs";

/** Starts a program and waits for the first match in what it prints. */
export async function start(program, args, stream, pattern, options = {}) {
  const child = spawn(program, args, { cwd: root, stdio: ["pipe", "pipe", "pipe"], ...options });
  let text = "";
  for (;;) {
    const [part] = await Promise.race([
      once(child[stream], "data"),
      once(child, "exit").then(() => {
        throw new Error(`${program} ended before it was ready: ${text}`);
      }),
    ]);
    text += part;
    const found = pattern.exec(text);
    if (found) {
      child.stdout.resume();
      child.stderr.resume();
      return { child, found };
    }
  }
}

/** Builds the endpoint as it is released, and an embedded PostgreSQL. */
export function build(...more) {
  const cargo = (...args) => execFileSync("cargo", args, { cwd: root, stdio: "inherit" });
  cargo("build", "--quiet", "--release", "--package", "onetrip-gateway", "--bin", "onetrip", ...more);
  cargo("build", "--quiet", "--package", "onetrip-embedded-postgres", "--example", "run");
}

/** CPU time of all threads of a process so far, in µs: those that have ended are in no later difference. */
export function cpuTime(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e3;
}

/** Resident memory of a process now and at most, in KiB. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]);
  return { now: field("VmRSS"), most: field("VmHWM") };
}

/** Ends programs: PostgreSQL's with its standard input, the others with a signal. */
export async function end(...all) {
  for (const started of all) {
    if (started === undefined || started.child.exitCode !== null) continue;
    const ended = once(started.child, "exit");
    started.child.stdin.end();
    if (!started.endsWithInput) started.child.kill("SIGTERM");
    await ended;
  }
}
