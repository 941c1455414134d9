// The JSON that a request asks by: PROTOCOL.md section 1.

import { PARAMETERS_LIMIT, type Source } from "./query.js";
import type { Group, Statement } from "./statement.js";
import type { TransactionMode } from "./types.js";

/** A group as JSON, by hand: JSON.stringify of an object takes four times as long. */
export function bodyOf({ statements, mode }: Group): string {
  if (statements.length === 1 && mode === undefined) return statementJson(statements[0]);
  const list = statements.map(statementJson).join();
  // BEGIN and COMMIT travel in the same flight; where a statement fails, the endpoint rolls back.
  return mode === undefined ? `{"batch":[${list}]}` : `{"batch":[{"sql":"${beginOf(mode)}"},${list},{"sql":"commit"}]}`;
}

function statementJson({ text, params, types }: Statement): string {
  // A program sends few statements often.
  if (text !== latest.text) latest = { text, head: `{"sql":${stringJson(text)},"params":[` };
  let json = latest.head;
  for (let index = 0; index < params.length; index++) {
    const param = params[index];
    if (index > 0) json += ",";
    json += param === null ? "null" : stringJson(param);
  }
  return json + (types === undefined ? "]}" : `],"types":${JSON.stringify(types)}}`);
}

/** The statement that was sent last, and how its JSON begins. */
let latest = { text: "", head: '{"sql":"","params":[' };

function stringJson(text: string): string {
  // In a short text it is soon seen that nothing in it has to be escaped.
  if (text.length > 30) return JSON.stringify(text);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return JSON.stringify(text);
  }
  return `"${text}"`;
}

function beginOf({ isolationLevel, readOnly, deferrable }: TransactionMode): string {
  let text = "begin";
  if (isolationLevel !== undefined) text += ` isolation level ${isolationLevel}`;
  if (readOnly !== undefined) text += readOnly ? " read only" : " read write";
  if (deferrable !== undefined) text += deferrable ? " deferrable" : " not deferrable";
  return text;
}

/**
 * What bodyOf makes of a statement alone, from what it is written as: undefined if that holds a fragment, or a value that
 * has to be encoded.
 */
export function plainBody(source: Source): string | undefined {
  const isText = "text" in source;
  const values = isText ? source.params : source.values;
  if (values.length > PARAMETERS_LIMIT) return undefined;
  if (isText) {
    if (source.text !== latest.text) latest = { text: source.text, head: headOf(source.text) };
  } else if (
    values.length !== source.texts.length - 1 ||
    (source.texts !== latestPieces && !takePieces(source.texts))
  ) {
    return undefined;
  }
  let list = "";
  for (let index = 0; index < values.length; index++) {
    // Read once: what it is and what is written must be the same, whatever gives it.
    const value = values[index];
    let json: string;
    if (typeof value === "string") json = stringJson(value);
    else if (typeof value === "number" || typeof value === "boolean") json = `"${Object.is(value, -0) ? "-0" : value}"`;
    else if (value === null) json = "null";
    else return undefined;
    list = index === 0 ? json : `${list},${json}`;
  }
  return `${isText ? latest.head : headOfLatest}${list}]}`;
}

const headOf = (text: string): string => `{"sql":${stringJson(text)},"params":[`;

/** The heads of templates, by their pieces: a list for each place in a program. */
const heads = new WeakMap<readonly string[], string>();
let latestPieces: readonly string[] | undefined;
let headOfLatest = "";

/** Makes these the latest pieces; false if they cannot be known again. */
function takePieces(pieces: readonly string[]): boolean {
  let head = heads.get(pieces);
  if (head === undefined) {
    // What is not frozen could be other text the next time. Compilers to old JavaScript make such pieces.
    if (!Object.isFrozen(pieces) || pieces.length === 0) return false;
    head = headOf(numbered(pieces));
    heads.set(pieces, head);
  }
  latestPieces = pieces;
  headOfLatest = head;
  return true;
}

/** The text of a template whose values are all parameters. */
export const numbered = (pieces: readonly string[]): string =>
  pieces.reduce((text, piece, index) => `${text}$${index}${piece}`);
