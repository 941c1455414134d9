// A project of this folder as its user would run it: with the packed tarball installed, its servers started, and what
// they answer compared. One line says what a runtime has passed.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withBroken } from "../requests/broken.mjs";
import { newPrefix, root, scenarioFiles, testUrl } from "./package.mjs";

/** What the example of every project answers. */
const ITEMS = [
  { id: 1, name: "Cup", price: "12.50" },
  { id: 3, name: "Plate", price: "8.00" },
];

/**
 * The project beside a runner: `{ folder, url, require }`, with the tarball of this build in its node_modules and the
 * table of its example in the database. `run` is the runner's `import.meta.url`.
 */
export async function openProject(run) {
  const folder = dirname(fileURLToPath(run));
  if (!existsSync(join(folder, "node_modules"))) {
    console.error(`${folder} is not installed: run \`npm ci --ignore-scripts\` there, or all of it by cargo xtask.`);
    process.exit(2);
  }
  installTarball(folder);
  const require = createRequire(join(folder, "package.json"));
  const url = testUrl();
  const sql = require("onetrip").connect(url);
  await sql.transaction([
    sql`drop table if exists orders, items`,
    sql`create table items (id int4 primary key, name text not null, price numeric(10, 2) not null)`,
    sql`insert into items (id, name, price) values (1, 'Cup', 12.50), (2, 'Lamp', 99), (3, 'Plate', 8)`,
  ]);
  return { folder, url, require };
}

/**
 * Puts the tarball where npm would: it has neither dependencies nor scripts, so unpacking is all that npm does. The lock
 * file names it without a hash, since each build makes another one.
 */
function installTarball(folder) {
  const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages["node_modules/onetrip"];
  if (lock?.integrity !== undefined)
    throw new Error(`${folder}/package-lock.json pins one build of the tarball: delete its "integrity" of onetrip`);
  const tarball = readdirSync(join(root, "pkg")).find((name) => /^onetrip-.*\.tgz$/.test(name));
  if (tarball === undefined) throw new Error("there is no pkg/onetrip-*.tgz; build it: node pkg/scripts/build.mjs");
  const installed = join(folder, "node_modules/onetrip");
  rmSync(installed, { recursive: true, force: true });
  mkdirSync(installed);
  execFileSync("tar", ["-xzf", join(root, "pkg", tarball), "-C", installed, "--strip-components=1"]);
}

/** The program of a package that has one for each platform; undefined, and a line that says so, if not for this one. */
export function platformProgram({ folder }, runtime, programs) {
  const platform = `${process.platform}-${process.arch}`;
  const program = programs[platform] && join(folder, "node_modules", programs[platform]);
  if (program !== undefined && existsSync(program)) return program;
  console.log(`${runtime}: skipped, its npm package has no program for ${platform}`);
  if (platform === "linux-x64") throw new Error(`${program} is not there: is ${folder} installed?`);
  return undefined;
}

/** Starts a server, waits until it prints its address, hands that to `use`, and ends it with all its children. */
export async function withServer(program, args, { cwd, env }, use) {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  const listening = new Promise((resolve, reject) => {
    const read = (chunk) => {
      output += chunk;
      const found = /https?:\/\/(?:127\.0\.0\.1|localhost|\[::1?\]|0\.0\.0\.0):(\d+)/.exec(stripColours(output));
      if (found) resolve(`http://127.0.0.1:${found[1]}`);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code} before it listened:\n${output}`)));
    setTimeout(() => reject(new Error(`${program} does not listen after a minute:\n${output}`)), 60_000).unref();
  });
  const gone = new Promise((resolve) => child.once("close", resolve));
  try {
    return await use(await listening);
  } catch (error) {
    throw new Error(`${error.message}\n${output}`, { cause: error });
  } finally {
    try {
      process.kill(-child.pid);
      await gone;
    } catch {
      // It has ended by itself.
    }
  }
}

function stripColours(text) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[\d;]*m/g, "");
}

/** Asks a server: GET without a body, POST with one. */
export function over(address, { headers = {} } = {}) {
  return async (path, body) => {
    const request = { method: "POST", headers: { "content-type": "application/json", ...headers } };
    const response = await fetch(`${address}${path}`, body === undefined ? { headers } : { ...request, body });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 2000)}`);
    return JSON.parse(text);
  };
}

/** What a runtime has passed and what it has not: one line, and one more for each failure. */
export class Checks {
  #name;
  #passed = [];
  #failed = [];

  constructor(name) {
    this.#name = name;
  }

  /** Runs a check; it fails by throwing. */
  async that(what, check, { silent = false } = {}) {
    try {
      await check();
      if (!silent) this.#passed.push(what);
    } catch (error) {
      this.#failed.push(`${what}: ${error.stack}`);
    }
  }

  /** The example answers the items that are cheap. */
  example(ask, path = "/", what = "the example") {
    return this.that(what, async () => equal(await ask(path), ITEMS));
  }

  /** All scenarios, by both ways to decode where there are two, and all mistakes. */
  async scenarios(ask, path = "/", what = "") {
    let found;
    const input = { files: scenarioFiles(), prefix: newPrefix() };
    await this.that(`an answer${what}`, async () => (found = await ask(path, JSON.stringify(input))), { silent: true });
    if (found !== undefined) await this.report(found, what);
  }

  /**
   * What runAsked (asked.mjs) does beside them, at paths that begin with `path`. The runtime tells of the broken endpoints in
   * `told` that no connection came about.
   */
  async others(ask, path, told) {
    await this.scenarios(ask, `${path}neon`, " by onetrip/neon");
    await this.requests(() => ask(`${path}requests`, JSON.stringify({ prefix: newPrefix() })));
    await withBroken((urls, problems) =>
      this.network(async () => problems(await ask(`${path}network`, JSON.stringify(urls)), told)),
    );
  }

  /** What requests do in PostgreSQL: `failed` gives what they do not. */
  requests(failed) {
    return this.that("requests that do in PostgreSQL what they should", async () => equal(await failed(), []));
  }

  /** What broken connections say: `problems` gives what is wrong with it. */
  network(problems) {
    return this.that("broken connections", async () => equal(await problems(), []));
  }

  /** What the scenarios and mistakes came to. */
  report({ reports = {}, mistakes = ["none were made"] } = {}, what = "") {
    return this.that(`clear errors${what}`, () => {
      for (const [way, { passed, failed }] of Object.entries(reports)) {
        this.#failed.push(...failed.map(({ name, reason }) => `${way}${what}, ${name}: ${reason}`));
        if (passed.length < 20) throw new Error(`only ${passed.length} scenarios passed`);
        this.#passed.push(`${passed.length} ${way}${what}`);
      }
      if (Object.keys(reports).length === 0) throw new Error("no scenarios were run");
      if (mistakes.length > 0) throw new Error(mistakes.join("; "));
    });
  }

  /** Prints the line; false if something failed. */
  end() {
    console.log(`${this.#name}: ${this.#failed.length === 0 ? "" : "FAILED; passed were "}${this.#passed.join(", ")}`);
    for (const line of this.#failed) console.error(`  FAILED ${line}`);
    if (this.#failed.length > 0) process.exitCode = 1;
    return this.#failed.length === 0;
  }
}

/** Throws unless both are the same JSON. */
export function equal(found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${a}, not ${b}`);
}
