// Requests to an endpoint of onetrip's and their answers: profile 1 of PROTOCOL.md.

import type { Endpoint } from "./endpoint.js";
import { EndpointError, NetworkError, OnetripError, ProtocolError, RefusedError, UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { Passing } from "./passing.js";
import { mediaType, named, post, type Message, type Protocol, type Result } from "./protocol.js";
import { ResponseReader, readRows } from "./response.js";
import { bodyOf } from "./statement-json.js";
import type { Group } from "./statement.js";
import type { Mapping } from "./types.js";
import { readFrames, wireMapping, type LoadWasm, type Wasm } from "./wasm.js";

/** What differs by runtime. */
export interface Runtime {
  /** The text that the runtime reads fastest: `strings` of PROTOCOL.md section 3. */
  readonly strings: "utf8" | "utf16" | "utf16-joined";
  /** The same if WebAssembly makes the blocks here, where making UTF-16 takes longer than most decoders. Default: as `strings`. */
  readonly localStrings?: "utf8" | "utf16";
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
  /** What the last statement that was alone wanted, and the header that asks for it. */
  #mapping: Mapping | undefined;
  #accepted = "";

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
    if (options.headers !== undefined) Object.assign(headers, options.headers);
    return post(headers, groups.length === 1 ? bodyOf(groups[0]) : `{"groups":[${groups.map(bodyOf).join()}]}`);
  }

  #accept(groups: readonly Group[], { decode }: Options): string {
    const { strings, loadWasm } = this.#runtime;
    if (decode === "local") {
      if (loadWasm === undefined) throw new UsageError('decode: "local" needs the WebAssembly module.');
      return FRAMES;
    }
    const { mapping } = groups[0].statements[0];
    const isAlone = groups.length === 1 && groups[0].statements.length === 1;
    // Most queries want what the one before wanted.
    if (isAlone && mapping === this.#mapping) return this.#accepted;
    const { int8Binary, timestampsText, jsonText, valuesText } = wireMapping(groups);
    const accepted =
      `${BLOCKS}; strings=${strings}${int8Binary ? "; int8=binary" : ""}${timestampsText ? "; timestamps=text" : ""}${jsonText ? "; json=text" : ""}${valuesText ? "; values=text" : ""}` +
      (loadWasm === undefined ? "" : `, ${FRAMES}; q=0.5`);
    if (isAlone) {
      this.#mapping = mapping;
      this.#accepted = accepted;
    }
    return accepted;
  }

  json(full: boolean, arrayRows: boolean): Protocol<Response> {
    return new Passing(this, full, arrayRows);
  }

  read(answered: Response, bytes: Uint8Array, groups: readonly Group[]): Result[] | Promise<Result[]> {
    // Rows in blocks show that they are some, and to ask a Response for its type takes as long as to read one.
    const rows = answered.status === 200 ? readRows(bytes, groups) : undefined;
    if (rows !== undefined) return [[rows]];
    const response = new ResponseReader(groups);
    const { loadWasm, strings, localStrings = strings === "utf8" ? strings : "utf16" } = this.#runtime;
    const type = mediaType(answered);
    try {
      if (answered.status !== 200) throw refusal(this.url, answered, bytes);
      if (type === BLOCKS) {
        response.push(bytes);
      } else if (type !== FRAMES) {
        throw new ProtocolError(
          `${this.url} answered with ${type ?? "no content type"} instead of rows. Is it an onetrip endpoint?`,
          0,
        );
      } else if (loadWasm === undefined) {
        throw new UsageError("The endpoint sent frames, which only the WebAssembly module reads.");
      } else if (this.#wasm === undefined) {
        return loadWasm().then((wasm) => {
          this.#wasm = wasm;
          return this.read(answered, bytes, groups);
        });
      } else {
        readFrames(this.#wasm, bytes, localStrings, wireMapping(groups), response);
      }
    } catch (error) {
      response.fail(error);
    }
    return named(response.finish(), answered);
  }
}

/** The error for an answer that is no result. */
function refusal(url: string, answered: Response, bytes: Uint8Array): OnetripError {
  const { status, headers } = answered;
  const seconds = Number(headers.get("retry-after") ?? NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
  let problem: Record<string, unknown> = {};
  if (mediaType(answered) === "application/problem+json") {
    try {
      problem = { ...(JSON.parse(new TextDecoder().decode(bytes)) as object) };
    } catch {
      // Not onetrip's, then.
    }
  }
  const text = (name: string): string | undefined =>
    typeof problem[name] === "string" ? problem[name].slice(0, 1000) : undefined;
  const code = text("code");
  const what = code === undefined ? "This is no onetrip endpoint: check the URL" : (text("detail") ?? code);
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
