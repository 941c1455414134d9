// A small shop on the edge: a typed query, an atomic batch, and an error that says what is wrong.
// `cargo xtask demo` runs it in workerd; `wrangler deploy` puts it on the edge.

import { connect, SqlError } from "onetrip";

interface Env {
  /** `https://role:password@endpoint.example/database`, a secret: `wrangler secret put ONETRIP_URL`. */
  readonly ONETRIP_URL: string;
}

interface Product {
  id: number;
  name: string;
  price: string;
  in_stock: boolean;
  added: Date;
  tags: unknown;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const sql = connect(env.ONETRIP_URL); // opens nothing
    const { pathname } = new URL(request.url);
    try {
      if (pathname === "/query") {
        const rows = await sql<Product>`
          select id, name, price, in_stock, added, tags from products where price < ${50} order by id`;
        return Response.json({ rows, types: rows[0] && typesOf(rows[0]) });
      }
      if (pathname === "/batch") {
        const order = crypto.randomUUID();
        const names = ["lamp", "chair", "desk", "rug", "shelf", "clock", "vase", "mirror", "plant"];
        const [first] = await sql.transaction([
          sql<{ orders: string }>`select count(distinct order_id) as orders from order_lines`,
          ...names.map((name) => sql`insert into order_lines (order_id, product) values (${order}, ${name})`),
        ]);
        return Response.json({ statements: 1 + names.length, orders_before: first[0]?.orders });
      }
      if (pathname === "/error") {
        return Response.json(await sql`select nmae from products`);
      }
      return Response.json({ paths: ["/query", "/batch", "/error"] }, { status: 404 });
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      const { code, message, hint, position } = error;
      return Response.json({ error: { code, message, hint, position } }, { status: 400 });
    }
  },
};

/** The JavaScript type of each value, by column. */
function typesOf(row: Product): Record<string, string> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value?.constructor?.name ?? "null"]));
}
