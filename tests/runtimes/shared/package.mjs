// The package as users get it: the packed tarball, installed by npm into a project of its own.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The live stack's URL, from the environment. */
export function testUrl() {
  const url = process.env.ONETRIP_TEST_URL;
  if (!url) {
    console.error("ONETRIP_TEST_URL is not set: start a stack first, or run `cargo xtask test npm workerd`.");
    process.exit(2);
  }
  return url;
}

/** All scenario files, parsed. */
export function scenarioFiles() {
  const folder = join(root, "tests/scenarios");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
}

/** A name for this run's tables. */
export function newPrefix() {
  return `js${Date.now().toString(36)}${Math.floor(Math.random() * 36 ** 3).toString(36)}x`;
}

/** Makes a project with the package installed and hands its folder to `use`; removes it afterwards. */
export async function withProject(use) {
  const tarball = readdirSync(join(root, "pkg")).find((name) => /^onetrip-.*\.tgz$/.test(name));
  if (tarball === undefined) {
    console.error("There is no pkg/onetrip-*.tgz; build it: node pkg/scripts/build.mjs");
    process.exit(2);
  }
  const project = mkdtempSync(join(tmpdir(), "onetrip-project-"));
  try {
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true }));
    // The package has no dependencies, so this reaches for no network.
    execFileSync(
      "npm",
      ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", join(root, "pkg", tarball)],
      { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
    );
    return await use(project);
  } finally {
    rmSync(project, { recursive: true });
  }
}

/** Bundles as a user's bundler would. `plugins` and `options` are esbuild's. */
export async function bundle(project, source, { conditions, ...options }) {
  const { build } = await import("esbuild");
  const entry = join(project, "entry.mjs");
  writeFileSync(entry, source);
  await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    conditions,
    absWorkingDir: project,
    logLevel: "warning",
    nodePaths: [dirname(project)],
    ...options,
  });
}

/** Prints a report as one line and its failures; false if there are any. */
export function printReport(name, { passed, failed, skipped }) {
  console.log(
    `${name}: ${passed.length} scenarios passed${skipped.length ? `, ${skipped.length} skipped` : ""}${failed.length ? `, ${failed.length} FAILED` : ""}`,
  );
  for (const { name: scenario, reason } of skipped) console.log(`  skipped ${scenario}: ${reason}`);
  for (const { name: scenario, reason } of failed) console.error(`  FAILED ${scenario}: ${reason}`);
  return failed.length === 0 && passed.length > 0;
}

/** Prints mistakes that were not met as they should be; false if there are any. */
export function printMistakes(name, failed) {
  console.log(`${name}: bad input ${failed.length === 0 ? "gives clear errors, and the next query works" : "FAILED"}`);
  for (const line of failed) console.error(`  FAILED ${line}`);
  return failed.length === 0;
}
