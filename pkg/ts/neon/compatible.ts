// What `@neondatabase/serverless` exports beside `neon()`, so that programs with an import alias link.

import { NeonDbError } from "./error.js";
import { dateSettings } from "./parameters.js";
import { setParseInt8 } from "./types.js";

/** Settings of node-postgres; `parseInt8` and `parseInputDatesAsUTC` are those that mean something here. */
export const defaults: { parseInt8?: boolean | undefined; parseInputDatesAsUTC?: boolean | undefined } =
  /* @__PURE__ */ Object.defineProperty(dateSettings, "parseInt8", { set: setParseInt8, configurable: true });

const WEBSOCKETS =
  "needs a WebSocket, and onetrip/neon speaks HTTP only: use neon() and sql.transaction([…]), or import it from @neondatabase/serverless itself";

/** Not here: its constructor throws. Over HTTP there are no sessions. */
export class Client {
  constructor(..._options: any[]) {
    throw new NeonDbError(`Client ${WEBSOCKETS}`);
  }
}

/** Not here: its constructor throws. Over HTTP there are no sessions. */
export class Pool {
  constructor(..._options: any[]) {
    throw new NeonDbError(`Pool ${WEBSOCKETS}`);
  }
}
