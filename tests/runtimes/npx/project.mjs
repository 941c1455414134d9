// A project of a user's: its folder, its npm settings, its cache, and the programs that run in it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../shared/package.mjs";

/** The tarballs of the driver and of the endpoint for this machine. */
export function packedPackages() {
  return [
    [join(root, "pkg"), "onetrip-"],
    [join(root, "pkg/endpoint"), "onetrip-endpoint-"],
  ].map(([folder, start]) => {
    const name = readdirSync(folder).find((file) => file.startsWith(start) && file.endsWith(".tgz"));
    assert(name, `there is no ${folder}/${start}*.tgz: run cargo xtask test npx`);
    return join(folder, name);
  });
}

/** A folder for projects. */
export function newWork() {
  const work = mkdtempSync(join(tmpdir(), "onetrip-npx-"));
  // PostgreSQL, which root runs as another user, has to come through.
  chmodSync(work, 0o755);
  return work;
}

/** A project with only a package.json and an .npmrc that leads to a registry, and a cache of its own. */
export function projectIn(place, { url, hasPostgres = true }) {
  const folder = join(place, "project");
  const cache = join(place, "cache");
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(cache, "onetrip"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  writeFileSync(join(folder, ".npmrc"), `registry=${url}/\n`);
  if (hasPostgres) {
    // The server's programs, 60 MB, are here already; that npm fetches them is tested where it cannot.
    const tools = join(root, "target/tools");
    const programs = readdirSync(tools).find((file) => file.startsWith("postgres-"));
    symlinkSync(join(tools, programs), join(cache, "onetrip", programs));
  }
  const env = {
    PATH: process.env.PATH,
    HOME: place,
    XDG_CACHE_HOME: cache,
    npm_config_cache: join(place, "npm"),
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
  };
  return { folder, cache: join(cache, "onetrip"), env };
}

/** Runs a program to its end. Not spawnSync: the registry is in this process and has to answer meanwhile. */
export function run({ folder, env }, program, args, change = {}) {
  const child = spawn(program, args, { cwd: folder, env: { ...env, ...change }, stdio: ["ignore", "pipe", "pipe"] });
  const out = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (part) => (out[name] += part));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, ...out, text: `${out.stdout}${out.stderr}` }));
  });
}

/** Starts a program in a process group of its own, as a terminal does, and waits until it has said `ready`. */
export async function start({ folder, env }, program, args, ready) {
  const child = spawn(program, args, { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const started = { child, text: "", begun: Date.now() };
  started.ended = new Promise((resolve) =>
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    }),
  );
  await new Promise((resolve, reject) => {
    const take = (part) => {
      started.text += part;
      if (ready.test(started.text)) resolve();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    started.ended.then(({ code }) => reject(new Error(`${program} ${args[0]} ended with ${code}: ${started.text}`)));
  });
  started.seconds = (Date.now() - started.begun) / 1000;
  return started;
}

/** Starts `onetrip dev` and waits for its URLs. */
export async function startDev(project, program, args) {
  const dev = await start(project, program, args, /\n {2}data /);
  dev.url = /driver +(\S+)/.exec(dev.text)[1];
  dev.postgres = Number(/psql .*:(\d+)\/dev/.exec(dev.text)[1]);
  return dev;
}

/** Ends with force whatever has been started and has not ended. */
export function endAll() {
  for (const child of running) {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

const listens = (port) =>
  new Promise((resolve) => {
    const socket = connectSocket({ host: "127.0.0.1", port: Number(port) });
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });

/** Nothing listens any more, at the endpoint nor at PostgreSQL; both may take some seconds. */
export async function isGone(dev) {
  const deadline = Date.now() + 20_000;
  for (const port of [new URL(dev.url).port, dev.postgres]) {
    while (await listens(port)) {
      assert(Date.now() < deadline, `port ${port} still listens: ${dev.text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const running = new Set();
