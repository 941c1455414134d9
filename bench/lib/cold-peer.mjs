// A Worker that asks its first query through the peer.

import { neon, neonConfig } from "@neondatabase/serverless";
import bytes from "input";

neonConfig.fetchFunction = async () => new Response(bytes, { headers: { "content-type": "application/json" } });
const sql = neon("postgresql://bench:bench@bench.example/bench");

export default {
  fetch: async () => new Response(String((await sql.query("select * from rows where id > $1", [0])).length)),
};
