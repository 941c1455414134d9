// Reads the answer to one group as the tests of decoders want it: the answers, or its error thrown.

import { ResponseReader } from "../../dist/response.js";

export class GroupReader extends ResponseReader {
  constructor(statements) {
    super([{ statements, mode: undefined }]);
  }

  finish() {
    const [result] = super.finish();
    if (!Array.isArray(result)) throw result.error;
    return result;
  }
}
