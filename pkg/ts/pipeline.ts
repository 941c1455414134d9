// Requests to an endpoint of onetrip's and their answers: profile 1 of PROTOCOL.md.

import type { Endpoint } from "./endpoint.js";
import { EndpointError, NetworkError, OnetripError, ProtocolError, RefusedError, UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { Passing } from "./passing.js";
import { Failure, type Message, type Protocol, type Result } from "./protocol.js";
import { ResponseReader } from "./response.js";
import type { Group, Statement } from "./statement.js";
import type { TransactionMode } from "./types.js";
import { readFrames, wireMapping, type LoadWasm, type Wasm } from "./wasm.js";

/** What differs by runtime. */
export interface Runtime {
  /** What the runtime's TextDecoder reads fastest, for text that is not ASCII. */
  readonly strings: "utf8" | "utf16";
  /** Loads the WebAssembly module; without it there is no `decode: "local"` and nothing is sent twice. */
  readonly loadWasm: LoadWasm | undefined;
}

const BLOCKS = "application/vnd.onetrip.blocks";
const FRAMES = "application/vnd.onetrip.pgwire";

/** The protocol of pipelines, for one database. */
export class Pipelines implements Protocol {
  readonly url: string;
  readonly manyGroups = true;
  readonly #authorization: string;
  readonly #runtime: Runtime;
  /** The module, once it was needed. */
  #wasm: Wasm | undefined;
  /** The headers that were needed so far, by what they ask for. */
  readonly #accepts: string[] = [];

  constructor({ url, authorization }: Endpoint, runtime: Runtime) {
    this.url = url;
    this.#authorization = authorization;
    this.#runtime = runtime;
  }

  request(groups: readonly Group[], options: Options, timeLeftMs: number | undefined): Message {
    const headers: Record<string, string> = {
      authorization: this.#authorization,
      "content-type": "application/json",
      accept: this.#accept(groups, options),
    };
    if (timeLeftMs !== undefined) headers["onetrip-deadline"] = String(timeLeftMs);
    for (const name in options.headers) headers[name] = options.headers[name];
    return { headers, body: groups.length === 1 ? bodyOf(groups[0]) : `{"groups":[${groups.map(bodyOf).join()}]}` };
  }

  #accept(groups: readonly Group[], { decode }: Options): string {
    const { strings, loadWasm } = this.#runtime;
    if (decode === "local") {
      if (loadWasm === undefined) throw new UsageError('decode: "local" needs the WebAssembly module.');
      return FRAMES;
    }
    const { int8Binary, timestampsText, jsonText, valuesText } = wireMapping(groups);
    const which = (int8Binary ? 1 : 0) + (timestampsText ? 2 : 0) + (jsonText ? 4 : 0) + (valuesText ? 8 : 0);
    return (this.#accepts[which] ??=
      `${BLOCKS}; strings=${strings}${int8Binary ? "; int8=binary" : ""}${timestampsText ? "; timestamps=text" : ""}${jsonText ? "; json=text" : ""}${valuesText ? "; values=text" : ""}` +
      (loadWasm === undefined ? "" : `, ${FRAMES}; q=0.5`));
  }

  json(full: boolean, arrayRows: boolean): Protocol<Response> {
    return new Passing(this, full, arrayRows);
  }

  read(answered: Response, bytes: Uint8Array, groups: readonly Group[]): Result[] | Promise<Result[]> {
    const response = new ResponseReader(groups);
    const type = answered.headers.get("content-type");
    const wasm = type === FRAMES ? this.#wasm : undefined;
    if (answered.status !== 200 || !(type === BLOCKS || wasm !== undefined))
      return this.#readOther(answered, bytes, groups, response);
    // Nothing is awaited where the answer is what it is as a rule.
    try {
      if (wasm !== undefined) readFrames(wasm, bytes, this.#runtime.strings, wireMapping(groups), response);
      else response.push(bytes);
    } catch (error) {
      response.fail(error);
    }
    return named(response.finish(), answered);
  }

  async #readOther(
    answered: Response,
    bytes: Uint8Array,
    groups: readonly Group[],
    response: ResponseReader,
  ): Promise<Result[]> {
    try {
      if (answered.status !== 200) throw refusal(this.url, answered, bytes);
      const type = answered.headers.get("content-type")?.split(";", 1)[0].trim();
      if (type === BLOCKS) {
        response.push(bytes);
      } else if (type === FRAMES) {
        const { loadWasm, strings } = this.#runtime;
        if (loadWasm === undefined)
          throw new UsageError(
            "The endpoint sent PostgreSQL's frames, and without its WebAssembly module onetrip cannot read them.",
          );
        this.#wasm = await loadWasm();
        readFrames(this.#wasm, bytes, strings, wireMapping(groups), response);
      } else {
        throw new ProtocolError(
          `${this.url} answered with ${type ?? "no content type"} instead of rows. Is it an onetrip endpoint?`,
          0,
        );
      }
    } catch (error) {
      response.fail(error);
    }
    return named(response.finish(), answered);
  }
}

/** The results; errors among them with the request's name in the endpoint's log. */
function named(results: Result[], { headers }: Response): Result[] {
  for (const result of results) {
    if (!(result instanceof Failure && result.error instanceof OnetripError)) continue;
    const id = headers.get("onetrip-request-id");
    if (id !== null) result.error.requestId = id;
  }
  return results;
}

/** A group as JSON, by hand: JSON.stringify of an object takes four times as long. */
function bodyOf({ statements, mode }: Group): string {
  if (statements.length === 1 && mode === undefined) return statementJson(statements[0]);
  const list = statements.map(statementJson).join();
  // BEGIN and COMMIT travel in the same flight; where a statement fails, the endpoint rolls back.
  return mode === undefined ? `{"batch":[${list}]}` : `{"batch":[{"sql":"${beginOf(mode)}"},${list},{"sql":"commit"}]}`;
}

function statementJson({ text, params, types }: Statement): string {
  let list = "";
  for (let index = 0; index < params.length; index++) {
    const param = params[index];
    list += (index > 0 ? "," : "") + (param === null ? "null" : stringJson(param));
  }
  const declared = types === undefined ? "" : `,"types":[${types.join()}]`;
  return `{"sql":${stringJson(text)},"params":[${list}]${declared}}`;
}

function stringJson(text: string): string {
  // Printable ASCII without " and \\ stands for itself.
  return /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

function beginOf({ isolationLevel, readOnly, deferrable }: TransactionMode): string {
  let text = "begin";
  if (isolationLevel !== undefined) text += ` isolation level ${isolationLevel}`;
  if (readOnly !== undefined) text += readOnly ? " read only" : " read write";
  if (deferrable !== undefined) text += deferrable ? " deferrable" : " not deferrable";
  return text;
}

/** The error for an answer that is no result. */
function refusal(url: string, { status, headers }: Response, bytes: Uint8Array): OnetripError {
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
  // A 5xx without a code is a proxy's, which does not know what became of the request.
  const isUnknown = code === undefined ? status >= 500 : OUTCOME_UNKNOWN.includes(code);
  const message = `${url} answered ${status}: ${what}`;
  const error = new (isUnknown ? EndpointError : RefusedError)(
    message,
    status,
    code,
    text("sqlstate"),
    problem["retryable"] === true,
    retryAfter,
  );
  // The endpoint was told `timeoutMs`, and may notice first that it is over; it knows more than the clock here does.
  return code === "deadline_in_queue" || code === "deadline_exceeded"
    ? new NetworkError(message, url, true, { outcome: error.outcome, cause: error })
    : error;
}

const OUTCOME_UNKNOWN = ["connection_lost", "deadline_exceeded", "internal"];
