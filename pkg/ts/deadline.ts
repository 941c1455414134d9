// When a request is given up: the caller's signal and the time limit as one.

import { NetworkError, type Outcome } from "./errors.js";
import type { Options } from "./options.js";

/** The end of one request, all its attempts together. */
export class Deadline {
  readonly signal: AbortSignal;
  readonly #given: AbortSignal | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #ends: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #controller: AbortController | undefined;

  /** The deadline that the options set, if they set one. */
  static of(options: Options): Deadline | undefined {
    return options.signal === undefined && options.timeoutMs === undefined ? undefined : new Deadline(options);
  }

  private constructor({ signal, timeoutMs }: Options) {
    this.#given = signal;
    this.#timeoutMs = timeoutMs;
    this.#ends = timeoutMs === undefined ? Infinity : Date.now() + timeoutMs;
    if (timeoutMs === undefined) {
      this.signal = signal as AbortSignal;
      return;
    }
    const controller = (this.#controller = new AbortController());
    this.signal = controller.signal;
    this.#timer = setTimeout(() => controller.abort(), timeoutMs);
    if (signal?.aborted) controller.abort(signal.reason);
    else if (signal !== undefined) follow(signal, controller);
  }

  /** How long the answer is waited for from now on, at least 1. */
  timeLeftMs(): number | undefined {
    return this.#timeoutMs === undefined ? undefined : Math.max(1, Math.ceil(this.#ends - Date.now()));
  }

  /** Why the request is given up: the reason of the caller's signal, or an error for the time limit. */
  error(url: string, outcome: Outcome): unknown {
    if (this.#given?.aborted) return this.#given.reason;
    const text = `No answer from ${url} within ${this.#timeoutMs} ms`;
    const effect = outcome === "notExecuted" ? "nothing was executed" : "whether the statement took effect is unknown";
    return new NetworkError(`${text}; ${effect}.`, url, true, { outcome });
  }

  end(): void {
    clearTimeout(this.#timer);
    followers.get(this.#given as AbortSignal)?.delete(this.#controller as AbortController);
  }
}

/** What a caller's signal is to end: by one listener, however many requests have it, for Node warns of more than ten. */
const followers = new WeakMap<AbortSignal, Set<AbortController>>();

function follow(signal: AbortSignal, controller: AbortController): void {
  let all = followers.get(signal);
  if (all === undefined) {
    followers.set(signal, (all = new Set()));
    signal.addEventListener("abort", () => followers.get(signal)?.forEach((one) => one.abort(signal.reason)));
  }
  all.add(controller);
}

/** Waits, unless `signal` is raised first. */
export async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    // Nobody hears of what was aborted before.
    const timer = setTimeout(done, signal?.aborted ? 0 : milliseconds);
    signal?.addEventListener("abort", done);
  });
}
