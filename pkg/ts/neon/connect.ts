// `connect` of `onetrip/neon`: the same `sql` as over an onetrip endpoint. It opens nothing.

import { UsageError } from "../errors.js";
import { DEFAULTS, merge } from "../options.js";
import { ConnectionSender } from "../sender.js";
import { makeSql } from "../sql.js";
import type { Sql } from "../types.js";
import type { LoadWasm } from "../wasm.js";
import { parseConnectionString, type NeonConnectOptions } from "./endpoint.js";
import { SqlOverHttp } from "./protocol.js";

/** Connects to a database: `connect("postgresql://role:password@host.example/database")`. */
export interface NeonConnect {
  (connectionString: string | URL, options?: NeonConnectOptions): Sql;
  (options: NeonConnectOptions & { readonly url: string | URL }): Sql;
}

/** Makes the `connect` of a runtime. Its WebAssembly module is asked whether a failed request may be sent again. */
export function connectIn(loadWasm: LoadWasm): NeonConnect {
  return function connect(first: string | URL | NeonConnectOptions, second?: NeonConnectOptions): Sql {
    const given = typeof first === "object" && !(first instanceof URL) ? first : { ...second, url: first };
    const { url, role, password, endpoint, fetch, ...options } = given ?? {};
    if (fetch !== undefined && typeof fetch !== "function")
      throw new UsageError('The option "fetch" must be a function.');
    const protocol = new SqlOverHttp(parseConnectionString(url, { role, password, endpoint }));
    return makeSql(new ConnectionSender({ protocol, fetch, loadWasm }), merge(DEFAULTS, options));
  };
}
