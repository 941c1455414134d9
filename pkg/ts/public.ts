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
  Class,
  ConnectOptions,
  Decoders,
  Encoder,
  Encoders,
  Fetch,
  Field,
  Fragment,
  FragmentMakers,
  FullResult,
  Json,
  Mapping,
  ObjectRow,
  PassableQuery,
  Query,
  QueryOptions,
  RequestOptions,
  Results,
  RowQuery,
  Sql,
  SqlValue,
  TransactionMode,
  TransactionOptions,
  Typed,
  ValueOf,
} from "./types.js";
