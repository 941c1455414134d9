// One client asks a real server, in a process of its own: prints the milliseconds as JSON.
//
// The first query is timed from before the client is loaded, as a cold start is; the others follow on the connection that
// is there then.

import { readFileSync } from "node:fs";

const { client, endpoint, postgres, warm } = JSON.parse(process.argv[2]);
const ROW = "select id, name, email, active, created_at from bench_rows where id = $1";
const ROWS = "select * from bench_rows where id > $1 order by id limit 100";
const ten = Array.from({ length: 10 }, (_, index) => index + 1);

/** Each client's `one` (a query with a parameter, its rows), `batch` (ten of them, atomic) and `end`. */
const clients = {
  async onetrip() {
    const { connect } = await import("#onetrip");
    const sql = connect(endpoint);
    return {
      one: (text, value) => sql.query(text, [value]),
      batch: () => sql.transaction(ten.map((id) => sql.query(ROW, [id]))),
    };
  },
  async "@neondatabase/serverless"() {
    const { neon, neonConfig } = await import("@neondatabase/serverless");
    const { origin, username, password, pathname } = new URL(endpoint);
    neonConfig.fetchEndpoint = `${origin}/sql`;
    const sql = neon(`postgresql://${username}:${password}@localhost${pathname}`);
    return {
      one: (text, value) => sql.query(text, [value]),
      batch: () => sql.transaction(ten.map((id) => sql.query(ROW, [id]))),
    };
  },
  async pg() {
    const { default: pg } = await import("pg");
    const ssl = { ca: readFileSync(process.env.NODE_EXTRA_CA_CERTS, "utf8") };
    const client = new pg.Client({ connectionString: postgres, ssl });
    await client.connect();
    // Named, so that it is prepared once, as postgres.js and the endpoint do it.
    const one = async (text, value) => (await client.query({ name: text.slice(0, 60), text, values: [value] })).rows;
    return {
      one,
      batch: async () => {
        await client.query("begin");
        const all = await Promise.all(ten.map((id) => one(ROW, id)));
        await client.query("commit");
        return all;
      },
      end: () => client.end(),
    };
  },
  async postgres() {
    const { default: open } = await import("postgres");
    const ssl = { ca: readFileSync(process.env.NODE_EXTRA_CA_CERTS, "utf8") };
    const sql = open(postgres, { ssl, max: 1, fetch_types: false });
    return {
      one: (text, value) => sql.unsafe(text, [value], { prepare: true }),
      batch: () => sql.begin((sql) => ten.map((id) => sql.unsafe(ROW, [id], { prepare: true }))),
      end: () => sql.end(),
    };
  },
};

async function timed(work, check) {
  const begun = performance.now();
  const result = await work();
  const milliseconds = performance.now() - begun;
  if (!check(result)) throw new Error(`${client} gave something else: ${JSON.stringify(result).slice(0, 200)}`);
  return milliseconds;
}

let opened;
const first = await timed(
  async () => {
    opened = await clients[client]();
    return opened.one(ROW, 1);
  },
  (rows) => rows[0].id === 1 && rows[0].created_at instanceof Date,
);
const times = { first: [first], row: [], rows: [], batch: [] };
for (let round = -3; round < warm; round++) {
  const row = await timed(
    () => opened.one(ROW, 7),
    (rows) => rows.length === 1 && rows[0].id === 7,
  );
  const rows = await timed(
    () => opened.one(ROWS, 0),
    (rows) => rows.length === 100 && rows[99].id === 100,
  );
  const batch = await timed(opened.batch, (all) => all.length === 10 && all[9][0].id === 10);
  if (round < 0) continue;
  times.row.push(row);
  times.rows.push(rows);
  times.batch.push(batch);
}
await opened.end?.();
console.log(JSON.stringify(times));
process.exit(0);
