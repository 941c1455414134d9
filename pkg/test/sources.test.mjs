// Source maps lead to the TypeScript that was compiled: every file has one, it carries its sources along, and its positions
// exist there.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const source = fileURLToPath(new URL("../ts", import.meta.url));
// What wasm-bindgen and pkg/scripts make has no source to show.
const files = readdirSync(dist, { recursive: true })
  .map(String)
  .filter((name) => /\.c?js$/.test(name) && !name.startsWith("wasm"));

test("every file leads to its sources", () => {
  assert.ok(files.length > 20, `only ${files.length} files were found`);
  for (const name of files) {
    const file = join(dist, name);
    const text = readFileSync(file, "utf8");
    const map = /\n\/\/# sourceMappingURL=(.*)\s*$/.exec(text)?.[1];
    assert.ok(map !== undefined && existsSync(join(dirname(file), map)), `${name} has no source map`);
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(dirname(file), map), "utf8"));
    for (const [index, path] of sources.entries()) {
      const original = normalize(join(dirname(file), path));
      if (original.startsWith(join(dist, "wasm"))) continue;
      assert.ok(!relative(source, original).startsWith(".."), `${name} comes from ${path}, which is not in pkg/ts`);
      assert.equal(sourcesContent?.[index], readFileSync(original, "utf8"), `${name} carries another ${path}`);
    }
  }
});

test("a position in a file is the same word in its source", () => {
  for (const [name, from, word] of [
    ["errors.js", "errors.ts", /class UsageError/],
    ["cjs/index.cjs", "errors.ts", /(?<=UsageError = )class|class UsageError/],
    ["cjs/slim.cjs", "errors.ts", /(?<=UsageError = )class|class UsageError/],
    // Of functions that the build has rewritten, so that they are compiled early.
    ["blocks.js", "blocks.ts", /"the fields are not a list of columns"/],
    ["reader.js", "reader.ts", /"a block has the wrong length"/],
    ["query.js", "query.ts", /PostgreSQL takes/],
  ]) {
    const lines = readFileSync(join(dist, name), "utf8").split("\n");
    const line = lines.findIndex((text) => word.test(text));
    assert.notEqual(line, -1, `${name} has no ${word}`);
    const map = new SourceMap(JSON.parse(readFileSync(join(dist, `${name}.map`), "utf8")));
    const { originalSource, originalLine } = map.findEntry(line, word.exec(lines[line]).index);
    assert.ok(originalSource.endsWith(`/${from}`), originalSource);
    const original = readFileSync(join(source, from), "utf8").split("\n")[originalLine];
    assert.match(
      original,
      from === "errors.ts" ? /class UsageError/ : word,
      `${name} leads to line ${originalLine + 1}`,
    );
  }
});
