// When a request is given up: the caller's signal and the time limit as one.

import type { Options } from "./options.js";

/** The end of one query, all its attempts together. */
export class Deadline {
  readonly signal: AbortSignal | undefined;
  timedOut = false;
  readonly #given: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #forward: (() => void) | undefined;

  constructor({ signal, timeoutMs }: Options) {
    this.#given = signal;
    if (timeoutMs === undefined) {
      this.signal = signal;
      return;
    }
    const controller = new AbortController();
    this.signal = controller.signal;
    this.#timer = setTimeout(() => {
      this.timedOut = true;
      controller.abort();
    }, timeoutMs);
    if (signal !== undefined) {
      this.#forward = () => controller.abort(signal.reason);
      if (signal.aborted) this.#forward();
      else signal.addEventListener("abort", this.#forward);
    }
  }

  /** Throws the reason of the caller's signal if it was raised, an AbortError if the time is over. */
  check(): void {
    this.#given?.throwIfAborted();
    this.signal?.throwIfAborted();
  }

  /** Waits, unless it is cancelled first. */
  async wait(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.signal?.addEventListener("abort", done);
    });
    this.check();
  }

  end(): void {
    clearTimeout(this.#timer);
    if (this.#forward !== undefined) this.#given?.removeEventListener("abort", this.#forward);
  }
}
