// `connect`: from a URL and options to what the user holds. It opens nothing.

import { parseEndpoint } from "./endpoint.js";
import { UsageError } from "./errors.js";
import { DEFAULTS, merge } from "./options.js";
import { Pipelines, type Runtime } from "./pipeline.js";
import type { Sender } from "./query.js";
import type { Connection } from "./request.js";
import { ConnectionSender } from "./sender.js";
import { makeSql } from "./sql.js";
import type { ConnectOptions, Sql } from "./types.js";

/** Connects to a database: `connect("https://role:password@endpoint.example/database")`. */
export interface Connect {
  (url: string | URL, options?: ConnectOptions): Sql;
  (options: ConnectOptions & { readonly url: string | URL }): Sql;
}

/** Makes the `connect` of a runtime. `SenderOf` is how its queries are sent. */
export function connectIn(
  runtime: Runtime,
  SenderOf: new (connection: Connection) => Sender = ConnectionSender,
): Connect {
  return function connect(first: string | URL | ConnectOptions, second?: ConnectOptions): Sql {
    const given = typeof first === "object" && !(first instanceof URL) ? first : { ...second, url: first };
    const { url, role, password, fetch, ...options } = given ?? {};
    if (fetch !== undefined && typeof fetch !== "function")
      throw new UsageError('The option "fetch" must be a function.');
    const protocol = new Pipelines(parseEndpoint(url as string | URL, { role, password }), runtime);
    return makeSql(new SenderOf({ protocol, fetch, loadWasm: runtime.loadWasm }), merge(DEFAULTS, options));
  };
}
