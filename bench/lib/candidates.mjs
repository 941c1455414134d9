// What is measured: each candidate turns the bytes of one answer into finished row objects.
//
// The same file runs in every runtime. `open(bytes)` prepares a candidate for one workload and gives a function that does
// the work once and returns the rows or a promise of them; `format` names the bytes that it works on.

import { neon, neonConfig } from "@neondatabase/serverless";
import { processQueryResult } from "#peer-decoder";

const utf8 = new TextDecoder();
const JSON_HEADERS = { headers: { "content-type": "application/json" } };

neonConfig.disableWarningInBrowsers = true;
const peer = neon("postgresql://bench:bench@bench.example/bench", { fullResults: false });
const statement = "select * from rows where id > $1";

export const candidates = {
  // The peer's whole HTTP path over a Response in memory.
  peer: {
    format: "peer.json",
    open: (bytes) => {
      const fetch = async () => new Response(bytes, JSON_HEADERS);
      return () => {
        neonConfig.fetchFunction = fetch;
        return peer.query(statement, [0]);
      };
    },
  },
  // The same without the runtime's Response, whose cost is not the peer's.
  "peer, no Response": {
    format: "peer.json",
    open: (bytes) => {
      const response = { ok: true, status: 200, json: async () => JSON.parse(utf8.decode(bytes)) };
      const fetch = async () => response;
      return () => {
        neonConfig.fetchFunction = fetch;
        return peer.query(statement, [0]);
      };
    },
  },
  // Its decoder alone: what it does with the text of the answer once it is there.
  "peer, decoder": {
    format: "peer.json",
    open: (bytes) => () =>
      processQueryResult(JSON.parse(utf8.decode(bytes)), { arrayMode: false, fullResults: false, types: undefined }),
  },
  // What any client pays that gets its bytes from a Response.
  "Response alone": {
    format: `${STRINGS}.blocks`,
    open: (bytes) => async () => {
      await new Response(bytes).arrayBuffer();
      return [];
    },
  },
  // JSON with as little in it as possible, and nothing done to it: timestamps stay text.
  "JSON.parse": {
    format: "minimal.json",
    open: (bytes) => () => JSON.parse(utf8.decode(bytes)),
  },
};
