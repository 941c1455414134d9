// What handing rows on costs a handler: each candidate makes the response of a Worker from one answer in memory, and its
// body is read to the end.

import { connect } from "#onetrip";
import { neon, neonConfig } from "@neondatabase/serverless";
import { difference } from "./difference.mjs";

const JSON_HEADERS = { headers: { "content-type": "application/json" } };
const BLOCKS = { headers: { "content-type": "application/vnd.onetrip.blocks" } };
const FRAMES = { headers: { "content-type": "application/vnd.onetrip.pgwire" } };
const statement = "select * from rows where id > $1";

neonConfig.disableWarningInBrowsers = true;
const peer = neon("postgresql://bench:bench@bench.example/bench");

const handlers = {
  json: (rows) => Response.json(rows),
  stringify: (rows) => new Response(JSON.stringify(rows), JSON_HEADERS),
};

/** A handler that has its rows from onetrip; `respond` makes its response of the query. */
function onetrip(kind, options, respond) {
  return (bytes) => {
    const fetch = async () => new Response(bytes, kind);
    const sql = connect("https://bench:bench@bench.example/bench", { ...options, fetch });
    return async () => drained(await respond(sql.query(statement, [0])));
  };
}

function ofPeer(respond) {
  return (bytes) => {
    const fetch = async () => new Response(bytes, JSON_HEADERS);
    return async () => {
      neonConfig.fetchFunction = fetch;
      return drained(respond(await peer.query(statement, [0])));
    };
  };
}

const drained = async (response) => new Uint8Array(await response.arrayBuffer());

export const passing = {
  "peer, Response.json(rows)": { format: "peer.json", open: ofPeer(handlers.json) },
  "peer, JSON.stringify(rows)": { format: "peer.json", open: ofPeer(handlers.stringify) },
  "onetrip, response()": { format: "rows.json", open: onetrip(JSON_HEADERS, {}, (query) => query.response()) },
  "onetrip, blocks, Response.json(rows)": {
    format: `${STRINGS}.blocks`,
    open: onetrip(BLOCKS, {}, async (query) => handlers.json(await query)),
  },
  "onetrip, blocks, JSON.stringify(rows)": {
    format: `${STRINGS}.blocks`,
    open: onetrip(BLOCKS, {}, async (query) => handlers.stringify(await query)),
  },
  "onetrip, wasm, Response.json(rows)": {
    format: "frames",
    open: onetrip(FRAMES, { decode: "local" }, async (query) => handlers.json(await query)),
  },
  // The least that a handler can do: the answer's body becomes its own.
  "body alone": {
    format: "rows.json",
    open: (bytes) => () => drained(new Response(new Response(bytes).body, JSON_HEADERS)),
  },
};

/** What the body of a candidate says, with timestamps as a Date writes them: `response()` has them as PostgreSQL does. */
const said = (bytes) => {
  const rows = JSON.parse(new TextDecoder().decode(bytes));
  for (const row of rows) row.created_at = new Date(row.created_at.replace(/\+00$/, "Z").replace(" ", "T")).toJSON();
  return rows;
};

/** Where the body of a candidate differs from the peer's, once for all. */
export async function verify(open) {
  const expected = said(await (await open("peer, Response.json(rows)"))());
  for (const name of Object.keys(passing)) {
    const found = difference(said(await (await open(name))()), expected, "rows");
    if (found !== undefined) return `${name}: ${found}`;
  }
  return "equal";
}
