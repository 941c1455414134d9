// The README of the package and those of examples/, word for word: their files are written, their commands run in a project
// of its own, and each answer that stands there is compared with what came.
//
//   node tests/runtimes/examples/run.mjs [name…]      (after pkg/scripts/build.mjs and pkg/scripts/endpoint.mjs)
//
// What differs from the reader's machine: the packages come from a registry on loopback, wrangler from this repository, and
// ports are free ones.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../shared/package.mjs";
import { endAll, isGone, newWork, packedPackages, projectIn, run, start, startDev } from "../npx/project.mjs";
import { startRegistry } from "../npx/registry.mjs";

const registry = await startRegistry(packedPackages());
const work = newWork();

/** The fenced blocks of a text, in order. */
const blocksOf = (text) =>
  [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, content]) => ({ language, content }));

/** A reader who does what a README says. */
class Reader {
  constructor(project) {
    this.project = project;
    this.answers = 0;
  }

  async follow(blocks) {
    for (const { language, content } of blocks) {
      if (language === "sh") for (const line of content.trim().split("\n")) await this.type(line.replace(/ # .*/, ""));
      if (language === "typescript") this.write(content);
      if (language === "json") this.compare(content);
    }
    assert(this.answers > 0, "the README promises no answer, so that this proves nothing");
  }

  async type(line) {
    const folder = /^mkdir (\S+) && cd \1$/.exec(line)?.[1];
    if (folder !== undefined) {
      this.project.folder = join(this.project.folder, folder);
      mkdirSync(this.project.folder);
      writeFileSync(join(this.project.folder, ".npmrc"), `registry=${registry.url}/\n`);
    } else if (line.startsWith("npx onetrip dev")) {
      this.dev = await startDev(this.project, "sh", ["-c", `exec ${line} --port 0`]);
    } else if (line.startsWith("npx wrangler dev")) {
      symlinkSync(join(root, "node_modules/.bin/wrangler"), join(this.project.folder, "node_modules/.bin/wrangler"));
      const wrangler = await start(this.project, "sh", ["-c", `exec ${line} --port 0`], /Ready on http:\S+:\d+/);
      this.worker = /Ready on (http:\S+:\d+)/.exec(wrangler.text)[1];
    } else {
      const { status, stdout, text } = await run(this.project, "sh", ["-c", this.here(line)]);
      assert.equal(status, 0, `${line}: ${text}`);
      this.output = stdout;
    }
  }

  /** A line with the addresses of this run. */
  here(line) {
    if (!line.startsWith("curl ")) return line;
    assert(line.includes("http://localhost:8787"), line);
    return line.replace("curl ", "curl --silent --show-error ").replace("http://localhost:8787", this.worker);
  }

  write(content) {
    const name = /^\/\/ (\S+)\n/.exec(content)?.[1];
    assert(name, "a program in a README says in its first line which file it is");
    writeFileSync(join(this.project.folder, name), content);
  }

  compare(content) {
    assert.deepEqual(JSON.parse(this.output), JSON.parse(content));
    this.answers++;
  }
}

function newReader(name) {
  const project = projectIn(join(work, name), { url: registry.url });
  Object.assign(project.env, {
    CI: "1",
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  });
  return new Reader(project);
}

/** The part of a text under a heading. */
function section(text, heading) {
  const begin = text.indexOf(`\n## ${heading}\n`);
  assert(begin >= 0, `there is no heading "${heading}"`);
  return text.slice(begin, text.indexOf("\n## ", begin + 1));
}

const cases = {
  async README() {
    const heading = "The first row in two minutes";
    const [text, other] = ["pkg/README.md", "README.md"].map((file) =>
      section(readFileSync(join(root, file), "utf8"), heading),
    );
    assert.equal(text, other, "the two READMEs begin in the same way");
    const reader = newReader("readme");
    // The very first project: not even a package.json.
    for (const file of ["package.json", ".npmrc"]) rmSync(join(reader.project.folder, file));
    const begun = Date.now();
    await reader.follow(blocksOf(text));
    console.log(`    from nothing to the first row: ${((Date.now() - begun) / 1000).toFixed(1)} s, downloads apart`);
    return reader;
  },
};
const examples = readdirSync(join(root, "examples"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
for (const { name } of examples) {
  cases[name] = async () => {
    const reader = newReader(name);
    const { folder } = reader.project;
    const own = ["node_modules", ".wrangler", ".onetrip", ".dev.vars", "keys.json"];
    cpSync(join(root, "examples", name), folder, {
      recursive: true,
      filter: (path) => !own.some((file) => path.endsWith(`/${file}`)),
    });
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    assert.deepEqual(Object.keys(manifest.devDependencies), ["wrangler"]);
    writeFileSync(join(folder, "package.json"), JSON.stringify({ ...manifest, devDependencies: {} }));
    await reader.follow(blocksOf(readFileSync(join(folder, "README.md"), "utf8")));
    return reader;
  };
}

let failed = 0;
const wanted = process.argv.slice(2);
for (const [name, check] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  try {
    const { dev } = await check();
    process.kill(-dev.child.pid, "SIGINT"); // Ctrl-C
    await dev.ended;
    await isGone(dev);
    console.log(`  ✓ ${name}: its commands do what it says`);
  } catch (error) {
    failed++;
    console.error(`  ✗ ${name}\n${error.stack}`);
  } finally {
    endAll();
  }
}
await registry.close();
rmSync(work, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
