// `connect` and what it returns: queries become requests, answers become results.

import { parseEndpoint, type Endpoint } from "./endpoint.js";
import { EndpointError, NetworkError, OnetripError, ProtocolError, UsageError } from "./errors.js";
import { DEFAULTS, merge, type Options } from "./options.js";
import { jsonValue, nameOf, quotedIdentifier } from "./parameters.js";
import { LazyQuery, compose, isSent, join, partsOf, type Send, type Wanted } from "./query.js";
import { ResponseReader, type Answer, type Statement } from "./response.js";
import { retryAfterMs } from "./retry.js";
import type { ConnectOptions, Fetch, Query, QueryOptions, RequestOptions, Sql, SqlValue } from "./types.js";
import { readFrames, wireMapping, type LoadWasm, type WireMapping } from "./wasm.js";

/** What differs by runtime. */
export interface Runtime {
  /** What the runtime's TextDecoder reads fastest, for text that is not ASCII. */
  readonly strings: "utf8" | "utf16";
  /** Loads the WebAssembly module; without it there is no `decode: "local"` and nothing is sent twice. */
  readonly loadWasm: LoadWasm | undefined;
}

/** Connects to a database: `connect("https://role:password@endpoint.example/database")`. */
export interface Connect {
  (url: string | URL, options?: ConnectOptions): Sql;
  (options: ConnectOptions & { readonly url: string | URL }): Sql;
}

/** Makes the `connect` of a runtime. */
export function connectIn(runtime: Runtime): Connect {
  return function connect(first: string | URL | ConnectOptions, second?: ConnectOptions): Sql {
    const given = typeof first === "object" && !(first instanceof URL) ? first : { ...second, url: first };
    const { url, role, password, fetch, ...options } = given ?? {};
    if (fetch !== undefined && typeof fetch !== "function")
      throw new UsageError('The option "fetch" must be a function.');
    return makeSql(
      { runtime, endpoint: parseEndpoint(url as string | URL, { role, password }), fetch },
      merge(DEFAULTS, options),
    );
  };
}

interface Connection {
  readonly runtime: Runtime;
  readonly endpoint: Endpoint;
  readonly fetch: Fetch | undefined;
}

function makeSql(connection: Connection, defaults: Options, sender?: Send): Sql {
  // One function for all that is derived by `with`: it tells that queries belong to the same database.
  const send: Send = sender ?? ((queries, options) => run(connection, queries, options));
  const wanted: Wanted = { options: defaults, arrayRows: false, fullResults: false };

  function sql(texts: unknown, ...values: unknown[]): LazyQuery<never> {
    if (!Array.isArray(texts) || !("raw" in texts)) {
      throw new UsageError(
        "Write sql`select …` as a template, or use sql.query(text, params): called like a function it could not tell values from text.",
      );
    }
    if (texts.includes(undefined))
      throw new UsageError("The template holds a malformed escape sequence: write \\\\ for a backslash.");
    return new LazyQuery({ send, source: { texts: texts as string[], values }, wanted });
  }

  const members: Omit<Sql, never> = {
    query(text: string, params: readonly SqlValue[] = [], options?: QueryOptions): LazyQuery<never> {
      if (typeof text !== "string")
        throw new UsageError(`sql.query needs the statement as a string, not ${nameOf(text)}.`);
      if (!Array.isArray(params))
        throw new UsageError(`sql.query needs the parameters as an array, not ${nameOf(params)}.`);
      if (options === undefined) return new LazyQuery({ send, source: { text, params }, wanted });
      const { arrayRows = false, fullResults = false, ...rest } = options;
      return new LazyQuery({
        send,
        source: { text, params },
        wanted: { options: merge(defaults, rest), arrayRows, fullResults },
      });
    },

    transaction(queries: readonly Query<unknown>[], options?: RequestOptions): Promise<never> {
      const merged = merge(defaults, options);
      const list = transactionOf(queries, send);
      const results = list.length === 0 ? Promise.resolve([]) : send(list, merged);
      list.forEach((query, index) => join(query, results, index));
      return results as Promise<never>;
    },

    identifier: (...names) => quotedIdentifier(names),
    json: jsonValue,
    with: (options) => makeSql(connection, merge(defaults, options), send),
  };
  return Object.assign(sql, members) as unknown as Sql;
}

function transactionOf(queries: unknown, send: Send): LazyQuery<unknown>[] {
  if (!Array.isArray(queries))
    throw new UsageError("sql.transaction needs an array of queries: sql.transaction([sql`…`, sql`…`]).");
  return queries.map((query: unknown, index) => {
    if (!(query instanceof LazyQuery))
      throw new UsageError(
        `Query ${index} of the transaction is no query (it is a ${nameOf(query)}; do not await the queries).`,
      );
    if (partsOf(query).send !== send)
      throw new UsageError(`Query ${index} of the transaction belongs to another connection.`);
    if (isSent(query)) throw new UsageError(`Query ${index} of the transaction was sent already; make a new one.`);
    if (queries.indexOf(query) !== index)
      throw new UsageError(`Query ${index} of the transaction is there twice; make a new one.`);
    return query;
  });
}

/** One request: composed once, sent as often as the policy allows. */
async function run(
  connection: Connection,
  queries: readonly LazyQuery<unknown>[],
  options: Options,
): Promise<unknown[]> {
  const deadline = new Deadline(options);
  try {
    const parts = queries.map(partsOf);
    const composed = parts.map(compose);
    const statements = composed.map(({ text }, index): Statement => {
      const { options: mapping, arrayRows, fullResults } = parts[index].wanted;
      return { text, mapping, arrayRows, commandTag: fullResults };
    });
    const batch = composed.map(({ text, params }) => ({ sql: text, params }));
    const body = JSON.stringify(batch.length === 1 ? batch[0] : { batch });
    const started = Date.now();
    for (let number = 1; ; number++) {
      try {
        const answers = await attempt(connection, body, statements, options, deadline);
        return answers.map((answer, index) => result(answer, parts[index].wanted.fullResults));
      } catch (error) {
        deadline.check();
        const { timeoutMs, maxAttempts, idempotent } = options;
        const failed = { number, elapsedMs: Date.now() - started, timeoutMs, maxAttempts, idempotent, statements };
        const wait = await retryAfterMs(error, failed, connection.runtime.loadWasm);
        if (wait === undefined) throw error;
        await deadline.wait(wait);
      }
    }
  } catch (error) {
    const shown = deadline.timedOut ? timeoutError(connection, options) : error;
    // The code that awaits the query is what the stack should show. Engines keep track of it (async stack traces), so
    // that it costs nothing to queries that succeed; the first frame is this one.
    const [, ...frames] = (new Error().stack ?? "")
      .split("\n")
      .filter((line) => /^\s+at (?!process\.processTicks)|@/.test(line));
    if (shown instanceof OnetripError && frames.length > 0)
      shown.stack = [`${shown.name}: ${shown.message}`, ...frames].join("\n");
    throw shown;
  } finally {
    deadline.end();
  }
}

async function attempt(
  connection: Connection,
  body: string,
  statements: readonly Statement[],
  options: Options,
  deadline: Deadline,
): Promise<Answer[]> {
  const { runtime, endpoint } = connection;
  const mapping = wireMapping(statements.map((statement) => statement.mapping as Options));
  const accepted = accept(mapping, runtime, options);
  let answered: Response;
  let bytes: Uint8Array;
  try {
    const headers = { authorization: endpoint.authorization, "content-type": "application/json", accept: accepted };
    // Credentials follow no redirect.
    const request: RequestInit = {
      method: "POST",
      headers: Object.assign(headers, options.headers),
      body,
      redirect: "manual",
    };
    if (deadline.signal !== undefined) request.signal = deadline.signal;
    answered = await (connection.fetch ?? fetch)(endpoint.url, request);
    bytes = new Uint8Array(await answered.arrayBuffer());
  } catch (cause) {
    deadline.check();
    throw new NetworkError(`No answer from ${endpoint.url}: ${causeOf(cause)}.`, endpoint.url, false, cause);
  }
  try {
    if (answered.status !== 200) throw endpointError(endpoint, answered, bytes);
    const response = new ResponseReader(statements);
    const given = answered.headers.get("content-type");
    const type = given === BLOCKS ? given : given?.split(";", 1)[0].trim();
    if (type === BLOCKS) {
      response.push(bytes);
    } else if (type === FRAMES) {
      if (runtime.loadWasm === undefined)
        throw new UsageError(
          "The endpoint sent PostgreSQL's frames, and without its WebAssembly module onetrip cannot read them.",
        );
      readFrames(await runtime.loadWasm(), bytes, runtime.strings, mapping, response);
    } else {
      throw new ProtocolError(
        `${endpoint.url} answered with ${type ?? "no content type"} instead of rows. Is it an onetrip endpoint?`,
        0,
      );
    }
    return response.finish();
  } catch (error) {
    const id = answered.headers.get("onetrip-request-id");
    if (error instanceof OnetripError && id !== null) error.requestId = id;
    throw error;
  }
}

const BLOCKS = "application/vnd.onetrip.blocks";
const FRAMES = "application/vnd.onetrip.pgwire";

function accept(
  { int8Binary, timestampsText, jsonText }: WireMapping,
  { strings, loadWasm }: Runtime,
  { decode }: Options,
): string {
  if (decode === "local") {
    if (loadWasm === undefined) throw new UsageError('decode: "local" needs the WebAssembly module.');
    return FRAMES;
  }
  const blocks = `${BLOCKS}; strings=${strings}${int8Binary ? "; int8=binary" : ""}${timestampsText ? "; timestamps=text" : ""}${jsonText ? "; json=text" : ""}`;
  return loadWasm === undefined ? blocks : `${blocks}, ${FRAMES}; q=0.5`;
}

function result({ rows, fields, tag }: Answer, full: boolean): unknown {
  if (!full) return rows;
  // `INSERT 0 5`, `UPDATE 5`, `SELECT 5`, `CREATE TABLE`.
  const count = /\d+$/.exec(tag);
  return { rows, fields, command: tag.split(" ", 1)[0], rowCount: count === null ? null : Number(count[0]) };
}

function endpointError({ url }: Endpoint, answered: Response, bytes: Uint8Array): EndpointError {
  const { status, headers } = answered;
  const seconds = Number(headers.get("retry-after") ?? NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
  let problem: Record<string, unknown> = {};
  if (headers.get("content-type")?.startsWith("application/problem+json")) {
    try {
      problem = { ...(JSON.parse(new TextDecoder().decode(bytes)) as object) };
    } catch {
      // Not onetrip's, then.
    }
  }
  const text = (name: string): string | undefined =>
    typeof problem[name] === "string" ? problem[name].slice(0, 1000) : undefined;
  const code = text("code");
  const what =
    code === undefined
      ? `This is no answer of an onetrip endpoint: check the URL`
      : (text("detail") ?? text("title") ?? code);
  const error = new EndpointError(
    `${url} answered ${status}: ${what}`,
    status,
    code,
    text("sqlstate"),
    problem["retryable"] === true,
    retryAfter,
  );
  return error;
}

/** The most telling message of a chain of causes: fetch itself says only that it failed. */
function causeOf(cause: unknown): string {
  let text = "the request failed";
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const code = (error as { code?: unknown }).code;
    text = error.message || (typeof code === "string" ? code : text);
  }
  return text.replace(/\.$/, "");
}

function timeoutError({ endpoint }: Connection, { timeoutMs }: Options): NetworkError {
  return new NetworkError(
    `No answer from ${endpoint.url} within ${timeoutMs} ms; whether the statement took effect is unknown.`,
    endpoint.url,
    true,
  );
}

/** The caller's signal and the time limit as one. */
class Deadline {
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
