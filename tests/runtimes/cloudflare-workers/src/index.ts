import { connect } from "onetrip";

interface Env {
  /** `https://role:password@endpoint.example/database`: `wrangler secret put ONETRIP_URL`, and .dev.vars for development. */
  readonly ONETRIP_URL: string;
}

export default {
  async fetch(_request: Request, env: Env): Promise<Response> {
    const sql = connect(env.ONETRIP_URL); // opens nothing
    const items = await sql`select id, name, price from items where price < ${20} order by id`;
    return Response.json(items);
  },
};
