import { connect } from "onetrip";

const sql = connect(process.env.ONETRIP_URL); // opens nothing

export async function handler() {
  const items = await sql`select id, name, price from items where price < ${20} order by id`;
  return { statusCode: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(items) };
}
