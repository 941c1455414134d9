// Entry `onetrip/neon`: clients of Neon-compatible endpoints.

export { Client, Pool, defaults } from "./compatible.js";
export { neonConfig, warnIfBrowser } from "./config.js";
export type { FetchEndpointOptions, NeonConfig, WebSocketConstructor, WebSocketLike } from "./config.js";
export { DatabaseError, NeonDbError, errorFields } from "./error.js";
export { neon } from "./neon.js";
export { escapeIdentifier, escapeLiteral } from "./parameters.js";
export type * from "./public.js";
export { NeonQueryPromise, SqlTemplate, UnsafeRawSql } from "./query.js";
export { types } from "./types.js";
