import { connect } from "onetrip";

export const runtime = "nodejs";
export const dynamic = "force-dynamic";

export async function GET() {
  const sql = connect(process.env.ONETRIP_URL); // opens nothing
  const items = await sql`select id, name, price from items where price < ${20} order by id`;
  return Response.json(items);
}
