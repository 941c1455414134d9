// Where the endpoint's program is: named by the environment, in an installed package, in the cache, or still to be fetched.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's version, and that of the endpoint that it runs. */
export const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** A reason not to start, with what to do about it. */
export class LauncherError extends Error {
  exitCode = 1;
}

/** The machines that there are packages for, as `process.platform` and `process.arch` call them. */
export const PLATFORMS = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];

/** The path of the program if it is on this machine. */
export function findEndpoint() {
  const named = process.env.ONETRIP_ENDPOINT;
  if (named) {
    if (existsSync(named)) return named;
    throw new LauncherError(`ONETRIP_ENDPOINT names ${named}, and there is no such file.`);
  }
  const name = packageFor(machine());
  return installed(name) ?? [join(cachedDirectory(name), PROGRAM)].find(existsSync);
}

/** Fetches the package with the program into the cache, by npm and with its settings; `tell` is told what is done. */
export async function fetchEndpoint(tell) {
  const name = packageFor(machine());
  const target = cachedDirectory(name);
  const cache = dirname(target);
  let staging;
  try {
    mkdirSync(cache, { recursive: true });
    removeAbandoned(cache);
    // A place of its own: two that fetch at once do not meet before the rename, which only one of them can do.
    staging = mkdtempSync(join(cache, "endpoint.part-"));
  } catch (error) {
    throw new LauncherError(`The endpoint's program has no place: ${error.message}. Set XDG_CACHE_HOME to another.`);
  }
  const stop = new AbortController();
  const leave = (signal) => {
    stop.abort();
    rmSync(staging, { recursive: true, force: true });
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of SIGNALS) process.on(signal, leave);
  try {
    tell(`fetching the endpoint, ${name}@${version} (once, 5 MB)`);
    const [npm, first] = npmCommand();
    const options = ["pack", `${name}@${version}`, "--pack-destination", staging, "--loglevel=error", "--json=false"];
    // In the directory of the caller, whose .npmrc counts. npm holds what it gets against the registry's checksum.
    const packed = await run(npm, [...first, ...options], process.cwd(), stop.signal);
    if (packed.missing) throw new LauncherError(`npm is not on the PATH. ${otherWays(name)}`);
    if (packed.failed) throw new LauncherError(npmFailure(packed.output, name));
    const archive = readdirSync(staging).find((file) => file.endsWith(".tgz"));
    const unpacked = await run("tar", ["-xzf", String(archive)], staging, stop.signal);
    const folder = join(staging, "package");
    if (unpacked.missing || unpacked.failed || !existsSync(join(folder, PROGRAM)))
      throw new LauncherError(
        `${name}@${version} cannot be unpacked by tar: ${unpacked.output.trim() || "is it there?"}`,
      );
    try {
      renameSync(folder, target);
    } catch (error) {
      if (!existsSync(join(target, PROGRAM))) throw new LauncherError(`The program cannot be kept: ${error.message}`);
    }
    return join(target, PROGRAM);
  } finally {
    for (const signal of SIGNALS) process.off(signal, leave);
    rmSync(staging, { recursive: true, force: true });
  }
}

/** The name of the package for a machine. */
export function packageFor({ platform, arch, isMusl }) {
  const place = `${platform}-${arch}`;
  const instead =
    platform === "win32"
      ? "Use WSL, or an endpoint on another machine."
      : "Build it (cargo install onetrip-gateway) and set ONETRIP_ENDPOINT to its path, or use an endpoint on another machine.";
  if (!PLATFORMS.includes(place))
    throw new LauncherError(
      `There is no endpoint for ${place}, only for ${PLATFORMS.join(", ")}. The driver works everywhere. ${instead}`,
    );
  if (isMusl)
    throw new LauncherError(
      `The endpoint for ${place} needs glibc, and this system has musl (Alpine?): take an image of Debian's (node:22-slim). ${instead}`,
    );
  return `@onetrip/endpoint-${place}`;
}

function machine() {
  const { platform, arch } = process;
  return { platform, arch, isMusl: platform === "linux" && isMusl() };
}

/** Node's report names the glibc that it runs on; runtimes that write no such report are taken to have one. */
function isMusl() {
  if (process.report === undefined) return false;
  process.report.excludeNetwork = true;
  const report = process.report.getReport();
  const { header } = typeof report === "string" ? JSON.parse(report) : (report ?? {});
  return header !== undefined && header.glibcVersionRuntime === undefined;
}

/** The program of a package that the project has, or that lies beside this one. */
function installed(name) {
  for (const from of [join(process.cwd(), "package.json"), import.meta.url]) {
    let manifest;
    try {
      manifest = createRequire(from).resolve(`${name}/package.json`);
    } catch {
      continue;
    }
    const found = JSON.parse(readFileSync(manifest, "utf8")).version;
    if (found !== version)
      throw new LauncherError(
        `onetrip is ${version}, but ${dirname(manifest)} is ${found}. Install the same: npm install --save-dev ${name}@${version}, or remove that package to have the right one fetched.`,
      );
    return join(dirname(manifest), PROGRAM);
  }
  return undefined;
}

/** The endpoint keeps PostgreSQL's programs in the same directory. */
function cachedDirectory(name) {
  const { XDG_CACHE_HOME, HOME } = process.env;
  const cache = XDG_CACHE_HOME || (HOME && join(HOME, ".cache"));
  if (!cache)
    throw new LauncherError("Neither XDG_CACHE_HOME nor HOME is set, so that there is no place for the program.");
  return join(cache, "onetrip", `${basename(name)}-${version}`);
}

/** The npm that started us, or else the one on the PATH. */
function npmCommand() {
  const own = process.env.npm_execpath ?? "";
  const script = join(dirname(own), "npm-cli.js");
  return /\bnp[mx]-cli\.js$/.test(own) && existsSync(script) ? [process.execPath, [script]] : ["npm", []];
}

/** Removes what a fetch that was killed an hour or longer ago has left. */
function removeAbandoned(cache) {
  for (const name of readdirSync(cache).filter((file) => file.startsWith("endpoint.part-"))) {
    const path = join(cache, name);
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity };
    if (Date.now() - mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

/** Runs a program to its end, or until `signal`, and keeps what it says. */
function run(program, args, cwd, signal) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"], signal });
    const parts = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => parts.push(part));
    const end = (outcome) => resolve({ ...outcome, output: Buffer.concat(parts).toString() });
    child.on("error", (error) => end({ missing: error.code === "ENOENT", failed: true }));
    child.on("close", (code) => end({ missing: false, failed: code !== 0 }));
  });
}

/** What npm's failure means. */
function npmFailure(output, name) {
  const code = /^npm (?:error|ERR!) code (\S+)/m.exec(output)?.[1] ?? "";
  const wanted = `${name}@${version}`;
  const said = output
    .split("\n")
    .filter((line) => /^npm (?:error|ERR!)/.test(line) && !/complete log|debug-\d/.test(line))
    .slice(0, 6)
    .map((line) => `\n    ${line}`)
    .join("");
  if (["E404", "ETARGET", "ENOVERSIONS"].includes(code))
    return `${wanted} is not in npm's registry (\`npm config get registry\` says which one is asked).${said}\n${otherWays(name)}`;
  if (["E401", "E403", "ENEEDAUTH"].includes(code))
    return `npm's registry does not let you have ${wanted}: \`npm login\`, or the token in .npmrc.${said}`;
  if (code === "EINTEGRITY")
    return `What came for ${wanted} is not what its registry has a checksum of: a broken proxy or cache (\`npm cache verify\`). It was thrown away.${said}`;
  if (/^(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)$/.test(code))
    return `npm's registry cannot be reached (${code}), and the endpoint's program is not here yet. Only the first start needs the network.${said}\n${otherWays(name)}`;
  return `npm could not fetch ${wanted}.${said || `\n    ${output.trim().slice(0, 500)}`}\n${otherWays(name)}`;
}

function otherWays(name) {
  return `Other ways to the endpoint: install ${name}@${version} beside onetrip with your package manager; or build it (cargo install onetrip-gateway) and set ONETRIP_ENDPOINT to its path.`;
}

const PROGRAM = "bin/onetrip";
const SIGNALS = ["SIGINT", "SIGTERM"];
