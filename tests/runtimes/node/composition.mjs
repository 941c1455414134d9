// Composition against the live stack: what the members of `sql` make is what PostgreSQL understands, and no value and no
// name, however it is written, becomes text of a statement.

import assert from "node:assert/strict";
import { connect, SqlError } from "onetrip";

const sql = connect(process.argv[2]);
const table = sql.identifier(`composition "${process.pid}`);

// Deterministic, so that a failure happens again: mulberry32.
let seed = 6;
function random(limit) {
  seed = (seed + 0x6d2b79f5) | 0;
  let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
  return ((bits ^ (bits >>> 14)) >>> 0) % limit;
}

const PIECES = [
  ..."'\"`\\$;,(){}[]%_?:-/*\n\t e0aE1ß\u{1f418}\u202e\ufeff",
  "--",
  "/*",
  "*/",
  "$$",
  "$1",
  "${",
  "E'",
  "';",
  '";',
  "\\'",
  "in ()",
  "drop table",
  "null",
];
const text = () => Array.from({ length: 1 + random(12) }, () => PIECES[random(PIECES.length)]).join("");

async function values(rounds, width) {
  for (let round = 0; round < rounds; round++) {
    const texts = Array.from({ length: width }, text);
    const list = sql.join(
      texts.map((value) => sql`${value}::text`),
      sql`, `,
    );
    const { arrays, listed, joined, rows, object } = await sql`
      select ${texts}::text[] as arrays, ${texts[0]}::text in ${sql.list(texts)} as listed, array[${list}] as joined,
        array(select x from (${sql.values(texts.map((value) => [value]))}) as v(x)) as rows, ${{ texts }}::json as object
    `.one();
    assert.deepEqual([arrays, joined, rows, object.texts, listed], [texts, texts, texts, texts, true]);
  }
}

async function names(rounds, width) {
  for (let round = 0; round < rounds; round++) {
    // PostgreSQL cuts names at 63 bytes.
    const columns = [...new Set(Array.from({ length: width }, (_, index) => `${index}${text()}`.slice(0, 15)))];
    const row = Object.fromEntries(columns.map((name) => [name, text()]));
    const changed = Object.fromEntries(columns.map((name) => [name, text()]));
    const definitions = sql.join(columns.map((name) => sql`${sql.identifier(name)} text`));
    const [, inserted, updated] = await sql.transaction([
      sql`create temporary table ${table} (${definitions}) on commit drop`,
      sql`insert into ${table} ${sql.values([row])} returning ${sql.columns(columns)}`.one(),
      sql`update ${table} set ${sql.set(changed)} returning *`.one(),
    ]);
    assert.deepEqual([inserted, updated], [row, changed]);
  }
}

async function meaning() {
  const found = await sql.transaction([
    sql`create temporary table ${table} (id int8 primary key, name text default 'none', at timestamptz, tags text[]) on commit drop`,
    sql`insert into ${table} ${sql.values([
      { id: 1, name: "a", at: new Date(0), tags: ["x", "y"] },
      { id: 2n, name: sql`default`, at: null, tags: [] },
    ])} returning *`,
    sql`insert into ${table} ${sql.values([{ id: 3, more: true }], ["id"])} returning id`.column(),
    sql`insert into ${table} ${sql.values([[4, "d"]])} returning id`.column(),
    sql`insert into ${table} ${sql.values([])} returning id`,
    sql`insert into ${table} ${sql.values([], ["id", "at"])} on conflict do nothing returning id`,
    sql`select id from ${table} where id in ${sql.list([1, 4, 9])} order by id`.column(),
    sql`select id from ${table} where id in ${sql.list([])}`.column(),
    sql`select id from ${table} where id not in ${sql.list([])} order by id`.column(),
    sql`select null::uuid in ${sql.list([])} as a, null::int not in ${sql.list([])} as b, (1, 'x') in ${sql.list([])} as c`,
    sql`update ${table} set ${sql.set({ name: sql`name || ${"!"}`, at: null })} where id = 1 returning name, at`.one(),
  ]);
  assert.deepEqual(found.slice(1), [
    [
      { id: "1", name: "a", at: new Date(0), tags: ["x", "y"] },
      { id: "2", name: "none", at: null, tags: [] },
    ],
    ["3"],
    ["4"],
    [],
    [],
    ["1", "4"],
    [],
    ["1", "2", "3", "4"],
    [{ a: false, b: true, c: false }],
    { name: "a!", at: null },
  ]);
  const rows = Array.from({ length: 32_767 }, (_, id) => ({ id, name: `n${id}` }));
  const sum = sql`select sum(id::int) from (${sql.values(rows, ["id", "name"])}) as v`;
  await assert.rejects(sum, SqlError, "a list of columns is an insert's");
  const pairs = sql.values(rows.map(({ id, name }) => [id, name]));
  assert.equal(await sql`select sum(id::int) from (${pairs}) as v(id, name)`.value(), String((32_766 * 32_767) / 2));
}

await meaning();
await values(300, 8);
await names(60, 6);
console.log("composition: 2,400 texts and 360 names came back as they were sent");
