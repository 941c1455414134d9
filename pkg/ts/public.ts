// What every entry exports beside its `connect`.

export { EndpointError, NetworkError, OnetripError, ProtocolError, SqlError, UsageError } from "./errors.js";
export type { SqlErrorFields } from "./errors.js";
export type { Connect } from "./connect.js";
export type {
  ArrayRow,
  ConnectOptions,
  Fetch,
  Field,
  FullResult,
  Identifier,
  Json,
  Mapping,
  ObjectRow,
  Query,
  QueryOptions,
  RequestOptions,
  Results,
  RowOf,
  Sql,
  SqlValue,
} from "./types.js";
