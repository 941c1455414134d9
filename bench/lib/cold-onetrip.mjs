// A Worker that asks its first query through onetrip: `MEDIA_TYPE` and `DECODE` are put in by the bundler.

import { connect } from "#onetrip";
import bytes from "input";

const sql = connect({
  url: "https://bench:bench@bench.example/bench",
  decode: DECODE,
  fetch: async () => new Response(bytes, { headers: { "content-type": MEDIA_TYPE } }),
});

export default {
  fetch: async () => new Response(String((await sql.query("select * from rows where id > $1", [0])).length)),
};
