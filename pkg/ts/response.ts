// The messages of an answer: which rows, which tag, which error belongs to which statement (PROTOCOL.md section 2).

import { BlockReader, shapeOf, type Shape } from "./blocks.js";
import { ProtocolError, SqlError, UsageError, type SqlErrorFields } from "./errors.js";
import { Reader } from "./reader.js";
import { Malformed } from "./values.js";
import type { Rows } from "./rows.js";
import type { Group, Statement } from "./statement.js";
import type { Field } from "./types.js";

/** The answer to one statement. */
export interface Answer {
  readonly rows: Rows;
  readonly fields: readonly Field[];
  /** The command tag, such as `INSERT 0 1`; empty for an empty statement, and if it was not wanted. */
  readonly tag: string;
}

/**
 * Reads an answer in column blocks to `statements`, which were one group. The bytes may come in pieces that each end
 * with a message: whole from the endpoint, piece by piece from WebAssembly.
 */
export class ResponseReader {
  readonly #statements: Group;
  readonly #answers: Answer[] = [];
  #shape: Shape | undefined;
  #rows: Rows = [];
  #failed: SqlError | undefined;
  /** What ReadyForQuery said; empty until it came. */
  #status = "";
  /** Length in bytes of the pieces that were read. */
  before = 0;

  constructor(statements: Group) {
    this.#statements = statements;
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
    const statements = this.#statements;
    let at = start;
    while (at < last) {
      if (this.#status !== "") reader.corrupt(at, "there are bytes behind its end");
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
          break;
        case 0x42: {
          // a block of rows
          const statement = statements[this.#answers.length];
          if (this.#shape === undefined || statement === undefined) reader.corrupt(at, "there are rows without fields");
          try {
            new BlockReader(reader, body, end, statement.mapping).rows(this.#shape, statement.arrayRows, this.#rows);
          } catch (error) {
            if (error instanceof Malformed) reader.corrupt(at, error.message);
            throw error;
          }
          break;
        }
        case 0x43: // CommandComplete
        case 0x49: {
          // EmptyQueryResponse
          const index = this.#answers.length;
          if (index === statements.length) reader.corrupt(at, "there are more results than statements");
          const command = tag === 0x43 && statements[index].commandTag ? reader.text(body, end - 1, 0) : "";
          this.#answers.push({ rows: this.#rows, fields: this.#shape?.fields ?? [], tag: command });
          this.#rows = [];
          this.#shape = undefined;
          break;
        }
        case 0x45: {
          // ErrorResponse
          const index = this.#answers.length;
          const statement = statements[index] as Statement | undefined;
          this.#failed ??= new SqlError(errorFields(reader, body, end), statement && index, statement?.text);
          break;
        }
        case 0x5a: // ReadyForQuery
          if (end !== body + 1) reader.corrupt(at, "ReadyForQuery has not one status");
          this.#status = String.fromCharCode(bytes[body]);
          break;
        case 0x47: // CopyInResponse
        case 0x48: // CopyOutResponse
        case 0x57: // CopyBothResponse
          throw this.#failed ?? new UsageError("COPY is not supported in a query: use insert or select.");
        default:
          reader.corrupt(at, "there is a message of an unknown type");
      }
      at = end;
    }
    this.before += at - start;
    if (at !== last) this.#truncated(last - at);
  }

  /**
   * The answers, one for each statement, when all pieces were pushed.
   *
   * @throws SqlError for the statement that PostgreSQL refused; ProtocolError for an answer that is cut short;
   * UsageError for a transaction that was left open
   */
  finish(): Answer[] {
    if (this.#status === "") this.#truncated(0);
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#status !== "I") {
      throw new UsageError(
        "The request left a transaction open, and the endpoint rolled it back. Use sql.transaction([…]) instead of BEGIN.",
      );
    }
    if (this.#answers.length !== this.#statements.length) {
      throw new ProtocolError(
        `The endpoint's answer has ${this.#answers.length} results to ${this.#statements.length} statements.`,
        this.before,
      );
    }
    return this.#answers;
  }

  /** A connection that PostgreSQL itself ends (FATAL) sends its reason and no ReadyForQuery: the reason says more. */
  #truncated(rest: number): never {
    const length = this.before + rest;
    throw (
      this.#failed ??
      new TruncatedError(
        `The endpoint's answer was cut short after ${length} bytes; whether the statement took effect is unknown.`,
        length,
      )
    );
  }
}

/** An answer that is right as far as it goes. */
export class TruncatedError extends ProtocolError {}

// The one-letter names of ErrorResponse's fields in PostgreSQL's manual. V is the severity that is never translated.
const NAMES: Record<string, keyof SqlErrorFields> = {
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

function errorFields(reader: Reader, start: number, end: number): SqlErrorFields {
  const fields: Record<string, string | number> = {
    severity: "ERROR",
    code: "XX000",
    message: "PostgreSQL gave no message",
  };
  let at = start;
  while (at < end && reader.bytes[at] !== 0) {
    const name = NAMES[String.fromCharCode(reader.bytes[at++])];
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
