// The programs of docs/platforms are the files that tests/runtimes runs, word for word.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "docs/platforms");
const pages = readdirSync(folder).filter((name) => name !== "README.md");

for (const page of pages) {
  test(`${page} shows the tested program`, () => {
    const text = readFileSync(join(folder, page), "utf8");
    const shown = [...text.matchAll(/^\[`(tests\/runtimes\/.*?)`\]\(\.\.\/\.\.\/(.*?)\):\n\n```\w+\n(.*?)^```/gms)];
    assert.ok(shown.length > 0, "the page shows no program");
    for (const [, name, link, program] of shown) {
      assert.equal(link, name);
      assert.equal(program, readFileSync(join(root, name), "utf8"), `the program differs from ${name}`);
    }
  });
}

test("every runtime that is tested has a page, and every page is listed", () => {
  const text = pages.map((page) => readFileSync(join(folder, page), "utf8")).join("\n");
  const list = readFileSync(join(folder, "README.md"), "utf8");
  for (const page of pages) assert.ok(list.includes(`(${page})`), `${page} is not listed in README.md`);
  const source = readFileSync(join(root, "xtask/src/runtimes.rs"), "utf8");
  const runtimes = [...source.matchAll(/^ {4}"([\w-]+)",$/gm)].map(([, name]) => name);
  assert.ok(runtimes.length > 5, "the list of runtimes was not found");
  for (const name of runtimes) {
    assert.ok(existsSync(join(root, "tests/runtimes", name, "package-lock.json")), `${name} has no lock file`);
    // One program is shown for all bundlers: it is the same file in each.
    const shown = name.startsWith("browser-") ? "browser-vite" : name;
    assert.ok(text.includes(`tests/runtimes/${shown}/`), `no page shows ${name}`);
  }
});

test("the page's program is the same for every bundler", () => {
  const program = (name) => readFileSync(join(root, `tests/runtimes/browser-${name}/src/index.js`), "utf8");
  assert.equal(program("webpack"), program("vite"));
  assert.equal(program("esbuild"), program("vite"));
});
