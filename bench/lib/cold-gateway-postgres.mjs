// A Worker that asks its first row of PostgreSQL itself, through postgres.js, over a socket with TLS.

import postgres from "postgres";

export default {
  async fetch(_request, env, context) {
    const sql = postgres(env.POSTGRES, { ssl: "require", max: 1, fetch_types: false });
    const [row] = await sql.unsafe(env.STATEMENT, [1]);
    context.waitUntil(sql.end());
    return new Response(String(row.id === 1 && row.created_at instanceof Date));
  },
};
