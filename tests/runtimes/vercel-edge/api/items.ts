import { connect } from "onetrip";

export const config = { runtime: "edge" };

const sql = connect(process.env.ONETRIP_URL!); // opens nothing

export default async function handler(_request: Request): Promise<Response> {
  const items = await sql`select id, name, price from items where price < ${20} order by id`;
  return Response.json(items);
}
