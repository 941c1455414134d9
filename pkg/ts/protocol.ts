// The seam between what a query is and what an endpoint speaks: one implementation for each kind of endpoint.

import { OnetripError } from "./errors.js";
import type { Options } from "./options.js";
import type { Answer } from "./response.js";
import type { Group } from "./statement.js";

/**
 * How an endpoint is spoken to, and what is made of its answers to statements. Holds the credentials, and no state: one
 * object serves every request.
 */
export interface Protocol<Taken = Answer> {
  /** Where requests go, without credentials: errors show it. */
  readonly url: string;
  /** Whether one request can hold several groups. */
  readonly manyGroups: boolean;

  /**
   * Writes a request.
   *
   * @param timeLeftMs how long the answer is waited for, if not for ever
   * @throws UsageError for what this kind of endpoint cannot do
   */
  request(groups: readonly Group[], options: Options, timeLeftMs: number | undefined): Message;

  /** Whether the body of an answer is not to be touched: `read` then gets no bytes. Without it each is read whole. */
  leaves?(answered: Response): boolean;

  /** The same protocol with answers in JSON that are handed on as they are; undefined where there is none. */
  json?(full: boolean, arrayRows: boolean): Protocol<Response>;

  /**
   * Reads an answer, whatever its status, to `groups`: a result for each.
   *
   * @throws OnetripError where it is the result of all
   */
  read(answered: Response, bytes: Uint8Array, groups: readonly Group[]): Result<Taken>[] | Promise<Result<Taken>[]>;
}

/** What is sent. */
export interface Message extends RequestInit {
  /** Names in lower case. The caller's own fetch may change them. */
  readonly headers: Record<string, string>;
}

/** A request's message. Credentials follow no redirect. */
export const post = (headers: Record<string, string>, body: string): Message => ({
  method: "POST",
  headers,
  body,
  redirect: "manual",
});

/** What became of a group: an answer for each statement, or why there is none. */
export type Result<Taken = Answer> = readonly Taken[] | Failure;

/** Why there is no answer: an OnetripError, as a rule, or the reason of the caller's signal. */
export class Failure {
  constructor(readonly error: unknown) {}
}

/** The results; errors among them with the request's name in the endpoint's log. */
export function named<Taken>(results: Result<Taken>[], { headers }: Response): Result<Taken>[] {
  for (const result of results) {
    if (!(result instanceof Failure && result.error instanceof OnetripError)) continue;
    const id = headers.get("onetrip-request-id");
    if (id !== null) result.error.requestId = id;
  }
  return results;
}

/** The media type of an answer, without its parameters. */
export function mediaType({ headers }: Response): string | undefined {
  const type = headers.get("content-type") ?? undefined;
  return type?.includes(";") ? type.split(";", 1)[0].trim() : type;
}
