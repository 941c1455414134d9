// What every entry exports beside its `connect`.

export {
  EndpointError,
  NetworkError,
  OnetripError,
  ProtocolError,
  RefusedError,
  SqlError,
  UnreachableError,
  UsageError,
} from "./errors.js";
export type { Outcome, SqlErrorFields } from "./errors.js";
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
  TransactionMode,
  TransactionOptions,
} from "./types.js";
