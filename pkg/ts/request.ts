// One request: sent as often as the policy allows, answered with a result for each group that it holds.

import { Deadline, wait } from "./deadline.js";
import { OnetripError, setOutcome } from "./errors.js";
import { networkError } from "./network.js";
import type { Options } from "./options.js";
import { Failure, type Protocol, type Result } from "./protocol.js";
import type { Answer } from "./response.js";
import { retryAfterMs } from "./retry.js";
import { atCaller } from "./stack.js";
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

/** What a request is made of, and what is made of its results; `subject` is whatever both need. */
export interface Work<Subject, Taken, Value> {
  groups(subject: Subject): readonly Group[];
  take(results: readonly Result<Taken>[], subject: Subject): Value;
}

/**
 * Does `work` by one request. What goes wrong with it is the result of the groups that it concerns; this rejects with what
 * the functions of `work` throw, and then the stack is that of the code that awaits it.
 *
 * One function from the query to its rows, and none within it: each that is asynchronous costs one row a tenth of its time,
 * and variables that a function shares cost it, too.
 */
export async function request<Subject, Taken, Value>(
  connection: Connection<Taken>,
  work: Work<Subject, Taken, Value>,
  subject: Subject,
  options: Options,
): Promise<Value> {
  try {
    const groups = work.groups(subject);
    const { protocol } = connection;
    const deadline = Deadline.of(options);
    let results!: Result<Taken>[];
    /** The indexes of the groups that are sent again, and the groups that are sent. */
    let again: readonly number[] | undefined;
    let sent = groups;
    for (let number = 1; ; number++) {
      let answers: Result<Taken>[];
      try {
        if (deadline?.signal.aborted) throw deadline.error(protocol.url, "notExecuted");
        const init = protocol.request(sent, options, deadline?.timeLeftMs());
        if (deadline !== undefined) init.signal = deadline.signal;
        let answered: Response;
        let bytes: ArrayBuffer;
        try {
          answered = await (connection.fetch ?? fetch)(protocol.url, init);
          bytes = protocol.leaves?.(answered) ? new ArrayBuffer(0) : await answered.arrayBuffer();
        } catch (cause) {
          throw deadline?.signal.aborted ? deadline.error(protocol.url, "unknown") : networkError(protocol.url, cause);
        }
        const read = protocol.read(answered, new Uint8Array(bytes), sent);
        answers = read instanceof Promise ? await read : read;
      } catch (error) {
        answers = allFailed(sent, error);
      }
      results = again === undefined ? answers : withAnswers(results, again, answers);
      if (!results.some(isFailure)) break;
      again = await repeatable(connection, groups, results, options, deadline, number);
      if (again.length === 0) break;
      sent = chosen(groups, again);
    }
    deadline?.end();
    return work.take(results, subject);
  } catch (error) {
    throw await atCaller(error);
  }
}

const allFailed = (groups: readonly Group[], error: unknown): Failure[] => groups.map(() => new Failure(error));

const chosen = (groups: readonly Group[], indexes: readonly number[]): Group[] => indexes.map((index) => groups[index]);

/** The results with what was answered to the groups that were sent again. */
function withAnswers<Taken>(
  results: Result<Taken>[],
  again: readonly number[],
  answers: readonly Result<Taken>[],
): Result<Taken>[] {
  again.forEach((index, position) => {
    const { outcome } = (results[index] as Failure).error as OnetripError;
    const { error } = (results[index] = answers[position]) as Partial<Failure>;
    // What an earlier attempt may have done is not undone by how this one failed.
    if (error instanceof OnetripError && error.outcome === "notExecuted") setOutcome(error, outcome);
  });
  return results;
}

const isFailure = (result: Result<unknown>): result is Failure => result instanceof Failure;

/** Which groups failed in a way that allows to send them again, when it is time to do that. */
async function repeatable(
  { protocol, loadWasm }: Connection<unknown>,
  groups: readonly Group[],
  results: Result<unknown>[],
  options: Options,
  deadline: Deadline | undefined,
  number: number,
): Promise<number[]> {
  if (deadline?.signal.aborted) return [];
  const again: number[] = [];
  let milliseconds = 0;
  for (const [index, result] of results.entries()) {
    if (!isFailure(result)) continue;
    const { timeoutMs, maxAttempts, idempotent } = options;
    const { statements } = groups[index];
    // What is over matters for what is left alone.
    const elapsedMs = timeoutMs === undefined ? 0 : timeoutMs - (deadline?.timeLeftMs() ?? 0);
    const failed = { number, elapsedMs, timeoutMs, maxAttempts, idempotent, statements };
    const pause = await retryAfterMs(result.error, failed, loadWasm);
    if (pause === undefined) continue;
    again.push(index);
    milliseconds = Math.max(milliseconds, pause);
  }
  if (again.length > 0) await wait(milliseconds, deadline?.signal);
  if (!deadline?.signal.aborted) return again;
  for (const index of again) {
    // What became of it is what the last attempt says.
    const { error } = results[index] as Failure;
    const outcome = error instanceof OnetripError ? error.outcome : "unknown";
    results[index] = new Failure(deadline.error(protocol.url, outcome));
  }
  return [];
}
