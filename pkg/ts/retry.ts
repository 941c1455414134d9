// Whether a failed request is sent again. The decision is Rust's (src/policy.rs); here is what it needs to know.

import { EndpointError, NetworkError, SqlError, Truncated, UnreachableError } from "./errors.js";
import { isUndone } from "./statement.js";
import type { LoadWasm } from "./wasm.js";

/** How an attempt failed, in the numbers of the boundary crate. */
const OUTCOME = { notSent: 0, refused: 1, rolledBack: 2, lost: 3 };

/** A failed attempt. */
export interface Attempt {
  readonly number: number;
  readonly elapsedMs: number;
  readonly timeoutMs: number | undefined;
  readonly maxAttempts: number;
  readonly idempotent: boolean;
  /** What was sent. */
  readonly statements: readonly { readonly text: string }[];
}

/** Milliseconds to wait before the request is sent again; undefined if it is not. */
export async function retryAfterMs(
  error: unknown,
  attempt: Attempt,
  loadWasm: LoadWasm | undefined,
): Promise<number | undefined> {
  const outcome = outcomeOf(error, attempt);
  if (outcome === undefined || attempt.number >= attempt.maxAttempts || loadWasm === undefined) return undefined;
  const endpoint = error instanceof EndpointError ? error : undefined;
  let wasm;
  try {
    wasm = await loadWasm();
  } catch {
    // Then there is no policy, and the error that brought us here is the one to report.
    return undefined;
  }
  const wait = wasm.exports.retry_after_ms(
    attempt.maxAttempts,
    attempt.number,
    attempt.elapsedMs,
    attempt.timeoutMs ?? -1,
    outcome,
    endpoint?.retryable ?? false,
    endpoint?.retryAfter === undefined ? -1 : endpoint.retryAfter * 1000,
    attempt.idempotent,
    Math.random() * 0x1_0000_0000,
  );
  return wait < 0 ? undefined : wait;
}

/** What an error means for sending again; undefined if the same would only happen again. */
function outcomeOf(error: unknown, { statements }: Attempt): number | undefined {
  if (error instanceof SqlError) {
    // The server went away, and does not say whether it had committed before.
    if (error.severity !== "ERROR") return OUTCOME.lost;
    const conflict = error.code === "40001" || error.code === "40P01";
    return conflict && statements.every(({ text }) => isUndone(text)) ? OUTCOME.rolledBack : undefined;
  }
  if (error instanceof Truncated) return OUTCOME.lost;
  if (error instanceof NetworkError)
    return error.timedOut ? undefined : error instanceof UnreachableError ? OUTCOME.notSent : OUTCOME.lost;
  if (!(error instanceof EndpointError)) return undefined;
  // A 5xx without a code is a proxy's, which does not know what became of the request.
  if (error.code === "connection_lost" || (error.code === undefined && error.status >= 500)) return OUTCOME.lost;
  return error.retryable ? OUTCOME.refused : undefined;
}
