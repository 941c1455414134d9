// Requests that queries of the same tick share.

import { EndpointError } from "./errors.js";
import type { Options } from "./options.js";
import { Failure, type Result } from "./protocol.js";
import { request, type Connection, type Work } from "./request.js";
import type { Answer } from "./response.js";
import type { Group } from "./statement.js";

/** A request holds so many groups at most, and about so many characters: endpoints limit bodies, to 1 MiB or so. */
const GROUPS_LIMIT = 100;
const CHARACTERS_LIMIT = 1 << 18;

/** The options that hold for a request; others are a statement's own. */
const OF_REQUESTS = ["signal", "timeoutMs", "headers", "decode", "idempotent", "maxAttempts"] as const;

/** The requests of one connection that wait for the end of the tick. */
export class SharedRequests {
  readonly #connection: Connection;
  #open: SharedRequest[] = [];
  #tick: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Sends `group` with the others of this tick whose options allow it. */
  async add(group: Group, options: Options): Promise<readonly [Result]> {
    this.#tick ??= this.#end();
    const characters = charactersOf(group);
    let shared = this.#open.find((candidate) => candidate.takes(characters, options));
    if (shared === undefined) this.#open.push((shared = new SharedRequest(options, this.#connection, this.#tick)));
    const index = shared.groups.push(group) - 1;
    shared.characters += characters;
    return [(await shared.results)[index]];
  }

  /** A transaction starts when it is made, the queries beside it in the microtasks behind: hence one more of these. */
  async #end(): Promise<void> {
    await undefined;
    await undefined;
    this.#open = [];
    this.#tick = undefined;
  }
}

/** One of them. */
class SharedRequest {
  readonly groups: Group[] = [];
  characters = 0;
  readonly results: Promise<readonly Result[]>;

  constructor(
    readonly options: Options,
    connection: Connection,
    tick: Promise<void>,
  ) {
    this.results = tick.then(() => send(connection, this.groups, options));
  }

  /** Whether one more group fits in. */
  takes(characters: number, options: Options): boolean {
    return (
      this.groups.length < GROUPS_LIMIT &&
      this.characters + characters <= CHARACTERS_LIMIT &&
      OF_REQUESTS.every((name) => this.options[name] === options[name])
    );
  }
}

async function send(connection: Connection, groups: readonly Group[], options: Options): Promise<readonly Result[]> {
  const results = await request(connection, AS_THEY_ARE, groups, options);
  if (groups.length === 1 || !results.every(isRefusedAsWhole)) return results;
  // Nothing was executed, and whose fault it was the endpoint does not say: each finds out by itself.
  return (await Promise.all(groups.map((group) => request(connection, AS_THEY_ARE, [group], options)))).flat();
}

const AS_THEY_ARE: Work<readonly Group[], Answer, readonly Result[]> = {
  groups(groups) {
    return groups;
  },
  take(results) {
    return results;
  },
};

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
