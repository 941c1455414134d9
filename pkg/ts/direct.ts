// A query alone and without a deadline, sent by the shortest way. Most queries are, and where one gets a row, most of its time
// would go into what requests of many statements need.
//
// A failure goes the long way (request.ts) on, as what the first attempt came to: there it is decided whether it is sent
// again.

import { networkError } from "./network.js";
import type { Options } from "./options.js";
import { Failure, post, type Message, type Protocol, type Result } from "./protocol.js";
import { partsOf, statementOf, type LazyQuery, type Parts, type Sender } from "./query.js";
import { request, type Connection } from "./request.js";
import { full } from "./results.js";
import { readRow } from "./row.js";
import { ConnectionSender, ONE } from "./sender.js";
import { atCaller } from "./stack.js";
import { bodyOf, numbered, plainBody } from "./statement-json.js";
import type { Group } from "./statement.js";
import type { Fetch, TransactionMode } from "./types.js";

/** Sends the queries of a connection to an endpoint that makes column blocks. */
export class DirectSender implements Sender {
  readonly #connection: Connection;
  readonly #general: ConnectionSender;
  /** The options of the last query that went directly, and the headers of its request. */
  #options: Options | undefined;
  #headers: Message["headers"] = {};

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#general = new ConnectionSender(connection);
  }

  one(query: LazyQuery<unknown>): Promise<unknown> {
    const { options, form } = partsOf(query).wanted;
    return options.signal === undefined &&
      options.timeoutMs === undefined &&
      options.decode === "endpoint" &&
      !options.shareRequests &&
      form !== full
      ? this.#one(query)
      : this.#general.one(query);
  }

  transaction(
    queries: readonly LazyQuery<unknown>[],
    options: Options,
    mode: TransactionMode | undefined,
  ): Promise<unknown[]> {
    return this.#general.transaction(queries, options, mode);
  }

  response(query: LazyQuery<unknown>): Promise<Response> {
    return this.#general.response(query);
  }

  async #one(query: LazyQuery<unknown>): Promise<unknown> {
    let groups: readonly [Group] | undefined;
    let body: string | undefined;
    let failure: Failure | undefined;
    try {
      const { fetch: given, protocol } = this.#connection;
      const parts = partsOf(query);
      const { options, arrayRows, form } = parts.wanted;
      body = plainBody(parts);
      if (body === undefined) {
        groups = [{ statements: [statementOf(query)], mode: undefined }];
        body = bodyOf(groups[0]);
      }
      const message = post({ ...this.#headersFor(parts) }, body);
      let answered!: Response;
      let bytes!: ArrayBuffer;
      try {
        answered = await (given ?? fetch)(protocol.url, message);
        bytes = await answered.arrayBuffer();
      } catch (cause) {
        failure = new Failure(networkError(protocol.url, cause));
      }
      if (failure === undefined) {
        const row = answered.status === 200 ? readRow(bytes, options, arrayRows) : undefined;
        if (row !== undefined) return form(row);
        const read = protocol.read(answered, new Uint8Array(bytes), (groups ??= sentAs(parts)));
        const [result] = read instanceof Promise ? await read : read;
        if (!(result instanceof Failure)) return form(result[0]);
        failure = result;
      }
    } catch (error) {
      throw await atCaller(error);
    }
    // Not awaited: this would be a frame of the stack that its error shows.
    return this.#further(query, groups ?? sentAs(partsOf(query)), body, failure);
  }

  /** The headers of a request with this query's options. */
  #headersFor(parts: Parts): Message["headers"] {
    const { options } = parts.wanted;
    if (options !== this.#options) {
      this.#headers = this.#connection.protocol.request(sentAs(parts), options, undefined).headers;
      this.#options = options;
    }
    return this.#headers;
  }

  /** The long way, on which the first attempt has come to `failure`, and each further one sends the same. */
  #further(query: LazyQuery<unknown>, groups: readonly Group[], body: string, failure: Failure): Promise<unknown> {
    const { fetch: given, protocol, loadWasm } = this.#connection;
    const parts = partsOf(query);
    let first: Result[] | undefined = [failure];
    const again: Protocol = {
      url: protocol.url,
      manyGroups: false,
      request: () => post({ ...this.#headersFor(parts) }, body),
      leaves: () => first !== undefined,
      read(answered, bytes, sent) {
        const results = first ?? protocol.read(answered, bytes, sent);
        first = undefined;
        return results;
      },
    };
    const next: Fetch = async (url, init) =>
      first === undefined ? (given ?? fetch)(url, init) : (undefined as unknown as Response);
    const work = { groups: () => groups, take: ONE.take };
    return request({ protocol: again, fetch: next, loadWasm }, work, query, parts.wanted.options);
  }
}

/** What a plain body was sent for, as far as an answer is read by it: that the parameters are not needed any more. */
function sentAs(parts: Parts): readonly [Group] {
  const { options: mapping, arrayRows } = parts.wanted;
  const text = "text" in parts ? parts.text : numbered(parts.texts);
  return [
    { statements: [{ text, params: [], types: undefined, mapping, arrayRows, commandTag: false }], mode: undefined },
  ];
}
