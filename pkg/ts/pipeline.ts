// Requests to an endpoint of onetrip's and their answers: profile 1 of PROTOCOL.md.

import type { Endpoint } from "./endpoint.js";
import { EndpointError, OnetripError, ProtocolError, UsageError } from "./errors.js";
import type { Options } from "./options.js";
import type { Message, Protocol } from "./protocol.js";
import { ResponseReader, type Answer } from "./response.js";
import type { Group } from "./statement.js";
import { readFrames, wireMapping, type LoadWasm, type WireMapping } from "./wasm.js";

/** What differs by runtime. */
export interface Runtime {
  /** What the runtime's TextDecoder reads fastest, for text that is not ASCII. */
  readonly strings: "utf8" | "utf16";
  /** Loads the WebAssembly module; without it there is no `decode: "local"` and nothing is sent twice. */
  readonly loadWasm: LoadWasm | undefined;
}

/** The protocol of pipelines, for one database. */
export function pipelines(endpoint: Endpoint, runtime: Runtime): Protocol {
  return {
    url: endpoint.url,
    request: (group, options) => request(endpoint, runtime, group, options),
    read: (answered, bytes, group) => read(endpoint, runtime, answered, bytes, group),
  };
}

const BLOCKS = "application/vnd.onetrip.blocks";
const FRAMES = "application/vnd.onetrip.pgwire";

function request({ authorization }: Endpoint, runtime: Runtime, group: Group, options: Options): Message {
  const accept = acceptOf(mappingOf(group), runtime, options);
  const statements = group.map(({ text, params }) => ({ sql: text, params }));
  return {
    headers: Object.assign({ authorization, "content-type": "application/json", accept }, options.headers),
    body: JSON.stringify(statements.length === 1 ? statements[0] : { batch: statements }),
  };
}

function mappingOf(group: Group): WireMapping {
  return wireMapping(group.map(({ mapping }) => mapping));
}

function acceptOf(
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

async function read(
  endpoint: Endpoint,
  { loadWasm, strings }: Runtime,
  answered: Response,
  bytes: Uint8Array,
  group: Group,
): Promise<Answer[]> {
  try {
    if (answered.status !== 200) throw endpointError(endpoint, answered, bytes);
    const response = new ResponseReader(group);
    const given = answered.headers.get("content-type");
    const type = given === BLOCKS ? given : given?.split(";", 1)[0].trim();
    if (type === BLOCKS) {
      response.push(bytes);
    } else if (type === FRAMES) {
      if (loadWasm === undefined)
        throw new UsageError(
          "The endpoint sent PostgreSQL's frames, and without its WebAssembly module onetrip cannot read them.",
        );
      readFrames(await loadWasm(), bytes, strings, mappingOf(group), response);
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
  return new EndpointError(
    `${url} answered ${status}: ${what}`,
    status,
    code,
    text("sqlstate"),
    problem["retryable"] === true,
    retryAfter,
  );
}
