// Requests to a Neon-compatible endpoint and their answers: profile 2 of PROTOCOL.md.

import { EndpointError, OnetripError, ProtocolError, RefusedError, SqlError, UsageError } from "../errors.js";
import type { Options } from "../options.js";
import { post, type Message, type Protocol, type Result } from "../protocol.js";
import { outcomeOfFailed, type Group, type Statement } from "../statement.js";
import type { TransactionMode } from "../types.js";
import { answersTo, errorFieldsOf } from "./answer.js";
import type { NeonEndpoint } from "./endpoint.js";

/** The protocol of `POST /sql`, for one database. */
export class SqlOverHttp implements Protocol {
  readonly url: string;
  readonly manyGroups = false;
  readonly #connectionString: string;

  constructor({ url, connectionString }: NeonEndpoint) {
    this.url = url;
    this.#connectionString = connectionString;
  }

  request([{ statements, mode }]: readonly Group[], options: Options): Message {
    if (options.decode === "local")
      throw new UsageError('decode: "local" is for endpoints of onetrip: others know neither frames nor blocks.');
    if (statements.some(({ types }) => types !== undefined))
      throw new UsageError(
        "Only endpoints of onetrip know declared types by OID: give sql.typed the name of the type.",
      );
    const headers = {
      "content-type": "application/json",
      "neon-connection-string": this.#connectionString,
      "neon-raw-text-output": "true",
      "neon-array-mode": "true",
    };
    const queries = statements.map(({ text, params }) => ({ query: text, params }));
    return post(
      Object.assign(headers, mode && headersOf(mode), options.headers),
      JSON.stringify(queries.length === 1 && mode === undefined ? queries[0] : { queries }),
    );
  }

  async read(answered: Response, bytes: Uint8Array, [group]: readonly Group[]): Promise<Result[]> {
    try {
      const text = textOf(bytes);
      if (answered.status !== 200) throw refusal(this.url, answered, text, group);
      const type = answered.headers.get("content-type") ?? "no content type";
      if (!type.startsWith("application/json"))
        throw new ProtocolError(
          `${this.url} answered with ${type} instead of rows. Is it a Neon-compatible endpoint?`,
          0,
        );
      return [answersTo(group.statements, text, this.url)];
    } catch (error) {
      // Ours, and Neon's.
      const id = answered.headers.get("onetrip-request-id") ?? answered.headers.get("neon-request-id");
      if (error instanceof OnetripError && id !== null) error.requestId = id;
      throw error;
    }
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ProtocolError("The endpoint's answer is corrupt: it is not UTF-8.", 0);
  }
}

function headersOf({ isolationLevel, readOnly, deferrable }: TransactionMode): Record<string, string> {
  const headers: Record<string, string> = {};
  // `repeatable read` is called RepeatableRead.
  if (isolationLevel !== undefined)
    headers["neon-batch-isolation-level"] = isolationLevel.replace(/ ?\b(.)/g, (_, first: string) =>
      first.toUpperCase(),
    );
  if (readOnly !== undefined) headers["neon-batch-read-only"] = String(readOnly);
  if (deferrable !== undefined) headers["neon-batch-deferrable"] = String(deferrable);
  return headers;
}

/** The error for an answer that is no result. */
function refusal(url: string, { status, headers }: Response, text: string, group: Group): OnetripError {
  const { statements } = group;
  let members: Record<string, unknown> | undefined;
  try {
    members = { ...(JSON.parse(text) as object) };
  } catch {
    // A proxy's, then.
  }
  const message = members?.["message"];
  const given = members?.["code"];
  const sqlstate = typeof given === "string" && given !== "" ? given : undefined;
  const isLogin = sqlstate !== undefined && LOGIN.includes(sqlstate) && members?.["severity"] !== "ERROR";
  if (members !== undefined && sqlstate !== undefined && !isLogin) {
    const fields = errorFieldsOf(members);
    // Which statement of a batch failed, only an onetrip endpoint says.
    const index = Number(headers.get("onetrip-statement") ?? (statements.length === 1 ? 0 : NaN));
    const statement = statements[index] as Statement | undefined;
    // Where a server goes away it does not say whether it had committed before; and what stands beside a COPY is run.
    const isKnown = fields.severity === "ERROR" && sqlstate !== "0A000";
    return new SqlError(fields, statement && index, statement?.text, isKnown ? outcomeOfFailed(group) : "unknown");
  }
  const seconds = Number(headers.get("retry-after") ?? NaN);
  const code = typeof message === "string" ? codeOf(status, sqlstate) : undefined;
  const what =
    typeof message === "string"
      ? message.slice(0, 1000)
      : "This is no answer of a Neon-compatible endpoint: check the option endpoint";
  // Neon's proxy says 400 without an SQLSTATE of answers that it did not understand, too.
  const isUnknown = code === "connection_lost" || code === "malformed_request" || (code === undefined && status >= 500);
  return new (isUnknown ? EndpointError : RefusedError)(
    `${url} answered ${status}: ${what}`,
    status,
    code,
    sqlstate,
    code === "too_many_requests",
    Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined,
  );
}

/** What PostgreSQL says of a login that it refuses, unless a statement raised it: nothing was executed. */
const LOGIN = ["28P01", "28000", "3D000", "53300"];

/** The code that an onetrip endpoint would give. src/neon/answer.rs has the same lines. */
function codeOf(status: number, sqlstate: string | undefined): string {
  if (sqlstate === "28P01" || sqlstate === "28000" || status === 401 || status === 403) return "invalid_credentials";
  if (sqlstate === "3D000") return "unknown_database";
  if (sqlstate === "53300" || status === 429) return "too_many_requests";
  if (status === 413) return "request_too_large";
  return status < 500 ? "malformed_request" : "connection_lost";
}
