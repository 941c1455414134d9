// The messages of an answer: which rows, which tag, which error belongs to which statement (PROTOCOL.md section 2).

import { readBlock, shapeOf, type Shape } from "./blocks.js";
import { ProtocolError, SqlError, UsageError, type SqlErrorFields } from "./errors.js";
import { Reader } from "./reader.js";
import { Malformed } from "./values.js";
import type { Rows } from "./rows.js";
import type { Field, Mapping } from "./types.js";

/** One statement as it was sent, and how its rows are wanted. */
export interface Statement {
  readonly text: string;
  readonly mapping: Mapping;
  readonly arrayRows: boolean;
}

/** The answer to one statement. */
export interface Answer {
  readonly rows: Rows;
  readonly fields: readonly Field[];
  /** The command tag, such as `INSERT 0 1`; empty for an empty statement. */
  readonly tag: string;
}

/**
 * Reads an answer in column blocks to `statements`, which were one group. The bytes may come in pieces that each end
 * with a message: whole from the endpoint, piece by piece from WebAssembly.
 */
export class ResponseReader {
  readonly #statements: readonly Statement[];
  readonly #answers: Answer[] = [];
  #shape: Shape | undefined;
  #rows: Rows = [];
  #failed: SqlError | undefined;
  /** What ReadyForQuery said; empty until it came. */
  #status = "";
  /** Length of the pieces before this one. */
  #before = 0;

  constructor(statements: readonly Statement[]) {
    this.#statements = statements;
  }

  /**
   * Reads one piece.
   *
   * @throws ProtocolError for bytes that are no answer
   */
  push(bytes: Uint8Array): void {
    const reader: Reader = new Reader(bytes, this.#before);
    const { view } = reader;
    const statements = this.#statements;
    let at = 0;
    while (at < bytes.length) {
      if (this.#status !== "") reader.corrupt(at, "there are bytes behind its end");
      const body = at + 5;
      const end = body > bytes.length ? body : at + 1 + view.getUint32(at + 1);
      if (end < body) reader.corrupt(at, "a message is shorter than its head");
      if (end > bytes.length) break;
      const tag = bytes[at];
      if (tag === TAG.block) {
        const statement = statements[this.#answers.length];
        if (this.#shape === undefined || statement === undefined) reader.corrupt(at, "there are rows without fields");
        try {
          readBlock(reader, body, end, this.#shape, statement.mapping, statement.arrayRows, this.#rows);
        } catch (error) {
          if (error instanceof Malformed) reader.corrupt(at, error.message);
          throw error;
        }
      } else if (tag === TAG.fields) {
        this.#shape = shapeOf(reader, body, end);
      } else if (tag === TAG.complete || tag === TAG.empty) {
        const index = this.#answers.length;
        if (index === statements.length) reader.corrupt(at, "there are more results than statements");
        const command = tag === TAG.complete ? reader.text(body, end - 1, 0) : "";
        this.#answers.push({ rows: this.#rows, fields: this.#shape?.fields ?? [], tag: command });
        this.#rows = [];
        this.#shape = undefined;
      } else if (tag === TAG.error) {
        const index = this.#answers.length;
        const statement = statements[index] as Statement | undefined;
        this.#failed ??= new SqlError(errorFields(reader, body, end), statement && index, statement?.text);
      } else if (tag === TAG.ready) {
        if (end !== body + 1) reader.corrupt(at, "ReadyForQuery has not one status");
        this.#status = String.fromCharCode(bytes[body]);
      } else if (COPY.includes(String.fromCharCode(tag))) {
        throw this.#failed ?? new UsageError("COPY is not supported in a query: use insert or select.");
      } else if (!SKIPPED.includes(String.fromCharCode(tag))) {
        reader.corrupt(at, "there is a message of an unknown type");
      }
      at = end;
    }
    this.#before += at;
    if (at !== bytes.length) this.#truncated(bytes.length - at);
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
        this.#before,
      );
    }
    return this.#answers;
  }

  /** A connection that PostgreSQL itself ends (FATAL) sends its reason and no ReadyForQuery: the reason says more. */
  #truncated(rest: number): never {
    const length = this.#before + rest;
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

const TAG = { block: 0x42, fields: 0x46, complete: 0x43, empty: 0x49, error: 0x45, ready: 0x5a };
/** CopyInResponse, CopyOutResponse, CopyBothResponse. */
const COPY = "GHW";
/** ParseComplete, BindComplete, CloseComplete, NoData, ParameterDescription, NoticeResponse. */
const SKIPPED = "123ntN";

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
