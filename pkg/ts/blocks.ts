// Column blocks to rows: the one small loop that turns an endpoint's answer into JavaScript values.
//
// PROTOCOL.md section 3 is the format. Everything that comes from the wire is checked before it is believed: a corrupt
// answer is a ProtocolError that names the offset, never garbage and never a large allocation.

import type { Reader } from "./reader.js";
import { safe, textReader, timestamp } from "./values.js";
import type { Field, Mapping } from "./types.js";

/** The rows of one statement under construction. */
export type Rows = Record<string, unknown>[];

/** What the rows of one statement look like. */
export interface Shape {
  readonly fields: readonly Field[];
  /** A row with every column set to null, in the columns' order; `{...template}` is the fastest way to a new row. */
  readonly template: Readonly<Record<string, null>>;
  /** For each name the last column that has it: the one that an object keeps. */
  readonly last: ReadonlyMap<string, number>;
}

const shapes = new Map<string, Shape>();
const SHAPES_KEPT = 200;
const COLUMNS_LIMIT = 1664; // PostgreSQL's limit for a target list.

/**
 * The shape that the body of an `F` message describes. It is kept by the message's text: the rows of all results with
 * the same columns are then of one hidden class, and the fields are parsed once.
 */
export function shapeOf(reader: Reader, start: number, end: number): Shape {
  const text = reader.text(start, end, 0);
  const known = shapes.get(text);
  if (known !== undefined) return known;
  let columns: unknown;
  try {
    columns = JSON.parse(text);
  } catch {
    reader.corrupt(start, "the fields are not JSON");
  }
  if (!Array.isArray(columns) || columns.length > COLUMNS_LIMIT) reader.corrupt(start, "the fields are not a list of columns");
  const fields = columns.map((column: unknown): Field => {
    if (!Array.isArray(column) || typeof column[0] !== "string" || column.slice(1, 6).some((value) => !Number.isInteger(value))) {
      reader.corrupt(start, "a field is not a list of a name and numbers");
    }
    const [name, typeOid, typeSize, typeModifier, tableOid, columnNumber] = column as [string, number, number, number, number, number];
    return { name, typeOid, typeSize, typeModifier, tableOid, columnNumber };
  });
  // JSON.parse, unlike an assignment, makes an ordinary property of a column named __proto__, too.
  const template = JSON.parse(`{${fields.map((field) => `${JSON.stringify(field.name)}:null`).join()}}`) as Shape["template"];
  const shape = { fields, template, last: new Map(fields.map((field, column) => [field.name, column])) };
  if (shapes.size === SHAPES_KEPT) shapes.clear();
  shapes.set(text, shape);
  return shape;
}

const HEAD = 13;
/** A block without columns has no bytes that would bound its rows. */
const EMPTY_ROWS_LIMIT = 1 << 16;

/**
 * Reads one block, from `start` to `end` of the answer, and appends its rows to `rows`.
 *
 * The rows are made first, all null, and filled column by column. Every read is within the block: a column's bytes are
 * checked once, before its values. Text is cut out of one string for the whole block, because a call of a TextDecoder
 * costs ten times as much as a substring.
 */
export function readBlock(reader: Reader, start: number, end: number, shape: Shape, mapping: Mapping, arrays: boolean, rows: Rows): void {
  const { bytes, view } = reader;
  const { fields, template } = shape;
  const width = fields.length;
  if (end - start < HEAD) reader.corrupt(start, "a block is shorter than its head");
  const count = view.getUint32(start, true);
  const asciiEnd = start + HEAD + view.getUint32(start + 4, true);
  const wideEnd = asciiEnd + view.getUint32(start + 8, true);
  if (wideEnd > end || count > (width === 0 ? EMPTY_ROWS_LIMIT : end - wideEnd)) reader.corrupt(start, "a block is shorter than its head says");
  const ascii = reader.text(start + HEAD, asciiEnd, 0);
  const wide = reader.text(asciiEnd, wideEnd, bytes[start + 12]);
  let asciiAt = 0;
  let wideAt = 0;
  let at = wideEnd;

  const first = rows.length;
  const last = first + count;
  if (arrays) for (let row = 0; row < count; row++) rows.push(new Array<null>(width).fill(null) as unknown as Rows[number]);
  else for (let row = 0; row < count; row++) rows.push({ ...template });

  for (let column = 0; column < width; column++) {
    const field = fields[column];
    // A key of the row, be it an object or an array.
    let key = (arrays ? column : field.name) as string;
    let target: Rows = rows;
    const hidden = !arrays && shape.last.get(key) !== column;
    if (hidden || key === "__proto__") {
      // A later column of the name counts, or an assignment would not store the value: read the column aside.
      target = rows.map(() => ({ value: null }));
      key = "value";
    }
    const kind = bytes[at++];
    if (kind === 0) {
      const read = textReader(field, mapping);
      let extra = reader.fits(at, count, end);
      for (let row = first; row < last; row++) {
        const code = bytes[at++];
        if (code === 255) continue;
        let text: string;
        if (code < 253) {
          text = ascii.substring(asciiAt, (asciiAt += code));
        } else if (code === 253) {
          reader.fits(extra, 2, end);
          text = wide.substring(wideAt, (wideAt += view.getUint16(extra, true)));
          extra += 2;
        } else {
          const from = reader.fits(extra, 5, end);
          const to = reader.fits(from, view.getUint32(extra + 1, true), end);
          text = reader.text(from, to, bytes[extra]);
          extra = to;
        }
        target[row][key] = read === undefined ? text : read(text);
      }
      at = extra;
    } else if (kind === 1) {
      const next = reader.fits(at, count, end);
      for (let row = first; row < last; row++) {
        const value = bytes[at++];
        if (value < 2) target[row][key] = value === 1;
        else if (value > 2) reader.corrupt(at - 1, "a boolean is none");
      }
      at = next;
    } else if (kind === 5) {
      if (mapping.timestamps !== "date") reader.corrupt(at, "timestamps that were asked for as text are numbers");
      const next = reader.fits(at, count * 8, end);
      for (let row = first; row < last; row++, at += 8) {
        const value = view.getFloat64(at, true);
        // NaN, the only value that is not itself, is NULL.
        if (value === value) target[row][key] = timestamp(value);
      }
      at = next;
    } else if (kind === 6) {
      if (mapping.json !== "parsed") reader.corrupt(at, "json that was asked for as text is not");
      const from = reader.fits(at, 5, end);
      const to = reader.fits(from, view.getUint32(at + 1, true), end);
      const values = json(reader.text(from, to, bytes[at]));
      if (!Array.isArray(values) || values.length !== count) reader.corrupt(from, "a json column has not one value for each row");
      for (let row = 0; row < count; row++) target[first + row][key] = values[row];
      at = to;
    } else if (kind === 7) {
      let from = reader.fits(at, count * 4, end);
      for (let row = first; row < last; row++, at += 4) {
        const length = view.getInt32(at, true);
        if (length < 0) continue;
        const to = reader.fits(from, length, end);
        target[row][key] = bytes.slice(from, to);
        from = to;
      }
      at = from;
    } else if (kind === 2 || kind === 3 || kind === 4 || kind === 8) {
      const size = kind < 4 ? 4 : 8;
      let nulls = reader.fits(at, 1, end);
      let from = nulls;
      if (bytes[at] !== 0) from = reader.fits(nulls, count, end);
      const hasNulls = from !== nulls;
      const next = reader.fits(from, count * size, end);
      for (let row = first; row < last; row++, from += size) {
        if (hasNulls && bytes[nulls++] !== 0) continue;
        target[row][key] =
          kind === 2 ? view.getInt32(from, true)
          : kind === 4 ? view.getFloat64(from, true)
          : kind === 3 ? view.getUint32(from, true)
          : int8(view, from, field, mapping);
      }
      at = next;
    } else {
      reader.corrupt(at - 1, `a column is of the unknown kind ${kind}`);
    }
    if (target !== rows && !hidden) {
      for (let row = first; row < last; row++) {
        Object.defineProperty(rows[row], "__proto__", { value: target[row].value, writable: true, enumerable: true, configurable: true });
      }
    }
  }
  if (at !== end || asciiAt !== ascii.length || wideAt !== wide.length) reader.corrupt(at, "a block and its columns differ in length");
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function int8(view: DataView, at: number, field: Field, mapping: Mapping): unknown {
  if (mapping.int8 === "number") return safe(view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true), field);
  const value = view.getBigInt64(at, true);
  return mapping.int8 === "bigint" ? value : String(value);
}
