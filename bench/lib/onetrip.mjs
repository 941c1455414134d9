// onetrip's candidates, from the built package in pkg/dist: what users install. `#onetrip` is its entry for the
// runtime that is measured. `STRINGS` is how it asks for text, `LOCAL_STRINGS` how the module makes it.

import { connect } from "#onetrip";
import { source } from "#onetrip-wasm";
import { loadFrom } from "#onetrip/load.js";
import { DEFAULTS, merge } from "#onetrip/options.js";
import { ResponseReader, readRows } from "#onetrip/response.js";
import { readRow } from "#onetrip/row.js";
import { readFrames } from "#onetrip/wasm.js";

const BLOCKS = { headers: { "content-type": "application/vnd.onetrip.blocks" } };
const FRAMES = { headers: { "content-type": "application/vnd.onetrip.pgwire" } };
const url = "https://bench:bench@bench.example/bench";
const statement = "select * from rows where id > $1";

/** The whole client over a Response in memory. */
function client(kind, options) {
  return asked(kind, options, (bytes) => () => new Response(bytes, kind));
}

/** What the client is answered by `answer`, once it has asked for what it gets. */
function asked(kind, options, answer) {
  return async (bytes) => {
    const respond = answer(bytes);
    let accept;
    const first = async (_url, request) => {
      accept = request.headers.accept;
      return respond();
    };
    await connect(url, { ...options, fetch: first }).query(statement, [0]);
    if (kind === BLOCKS && !accept.includes(`; strings=${STRINGS},`)) throw new Error(`the client asks for ${accept}`);
    const sql = connect(url, { ...options, fetch: async () => respond() });
    return () => sql.query(statement, [0]);
  };
}

/** The whole client without the runtime's Response, whose cost is not onetrip's. */
function clientAlone(kind, options) {
  return asked(kind, options, (bytes) => {
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const response = { ok: true, status: 200, headers: new Headers(kind.headers), arrayBuffer: async () => buffer };
    return () => response;
  });
}

const group = {
  statements: [
    {
      // As the client makes it: V8 tells objects apart by how they were made.
      text: "",
      params: [],
      types: undefined,
      mapping: merge(DEFAULTS, {}),
      arrayRows: false,
      commandTag: false,
    },
  ],
  mode: undefined,
};

/** The decoder alone: from the bytes of an answer to its rows, without a request. One row has a way of its own, but in Workers. */
function blocks(bytes) {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const [{ mapping }] = group.statements;
  return () => (readRow(buffer, mapping, false) ?? readRows(bytes, [group])).rows;
}

/** The same from frames. */
async function frames(bytes) {
  const wasm = await loadFrom(source)();
  return () => {
    const reader = new ResponseReader([group]);
    readFrames(wasm, bytes, LOCAL_STRINGS, { int8Binary: false, timestampsText: false, jsonText: false }, reader);
    return reader.finish()[0][0].rows;
  };
}

export const onetrip = {
  "onetrip, blocks": { format: `${STRINGS}.blocks`, open: client(BLOCKS) },
  "onetrip, wasm": { format: "frames", open: client(FRAMES, { decode: "local" }) },
  "onetrip, blocks, no Response": { format: `${STRINGS}.blocks`, open: clientAlone(BLOCKS) },
  "onetrip, wasm, no Response": { format: "frames", open: clientAlone(FRAMES, { decode: "local" }) },
  "onetrip, decoder of blocks": { format: `${STRINGS}.blocks`, open: blocks },
  "onetrip, decoder of frames, wasm": { format: "frames", open: frames },
};
