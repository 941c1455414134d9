// onetrip's candidates. `#onetrip` is the package's source, which the bundler puts in.

import { readResponse } from "#onetrip/response.ts";

const mapping = { int8: "string", numeric: "string", timestamps: "date", json: "parsed" };

const decode = (bytes) => async () => readResponse(bytes, [{ text: "", mapping, arrayRows: false }])[0].rows;

export const onetrip = {
  "blocks, decoder alone": { format: "utf16.blocks", open: decode },
  "blocks in UTF-8, decoder alone": { format: "utf8.blocks", open: decode },
};
