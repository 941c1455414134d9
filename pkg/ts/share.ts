// Requests that queries of the same tick share.

import { EndpointError } from "./errors.js";
import type { Options } from "./options.js";
import { Failure, type Result } from "./protocol.js";
import { request, type Connection } from "./request.js";
import type { Group } from "./statement.js";

/** A request holds so many groups at most, and about so many characters: endpoints limit bodies, to 1 MiB or so. */
const GROUPS_LIMIT = 100;
const CHARACTERS_LIMIT = 1 << 18;

/** The requests of one connection that wait for the end of the tick. */
export class SharedRequests {
  readonly #connection: Connection;
  readonly #open: SharedRequest[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Sends `group` with the others of this tick whose options allow it. */
  async add(group: Group, options: Options): Promise<readonly [Result]> {
    const open = this.#open;
    const characters = charactersOf(group);
    let shared = open.find((candidate) => candidate.takes(characters, options));
    if (shared === undefined) {
      if (open.length === 0) this.#sendSoon();
      shared = new SharedRequest(options);
      open.push(shared);
    }
    const index = shared.groups.push(group) - 1;
    shared.characters += characters;
    return [(await shared.results)[index]];
  }

  /** A transaction starts when it is made, the queries beside it in the microtasks behind: hence one more of these. */
  #sendSoon(): void {
    const send = (): void => this.#open.splice(0).forEach((shared) => shared.send(this.#connection));
    queueMicrotask(() => queueMicrotask(send));
  }
}

/** One of them. */
class SharedRequest {
  readonly groups: Group[] = [];
  characters = 0;
  readonly results: Promise<readonly Result[]>;
  #resolve!: (results: Promise<readonly Result[]>) => void;

  constructor(readonly options: Options) {
    this.results = new Promise((resolve) => (this.#resolve = resolve));
  }

  /** What differs by statement alone, how its values are mapped, may differ. */
  takes(characters: number, options: Options): boolean {
    const own = this.options;
    return (
      this.groups.length < GROUPS_LIMIT &&
      this.characters + characters <= CHARACTERS_LIMIT &&
      (own === options ||
        (own.signal === options.signal &&
          own.timeoutMs === options.timeoutMs &&
          own.headers === options.headers &&
          own.decode === options.decode &&
          own.idempotent === options.idempotent &&
          own.maxAttempts === options.maxAttempts))
    );
  }

  send(connection: Connection): void {
    this.#resolve(this.#results(connection));
  }

  async #results(connection: Connection): Promise<readonly Result[]> {
    const { groups, options } = this;
    const results = await request(connection, groups, options);
    if (groups.length === 1 || !results.every(isRefusedAsWhole)) return results;
    // Nothing was executed, and whose fault it was the endpoint does not say: each finds out by itself.
    const apart = await Promise.all(groups.map((group) => request(connection, [group], options)));
    return apart.flat();
  }
}

/** Whether the endpoint refused the body, which may be because of one group alone, or because it takes no groups. */
function isRefusedAsWhole(result: Result): boolean {
  const error = result instanceof Failure ? result.error : undefined;
  return error instanceof EndpointError && (error.code === "malformed_request" || error.code === "request_too_large");
}

function charactersOf({ statements }: Group): number {
  let characters = 0;
  for (const { text, params } of statements) {
    characters += text.length;
    for (const param of params) characters += param === null ? 4 : param.length;
  }
  return characters;
}
