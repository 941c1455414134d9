// The TypeScript of pkg/README.md, as it stands there: checked by the compiler and run against the live stack.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "onetrip";

const [root, project, url] = process.argv.slice(2);
const sql = connect(url);

const blocks = [...readFileSync(join(root, "pkg/README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms)].map(
  ([, text]) => text,
);
const source = blocks.join("\n").replaceAll("https://role:password@endpoint.example/shop", url);
const program = `${source}\nconsole.log(JSON.stringify({ items, cheap, cup, none, total, ids, pairs, rowCount, fields: fields.length, handed: await (await handler()).json(), rows, found, order, left, count: String(count), cents: doubled.cents, slim: await slim\`select 1 as one\` }));\n`;
writeFileSync(join(project, "readme.ts"), program);
writeFileSync(
  join(project, "tsconfig.json"),
  JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      module: "NodeNext",
      moduleResolution: "NodeNext",
      strict: true,
      lib: ["ES2022", "DOM"],
      types: [],
      noEmit: true,
    },
    files: ["readme.ts"],
  }),
);
writeFileSync(
  join(project, "package.json"),
  JSON.stringify({ ...JSON.parse(readFileSync(join(project, "package.json"), "utf8")), type: "module" }),
);
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", project], { stdio: "inherit" });
execFileSync(join(root, "node_modules/.bin/esbuild"), [
  join(project, "readme.ts"),
  "--format=esm",
  `--outfile=${join(project, "readme.mjs")}`,
  "--log-level=warning",
]);

await sql.transaction([
  sql`drop table if exists orders, items`,
  sql`create table items (id int4 primary key, name text not null, price numeric(10, 2) not null default 99, stock int4 not null default 5)`,
  sql`create table orders (id int8 generated always as identity, item int4)`,
  sql`insert into items (id, name, price) values (1, 'Cup', 12.50), (2, 'Lamp', 99)`,
]);
try {
  const lines = execFileSync(process.execPath, [join(project, "readme.mjs")], { encoding: "utf8" })
    .trim()
    .split("\n");
  const found = JSON.parse(lines.at(-1));
  const expected = {
    items: [{ id: 1, name: "Cup", price: "12.50" }],
    cheap: [{ id: 1, name: "Cup" }],
    cup: { id: 1, name: "Cup" },
    none: null,
    total: "2",
    ids: [1, 2],
    pairs: [
      [1, "Cup"],
      [2, "Lamp"],
    ],
    rowCount: 2,
    fields: 0,
    handed: [
      { id: 1, name: "Cup" },
      { id: 2, name: "Lamp" },
      { id: 3, name: "Desk lamp" },
      { id: 4, name: "Tall lamp" },
    ],
    rows: [{ id: 1, name: "Cup" }],
    found: [3, 4],
    order: { id: "1" },
    left: [{ stock: 4 }],
    count: "4",
    cents: 2500,
    slim: [{ one: 1 }],
  };
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`the README's program found ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  if (!lines.includes("23505 items_pkey"))
    throw new Error(`the README's error is not as it says: ${lines.join(" | ")}`);
  console.log("pkg/README.md: its programs compile and do what they say");
} finally {
  await sql`drop table if exists orders, items`;
}
