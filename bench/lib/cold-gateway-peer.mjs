// A Worker that asks its first row through the peer, of the same endpoint.

import { neon, neonConfig } from "@neondatabase/serverless";

export default {
  async fetch(_request, env) {
    const { origin, username, password, pathname } = new URL(env.ENDPOINT);
    neonConfig.fetchEndpoint = `${origin}/sql`;
    const [row] = await neon(`postgresql://${username}:${password}@localhost${pathname}`).query(env.STATEMENT, [1]);
    return new Response(String(row.id === 1 && row.created_at instanceof Date));
  },
};
