// What a bundler ships for one query, minified for Workers: gzip and brotli of everything, per file.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { bundle, target, versionOf, wasm } from "./host.mjs";

const fetchHandler = (expression) => `export default { fetch: async (request, env) => Response.json(${expression}) };`;
const onetrip = (from) =>
  `import { connect } from ${JSON.stringify(from)};\n${fetchHandler("await connect({ url: env.DATABASE_URL })`select ${1}`")}`;

/** Each client's shortest Worker with one query. `entry` is onetrip's entry for a runtime. */
const CANDIDATES = [
  { name: "onetrip", program: onetrip("#onetrip"), hasWasm: true },
  { name: "onetrip/slim, without the wasm module", program: onetrip("#onetrip"), entry: "slim" },
  {
    name: "@neondatabase/serverless",
    program: `import { neon } from "@neondatabase/serverless";\n${fetchHandler("await neon(env.DATABASE_URL)`select ${1}`")}`,
  },
  {
    name: "@planetscale/database",
    note: "MySQL",
    program: `import { connect } from "@planetscale/database";\n${fetchHandler("await connect({ url: env.DATABASE_URL }).execute('select ?', [1])")}`,
  },
  {
    name: "@libsql/client",
    note: "SQLite, its /web",
    program: `import { createClient } from "@libsql/client/web";\n${fetchHandler("await createClient({ url: env.DATABASE_URL }).execute({ sql: 'select ?', args: [1] })")}`,
  },
  {
    name: "@supabase/supabase-js",
    note: "PostgREST, no SQL",
    program: `import { createClient } from "@supabase/supabase-js";\n${fetchHandler("await createClient(env.URL, env.KEY).from('rows').select()")}`,
  },
  {
    name: "postgres",
    note: "TCP",
    program: `import postgres from "postgres";\n${fetchHandler("await postgres(env.DATABASE_URL)`select ${1}`")}`,
  },
  {
    name: "pg",
    note: "TCP",
    program: `import pg from "pg";\nconst one = async (url) => { const client = new pg.Client(url); await client.connect(); return (await client.query("select $1", [1])).rows; };\n${fetchHandler("await one(env.DATABASE_URL)")}`,
  },
];

export async function measure() {
  const report = [];
  const programs = path.join(target, "bench-programs");
  await mkdir(programs, { recursive: true });
  for (const { name, program, entry = "workerd", hasWasm, note } of CANDIDATES) {
    const id = name.replace(/\W+/g, "-");
    const source = path.join(programs, `${id}.mjs`);
    await writeFile(source, program);
    const { file } = await bundle(entry, source, `size-${id}.js`, { minify: true });
    const files = [await readFile(file)];
    if (hasWasm) files.push(await readFile(wasm));
    const sum = (size) => files.reduce((total, bytes) => total + size(bytes), 0);
    const version = name.startsWith("onetrip") ? undefined : await versionOf(name);
    report.push({
      candidate: [name, version, note && `(${note})`].filter(Boolean).join(" "),
      raw: sum((bytes) => bytes.length),
      gzip: sum((bytes) => gzipSync(bytes, { level: 9 }).length),
      brotli: sum((bytes) => brotliCompressSync(bytes).length),
      wasm: hasWasm ? files[1].length : 0,
    });
  }
  return report;
}
