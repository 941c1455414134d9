// A Worker that asks its first row of PostgreSQL itself, through pg, over a socket with TLS.

import pg from "pg";

export default {
  async fetch(_request, env, context) {
    const client = new pg.Client({ connectionString: env.POSTGRES, ssl: true });
    await client.connect();
    const { rows } = await client.query(env.STATEMENT, [1]);
    context.waitUntil(client.end());
    return new Response(String(rows[0].id === 1 && rows[0].created_at instanceof Date));
  },
};
