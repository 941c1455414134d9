// One request: composed once, sent as often as the policy allows, answered or failed with an error that helps.

import { Deadline } from "./deadline.js";
import { NetworkError, OnetripError } from "./errors.js";
import { causeOf } from "./network.js";
import type { Options } from "./options.js";
import type { Message, Protocol } from "./protocol.js";
import { compose, partsOf, type LazyQuery, type Send } from "./query.js";
import type { Answer } from "./response.js";
import { retryAfterMs } from "./retry.js";
import type { Group } from "./statement.js";
import type { Fetch } from "./types.js";
import type { LoadWasm } from "./wasm.js";

/** A database behind an endpoint, as the queries of one `connect` share it. */
export interface Connection {
  readonly protocol: Protocol;
  /** The caller's; the global one is looked up for each request. */
  readonly fetch: Fetch | undefined;
  /** For the retry policy; without it nothing is sent twice. */
  readonly loadWasm: LoadWasm | undefined;
}

/** What queries of a connection are sent by. */
export function sender(connection: Connection): Send {
  return (queries, options) => run(connection, queries, options);
}

async function run(
  connection: Connection,
  queries: readonly LazyQuery<unknown>[],
  options: Options,
): Promise<unknown[]> {
  const deadline = new Deadline(options);
  try {
    const parts = queries.map(partsOf);
    const group = parts.map((query) => {
      const { options: mapping, arrayRows, fullResults } = query.wanted;
      const { text, params } = compose(query);
      return { text, params, mapping, arrayRows, commandTag: fullResults };
    });
    const message = connection.protocol.request(group, options);
    const started = Date.now();
    for (let number = 1; ; number++) {
      try {
        const answers = await attempt(connection, message, group, options, deadline);
        return answers.map((answer, index) => result(answer, parts[index].wanted.fullResults));
      } catch (error) {
        deadline.check();
        const { timeoutMs, maxAttempts, idempotent } = options;
        const elapsedMs = Date.now() - started;
        const failed = { number, elapsedMs, timeoutMs, maxAttempts, idempotent, statements: group };
        const wait = await retryAfterMs(error, failed, connection.loadWasm);
        if (wait === undefined) throw error;
        await deadline.wait(wait);
      }
    }
  } catch (error) {
    const shown = deadline.timedOut ? timeoutError(connection, options) : error;
    // The code that awaits the query is what the stack should show. Engines keep track of it (async stack traces), so
    // that it costs nothing to queries that succeed; the first frame is this one.
    const [, ...frames] = (new Error().stack ?? "")
      .split("\n")
      .filter((line) => /^\s+at (?!process\.processTicks)|@/.test(line));
    if (shown instanceof OnetripError && frames.length > 0)
      shown.stack = [`${shown.name}: ${shown.message}`, ...frames].join("\n");
    throw shown;
  } finally {
    deadline.end();
  }
}

async function attempt(
  { protocol, fetch: given }: Connection,
  { headers, body }: Message,
  group: Group,
  options: Options,
  deadline: Deadline,
): Promise<Answer[]> {
  let answered: Response;
  let bytes: Uint8Array;
  try {
    // Credentials follow no redirect.
    const request: RequestInit = { method: "POST", headers, body, redirect: "manual" };
    if (deadline.signal !== undefined) request.signal = deadline.signal;
    answered = await (given ?? fetch)(protocol.url, request);
    bytes = new Uint8Array(await answered.arrayBuffer());
  } catch (cause) {
    deadline.check();
    throw new NetworkError(`No answer from ${protocol.url}: ${causeOf(cause)}.`, protocol.url, false, cause);
  }
  return protocol.read(answered, bytes, group, options);
}

function result({ rows, fields, tag }: Answer, full: boolean): unknown {
  if (!full) return rows;
  // `INSERT 0 5`, `UPDATE 5`, `SELECT 5`, `CREATE TABLE`.
  const count = /\d+$/.exec(tag);
  return { rows, fields, command: tag.split(" ", 1)[0], rowCount: count === null ? null : Number(count[0]) };
}

function timeoutError({ protocol: { url } }: Connection, { timeoutMs }: Options): NetworkError {
  return new NetworkError(
    `No answer from ${url} within ${timeoutMs} ms; whether the statement took effect is unknown.`,
    url,
    true,
  );
}
