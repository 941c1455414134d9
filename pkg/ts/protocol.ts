// The seam between what a query is and what an endpoint speaks: one implementation for each kind of endpoint.

import type { Options } from "./options.js";
import type { Answer } from "./response.js";
import type { Group } from "./statement.js";

/** How an endpoint is spoken to. Holds the credentials, and no state: one object serves every request. */
export interface Protocol {
  /** Where requests go, without credentials: errors show it. */
  readonly url: string;

  /**
   * Writes a request.
   *
   * @throws UsageError for what this kind of endpoint cannot do
   */
  request(group: Group, options: Options): Message;

  /**
   * Reads an answer, whatever its status: one result for each statement.
   *
   * @throws SqlError, EndpointError, ProtocolError, UsageError
   */
  read(answered: Response, bytes: Uint8Array, group: Group, options: Options): Promise<Answer[]>;
}

/** What is sent, as often as the policy allows. */
export interface Message {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
