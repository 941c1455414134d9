// What every entry `onetrip/neon` exports beside its `connect`.

export { Client, Pool, defaults } from "./compatible.js";
export { neonConfig, warnIfBrowser } from "./config.js";
export type { FetchEndpointOptions, NeonConfig, WebSocketConstructor, WebSocketLike } from "./config.js";
export type { NeonConnect } from "./connect.js";
export type { NeonConnectOptions } from "./endpoint.js";
export { DatabaseError, NeonDbError, errorFields } from "./error.js";
export { neon } from "./neon.js";
export { escapeIdentifier, escapeLiteral } from "./parameters.js";
export type * from "./public.js";
export { NeonQueryPromise, SqlTemplate, UnsafeRawSql } from "./query.js";
export { types } from "./types.js";
export * from "../public.js";
