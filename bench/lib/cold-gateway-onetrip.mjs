// A Worker that asks its first row through onetrip.

import { connect } from "#onetrip";

export default {
  async fetch(_request, env) {
    const [row] = await connect(env.ENDPOINT).query(env.STATEMENT, [1]);
    return new Response(String(row.id === 1 && row.created_at instanceof Date));
  },
};
