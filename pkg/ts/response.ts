// The messages of an answer: which rows, which tag, which error belongs to which statement (PROTOCOL.md section 2).

import { BlockReader, shapeOf, type Shape } from "./blocks.js";
import {
  ProtocolError,
  SqlError,
  Truncated,
  UsageError,
  setOutcome,
  type OnetripError,
  type SqlErrorFields,
} from "./errors.js";
import { Failure, type Result } from "./protocol.js";
import { Reader } from "./reader.js";
import type { Rows } from "./rows.js";
import { duplicateError, outcomeOfFailed, type Group, type Statement } from "./statement.js";
import type { Field } from "./types.js";
import { Malformed } from "./values.js";

/** The answer to one statement. */
export interface Answer {
  readonly rows: Rows;
  readonly fields: readonly Field[];
  /** The command tag, such as `INSERT 0 1`; empty for an empty statement, and if it was not wanted. */
  readonly tag: string;
}

/**
 * The answer to one statement if it is rows and nothing else: what most queries get, read without what other answers need.
 * Undefined for every other and for one that is corrupt, which are for `ResponseReader`.
 */
export function readRows(answer: Uint8Array, groups: readonly Group[]): Answer | undefined {
  const [{ statements, mode }] = groups;
  const { mapping, arrayRows, commandTag } = statements[0];
  if (groups.length > 1 || statements.length > 1 || mode !== undefined || commandTag) return undefined;
  const reader = Reader.of(answer, 0);
  const { bytes, view, end } = reader;
  let rows: Rows | undefined;
  let shape: Shape | undefined;
  let isOver = false;
  try {
    for (let at = 0; at + 5 < end;) {
      const body = at + 5;
      const next = at + 1 + view.getUint32(at + 1);
      const tag = bytes[at];
      if (next < body || next > end || isOver !== (tag === 0x5a)) return undefined;
      if (tag === 0x46 && shape === undefined) {
        shape = shapeOf(reader, body, next);
        if (shape.duplicate !== undefined) return undefined;
      } else if (tag === 0x42 && shape !== undefined) {
        rows = new BlockReader(reader, body, next, mapping).rows(shape, arrayRows, rows);
      } else if (tag === 0x43) {
        isOver = true;
      } else if (tag === 0x5a) {
        if (shape === undefined || next !== end || next !== body + 1 || bytes[body] !== 0x49) return undefined;
        return { rows: rows ?? [], fields: shape.fields, tag: "" };
      } else if (tag !== 0x31 && tag !== 0x32) return undefined;
      at = next;
    }
  } catch {
    // Whatever it is, it happens again to who knows what to do about it.
  }
  return undefined;
}

/**
 * Reads an answer in column blocks to `groups`. The bytes may come in pieces that each end with a message: whole from the
 * endpoint, piece by piece from WebAssembly.
 */
export class ResponseReader {
  readonly #groups: readonly Group[];
  readonly #results: Result[] = [];
  /** The group that is being read, its answers so far, and how many statements of onetrip's own come before them. */
  #group!: Group;
  #answers: Answer[] = [];
  #own = 0;
  #shape: Shape | undefined;
  #rows: Rows = [];
  /** Why the group has no result; what PostgreSQL says comes before what could not be decoded. */
  #failed: OnetripError | undefined;
  #undecoded: OnetripError | undefined;
  /** Length in bytes of the pieces that were read. */
  before = 0;

  constructor(groups: readonly Group[]) {
    this.#groups = groups;
    this.#begin(groups[0]);
  }

  /**
   * Reads one piece.
   *
   * @throws ProtocolError for bytes that are no answer
   */
  push(bytes: Uint8Array): void {
    this.read(Reader.of(bytes, this.before));
  }

  /** Reads one piece that lies anywhere. */
  read(reader: Reader): void {
    const { bytes, view, start, end: last } = reader;
    let at = start;
    while (at < last) {
      if (this.#results.length === this.#groups.length) reader.corrupt(at, "there are bytes behind its end");
      const body = at + 5;
      const end = body > last ? body : at + 1 + view.getUint32(at + 1);
      if (end < body) reader.corrupt(at, "a message is shorter than its head");
      if (end > last) break;
      const tag = bytes[at];
      switch (tag) {
        case 0x31: // ParseComplete
        case 0x32: // BindComplete
        case 0x33: // CloseComplete
        case 0x6e: // NoData
        case 0x74: // ParameterDescription
        case 0x4e: // NoticeResponse
          break;
        case 0x46: // the fields
          this.#shape = shapeOf(reader, body, end);
          if (this.#shape.duplicate !== undefined) this.#checkNames(this.#shape.duplicate);
          break;
        case 0x42: // a block of rows
          this.#block(reader, at, body, end);
          break;
        case 0x43: // CommandComplete
        case 0x49: {
          // EmptyQueryResponse
          if (this.#own > 0) {
            this.#own--;
            break;
          }
          const statement = this.#group.statements[this.#answers.length] as Statement | undefined;
          // Behind the last statement comes the COMMIT of a transaction with a mode.
          if (statement === undefined && this.#group.mode === undefined)
            reader.corrupt(at, "there are more results than statements");
          const command = tag === 0x43 && statement?.commandTag ? reader.text(body, end - 1, 0) : "";
          this.#answers.push({ rows: this.#rows, fields: this.#shape?.fields ?? [], tag: command });
          this.#rows = [];
          this.#shape = undefined;
          break;
        }
        case 0x45: // ErrorResponse
          this.#failed ??= this.#sqlError(errorFields(reader, body, end));
          break;
        case 0x5a: // ReadyForQuery
          if (end !== body + 1) reader.corrupt(at, "ReadyForQuery has not one status");
          this.#end(bytes[body]);
          break;
        case 0x47: // CopyInResponse
        case 0x48: // CopyOutResponse
        case 0x57: // CopyBothResponse
          this.#failed ??= new UsageError("COPY is not supported: use insert or select.");
          setOutcome(this.#failed, "unknown");
          break;
        case 0x64: // CopyData
        case 0x63: // CopyDone
          if (this.#failed === undefined) reader.corrupt(at, "there is COPY data without COPY");
          break;
        default:
          reader.corrupt(at, "there is a message of an unknown type");
      }
      at = end;
    }
    this.before += at - start;
    if (at !== last) throw this.#cutShort(last - at);
  }

  /** A result for each group, when all pieces were pushed: those that did not come are errors that say so. */
  finish(): Result[] {
    return this.#results.length === this.#groups.length ? this.#results : this.fail(this.#cutShort(0));
  }

  /** The same when the answer cannot be read further: what came is good, and `error` is the result of the others. */
  fail(error: unknown): Result[] {
    const results = this.#results;
    // A connection that PostgreSQL itself ends (FATAL) sends its reason and no ReadyForQuery: the reason says more.
    if (results.length < this.#groups.length) results.push(new Failure(this.#failed ?? error));
    while (results.length < this.#groups.length) results.push(new Failure(error));
    return results;
  }

  #begin(group: Group): void {
    this.#group = group;
    if (group.mode !== undefined) this.#own = 1;
  }

  #checkNames(name: string): void {
    const statement = this.#group.statements[this.#answers.length] as Statement | undefined;
    if (statement !== undefined) this.#undecoded ??= duplicateError(name, statement);
  }

  #block(reader: Reader, at: number, body: number, end: number): void {
    const statement = this.#group.statements[this.#answers.length] as Statement | undefined;
    if (this.#shape === undefined || statement === undefined) reader.corrupt(at, "there are rows without fields");
    if (this.#undecoded !== undefined) return;
    try {
      const { mapping, arrayRows } = statement;
      new BlockReader(reader, body, end, mapping).rows(this.#shape, arrayRows, this.#rows);
    } catch (error) {
      if (error instanceof Malformed) reader.corrupt(at, error.message);
      if (!(error instanceof UsageError)) throw error;
      this.#undecoded = error;
    }
  }

  #sqlError(fields: SqlErrorFields): SqlError {
    const index = this.#answers.length;
    const statement = this.#own > 0 ? undefined : (this.#group.statements[index] as Statement | undefined);
    // A server that goes away does not say whether it had committed before.
    const outcome = fields.severity === "ERROR" ? outcomeOfFailed(this.#group) : "unknown";
    return new SqlError(fields, statement && index, statement?.text, outcome);
  }

  /** The end of a group. */
  #end(status: number): void {
    const { statements, mode } = this.#group;
    const answers = this.#answers;
    let failed = this.#failed;
    if (failed === undefined && status !== 0x49) {
      failed = new UsageError(
        "The request left a transaction open, and the endpoint rolled it back. Use sql.transaction([…]) instead of BEGIN.",
      );
    } else if (failed === undefined && answers.length !== statements.length + (mode === undefined ? 0 : 1)) {
      failed = new ProtocolError(
        `The endpoint's answer has ${answers.length} results to ${statements.length} statements.`,
        this.before,
      );
    } else if (failed === undefined && this.#undecoded !== undefined) {
      failed = this.#undecoded;
      setOutcome(failed, "executed");
    }
    if (mode !== undefined) answers.length = Math.min(answers.length, statements.length);
    this.#results.push(failed === undefined ? answers : new Failure(failed));
    const next = this.#groups[this.#results.length] as Group | undefined;
    if (next === undefined) return;
    this.#answers = [];
    this.#rows = [];
    this.#shape = this.#failed = this.#undecoded = undefined;
    this.#own = 0;
    this.#begin(next);
  }

  #cutShort(rest: number): Truncated {
    const length = this.before + rest;
    return new Truncated(
      `The endpoint's answer was cut short after ${length} bytes; whether the statement took effect is unknown.`,
      length,
    );
  }
}

function errorFields(reader: Reader, start: number, end: number): SqlErrorFields {
  // The one-letter names of ErrorResponse's fields in PostgreSQL's manual. V is the severity that is never translated.
  const names: Record<string, keyof SqlErrorFields> = {
    V: "severity",
    C: "code",
    M: "message",
    D: "detail",
    H: "hint",
    P: "position",
    p: "internalPosition",
    q: "internalQuery",
    W: "where",
    s: "schema",
    t: "table",
    c: "column",
    d: "dataType",
    n: "constraint",
    F: "file",
    L: "line",
    R: "routine",
  };
  const fields: Record<string, string | number> = {
    severity: "ERROR",
    code: "XX000",
    message: "PostgreSQL gave no message",
  };
  let at = start;
  while (at < end && reader.bytes[at] !== 0) {
    const name = names[String.fromCharCode(reader.bytes[at++])];
    const zero = reader.bytes.indexOf(0, at);
    if (zero < 0 || zero >= end) reader.corrupt(at, "a field of an error has no end");
    if (name !== undefined) {
      const text = reader.text(at, zero, 0);
      fields[name] = name === "position" || name === "internalPosition" || name === "line" ? Number(text) : text;
    }
    at = zero + 1;
  }
  return fields as unknown as SqlErrorFields;
}
