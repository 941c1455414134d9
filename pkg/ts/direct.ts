// A query alone and without a deadline, sent and read by the shortest way. Most queries are, and where one gets a row or
// two, most of its time goes into what requests of many statements need.
//
// What comes that is not rows goes the long way (request.ts), which decides what it means and whether it is sent again.

import type { Options } from "./options.js";
import { statementJson, stringJson } from "./pipeline.js";
import { post, type Message } from "./protocol.js";
import { partsOf, statementOf, type LazyQuery, type Sender, type Source } from "./query.js";
import { request, type Connection } from "./request.js";
import { readRows } from "./response.js";
import { full } from "./results.js";
import { readRow } from "./row.js";
import { ConnectionSender, ONE } from "./sender.js";
import { atCaller } from "./stack.js";
import type { Group, Statement } from "./statement.js";
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
    try {
      const { fetch: given, protocol } = this.#connection;
      const parts = partsOf(query);
      const { options, arrayRows, form } = parts.wanted;
      let body = plainBody(parts);
      let statement: Statement | undefined;
      if (body === undefined) {
        statement = statementOf(query);
        body = statementJson(statement);
      }
      if (options !== this.#options) {
        this.#headers = protocol.request(groupsOf(query, statement), options, undefined).headers;
        this.#options = options;
      }
      let answered: Response;
      let bytes: ArrayBuffer;
      try {
        answered = await (given ?? fetch)(protocol.url, post({ ...this.#headers }, body));
        bytes = await answered.arrayBuffer();
      } catch (cause) {
        return await this.#further(query, groupsOf(query, statement), () => Promise.reject(cause as Error));
      }
      if (answered.status === 200) {
        const row = readRow(bytes, options, arrayRows);
        if (row !== undefined) return form(row);
        const rows = readRows(new Uint8Array(bytes), groupsOf(query, statement));
        if (rows !== undefined) return form(rows);
      }
      const { status, headers } = answered;
      const same = { status, headers, arrayBuffer: () => Promise.resolve(bytes) } as Response;
      return await this.#further(query, groupsOf(query, statement), () => Promise.resolve(same));
    } catch (error) {
      throw atCaller(error);
    }
  }

  /** The long way, on which the first attempt brings what came by the short one. */
  #further(query: LazyQuery<unknown>, groups: readonly Group[], first: () => Promise<Response>): Promise<unknown> {
    const connection = this.#connection;
    let isFirst = true;
    const next: Fetch = (url, init) => {
      if (!isFirst) return (connection.fetch ?? fetch)(url, init);
      isFirst = false;
      return first();
    };
    const { options } = partsOf(query).wanted;
    return request({ ...connection, fetch: next }, { groups: () => groups, take: ONE.take }, query, options);
  }
}

/** The query as the one group of a request. */
const groupsOf = (query: LazyQuery<unknown>, statement = statementOf(query)): readonly [Group] => [
  { statements: [statement], mode: undefined },
];

/** How the JSON of statements begins, by their text or the pieces of their template. */
const heads = new Map<string | readonly string[], string>();
const HEADS_KEPT = 200;
const HEAD_LIMIT = 10_000;
/** The statement that was sent last, and its head: a program sends few statements often. */
let latest: string | readonly string[] = "";
let head = '{"sql":"","params":[';

/** The body for a statement without fragments whose values need no encoder: what statementJson would make of it. */
function plainBody(source: Source): string | undefined {
  const isText = "text" in source;
  const values = isText ? source.params : source.values;
  if (values.length > VALUES_LIMIT) return undefined;
  let list = "";
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    let json: string;
    if (typeof value === "string") json = stringJson(value);
    else if (typeof value === "number" || typeof value === "boolean") json = `"${Object.is(value, -0) ? "-0" : value}"`;
    else if (value === null) json = "null";
    else return undefined;
    list = index === 0 ? json : `${list},${json}`;
  }
  const statement = isText ? source.text : source.texts;
  if (statement !== latest) {
    // The pieces of a template never change, unless a compiler made them.
    if (isText ? source.text.length > HEAD_LIMIT : !Object.isFrozen(statement)) return undefined;
    let known = heads.get(statement);
    if (known === undefined) {
      known = headOf(typeof statement === "string" ? statement : numbered(statement));
      if (heads.size === HEADS_KEPT) heads.clear();
      heads.set(statement, known);
    }
    latest = statement;
    head = known;
  }
  return `${head}${list}]}`;
}

/** Far fewer than PostgreSQL takes. */
const VALUES_LIMIT = 1000;

function headOf(text: string): string {
  return `{"sql":${stringJson(text)},"params":[`;
}

const numbered = (pieces: readonly string[]): string =>
  pieces.reduce((text, piece, index) => `${text}$${index}${piece}`);
