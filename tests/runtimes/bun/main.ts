// bun run main.ts

import { connect } from "onetrip";

const sql = connect(process.env.ONETRIP_URL!); // opens nothing

export default {
  async fetch(): Promise<Response> {
    const items = await sql`select id, name, price from items where price < ${20} order by id`;
    return Response.json(items);
  },
};
