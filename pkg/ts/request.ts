// One request: sent as often as the policy allows, answered with a result for each group that it holds.

import { Deadline, wait } from "./deadline.js";
import { OnetripError } from "./errors.js";
import { networkError } from "./network.js";
import type { Options } from "./options.js";
import { Failure, type Protocol, type Result } from "./protocol.js";
import type { Answer } from "./response.js";
import { retryAfterMs } from "./retry.js";
import type { Group } from "./statement.js";
import type { Fetch } from "./types.js";
import type { LoadWasm } from "./wasm.js";

/** A database behind an endpoint, as the queries of one `connect` share it. */
export interface Connection<Taken = Answer> {
  readonly protocol: Protocol<Taken>;
  /** The caller's; the global one is looked up for each request. */
  readonly fetch: Fetch | undefined;
  /** For the retry policy; without it nothing is sent twice. */
  readonly loadWasm: LoadWasm | undefined;
}

/** Sends `groups` in one request. Never rejects: what goes wrong is the result of those that it concerns. */
export async function request<Taken>(
  connection: Connection<Taken>,
  groups: readonly Group[],
  options: Options,
): Promise<Result<Taken>[]> {
  const deadline = Deadline.of(options);
  const started = Date.now();
  let results = await attempt(connection, groups, options, deadline);
  for (let number = 1; results.some(isFailure) && !deadline?.signal.aborted; number++) {
    // Only what failed in a way that allows it is sent again, together.
    const again: number[] = [];
    let milliseconds = 0;
    for (const [index, result] of results.entries()) {
      if (!isFailure(result)) continue;
      const { timeoutMs, maxAttempts, idempotent } = options;
      const { statements } = groups[index];
      const failed = { number, elapsedMs: Date.now() - started, timeoutMs, maxAttempts, idempotent, statements };
      const pause = await retryAfterMs(result.error, failed, connection.loadWasm);
      if (pause === undefined) continue;
      again.push(index);
      milliseconds = Math.max(milliseconds, pause);
    }
    if (again.length === 0) break;
    await wait(milliseconds, deadline?.signal);
    const repeated = again.map((index) => groups[index]);
    const answers = deadline?.signal.aborted
      ? again.map((index) => givenUp(connection.protocol, deadline, (results[index] as Failure).error))
      : await attempt(connection, repeated, options, deadline);
    results = [...results];
    again.forEach((index, position) => (results[index] = answers[position]));
  }
  deadline?.end();
  return results;
}

const isFailure = (result: Result<unknown>): result is Failure => result instanceof Failure;

/** Given up before it was sent again: what became of it is what the last attempt says. */
function givenUp({ url }: Protocol<unknown>, deadline: Deadline, last: unknown): Failure {
  return new Failure(deadline.error(url, last instanceof OnetripError ? last.outcome : "unknown"));
}

async function attempt<Taken>(
  { protocol, fetch: given }: Connection<Taken>,
  groups: readonly Group[],
  options: Options,
  deadline: Deadline | undefined,
): Promise<Result<Taken>[]> {
  try {
    if (deadline?.signal.aborted) throw deadline.error(protocol.url, "notExecuted");
    const { headers, body } = protocol.request(groups, options, deadline?.timeLeftMs());
    // Credentials follow no redirect.
    const init: RequestInit = { method: "POST", headers, body, redirect: "manual" };
    if (deadline !== undefined) init.signal = deadline.signal;
    let answered: Response;
    let bytes: ArrayBuffer;
    try {
      answered = await (given ?? fetch)(protocol.url, init);
      bytes = protocol.leaves?.(answered) ? new ArrayBuffer(0) : await answered.arrayBuffer();
    } catch (cause) {
      throw deadline?.signal.aborted ? deadline.error(protocol.url, "unknown") : networkError(protocol.url, cause);
    }
    return await protocol.read(answered, new Uint8Array(bytes), groups);
  } catch (error) {
    return groups.map(() => new Failure(error));
  }
}
