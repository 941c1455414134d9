// Answers that are handed on without being decoded: typed JSON from the endpoint (PROTOCOL.md section 5).

import { ProtocolError, SqlError, type OnetripError, type SqlErrorFields } from "./errors.js";
import type { Options } from "./options.js";
import { Failure, mediaType, named, type Message, type Protocol, type Result } from "./protocol.js";
import { outcomeOfFailed, type Group } from "./statement.js";

/** A protocol whose answers come as JSON; everything but a result is read by `blocks`. */
export class Passing implements Protocol<Response> {
  readonly url: string;
  readonly manyGroups = false;
  readonly #blocks: Protocol;
  readonly #accept: string;

  constructor(blocks: Protocol, full: boolean, arrayRows: boolean) {
    this.url = blocks.url;
    this.#blocks = blocks;
    this.#accept = `${JSON_TYPE}${full ? "" : "; result=rows"}${arrayRows ? "; rows=array" : ""}`;
  }

  request(groups: readonly Group[], options: Options, timeLeftMs: number | undefined): Message {
    const message = this.#blocks.request(groups, options, timeLeftMs);
    message.headers["accept"] = this.#accept;
    return message;
  }

  leaves(answered: Response): boolean {
    return isJson(answered) && !answered.headers.has(SQLSTATE);
  }

  async read(answered: Response, bytes: Uint8Array, groups: readonly Group[]): Promise<Result<Response>[]> {
    if (this.leaves(answered)) return [[new Response(answered.body, { headers: { "content-type": JSON_TYPE } })]];
    // What is no result is none of blocks either, and fails in the same way.
    if (!isJson(answered)) return (await this.#blocks.read(answered, bytes, groups)) as Failure[];
    return named([new Failure(sqlError(bytes, groups[0]))], answered);
  }
}

const JSON_TYPE = "application/json";
const SQLSTATE = "onetrip-sqlstate";

function isJson(answered: Response): boolean {
  return answered.status === 200 && mediaType(answered) === JSON_TYPE;
}

/** The error of an answer that was too short to be under way before PostgreSQL refused the statement. */
function sqlError(bytes: Uint8Array, group: Group): OnetripError {
  const text = new TextDecoder().decode(bytes);
  // Behind bare rows it is a line of its own.
  const line = text.startsWith("[") ? text.slice(text.lastIndexOf("\n", text.length - 2) + 1) : text;
  let statement: string | number | undefined;
  let members: Record<string, string | number>;
  try {
    ({
      error: { statement, ...members },
    } = JSON.parse(line) as { error: typeof members });
  } catch {
    return new ProtocolError("The endpoint's answer is corrupt: the error is no JSON.", 0);
  }
  const fields: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(members))
    fields[name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())] = value;
  const outcome = fields["severity"] === "ERROR" ? outcomeOfFailed(group) : "unknown";
  return new SqlError(
    fields as unknown as SqlErrorFields,
    0,
    statement === 0 ? group.statements[0].text : undefined,
    outcome,
  );
}
