// Column blocks to rows: the one small loop that turns an endpoint's answer into JavaScript values.
//
// PROTOCOL.md section 3 is the format. Everything that comes from the wire is checked before it is believed: a corrupt
// answer is a ProtocolError that names the offset, never garbage and never a large allocation.

import { Reader } from "./reader.js";
import { define, nextClone, nextStore, store, storeElement, type Clone, type Rows, type Store } from "./rows.js";
import { safe, textReader, timestamp } from "./values.js";
import type { Field, Mapping } from "./types.js";

/** What the rows of one statement look like. */
export interface Shape {
  readonly fields: readonly Field[];
  /** A row with every column set to null, in the columns' order. */
  readonly template: Readonly<Record<string, null>>;
  readonly clone: Clone;
  /** How each column is put into the rows: from `MANY_ROWS` on at a place of its own. */
  stores: readonly Store[];
  /** How many rows were made. */
  rows: number;
}

const shapes = new Map<string, Shape>();
/** For each length the shape that was met last, with its text's bytes: found without making a string. */
const latest = new Map<number, { readonly bytes: Reader; readonly shape: Shape }>();
const SHAPES_KEPT = 200;
const COLUMNS_LIMIT = 1664; // PostgreSQL's limit for a target list.

/**
 * The shape that the body of an `F` message describes. It is kept by the message's text: the rows of all results with
 * the same columns are then of one hidden class, and the fields are parsed once.
 */
export function shapeOf(reader: Reader, start: number, end: number): Shape {
  const last = latest.get(end - start);
  if (last !== undefined && last.bytes.equals(reader, start)) return last.shape;
  const text = reader.text(start, end, 0);
  const shape = shapes.get(text) ?? newShape(reader, start, text);
  latest.set(end - start, { bytes: new Reader(reader.bytes.slice(start, end)), shape });
  return shape;
}

function newShape(reader: Reader, start: number, text: string): Shape {
  let columns: unknown;
  try {
    columns = JSON.parse(text);
  } catch {
    reader.corrupt(start, "the fields are not JSON");
  }
  if (!Array.isArray(columns) || columns.length > COLUMNS_LIMIT)
    reader.corrupt(start, "the fields are not a list of columns");
  const fields = columns.map((column: unknown): Field => {
    if (
      !Array.isArray(column) ||
      typeof column[0] !== "string" ||
      column.slice(1, 6).some((value) => !Number.isInteger(value))
    ) {
      reader.corrupt(start, "a field is not a list of a name and numbers");
    }
    const [name, typeOid, typeSize, typeModifier, tableOid, columnNumber] = column as [
      string,
      number,
      number,
      number,
      number,
      number,
    ];
    return { name, typeOid, typeSize, typeModifier, tableOid, columnNumber };
  });
  // JSON.parse, unlike an assignment, makes an ordinary property of a column named __proto__, too.
  const template = JSON.parse(
    `{${fields.map((field) => `${JSON.stringify(field.name)}:null`).join()}}`,
  ) as Shape["template"];
  const shape = { fields, template, clone: nextClone(), stores: storesOf(fields, () => store), rows: 0 };
  if (shapes.size === SHAPES_KEPT) {
    shapes.clear();
    latest.clear();
  }
  shapes.set(text, shape);
  return shape;
}

const storesOf = (fields: readonly Field[], next: () => Store): Store[] =>
  fields.map(({ name }) => (name === "__proto__" ? define : next()));

const HEAD = 13;
/** After so many rows of a shape it is worth while to fill them at places of their own; not yet in a first answer. */
const MANY_ROWS = 300;
/** A block without columns has no bytes that would bound its rows. */
const EMPTY_ROWS_LIMIT = 1 << 16;

/**
 * Reads one block, from `start` to `end` of the answer, and appends its rows to `rows`.
 *
 * The rows are made first, all null, and filled column by column. Every read is within the block: a column's bytes are
 * checked once, before its values. Text is cut out of one string for the whole block, because a call of a TextDecoder
 * costs ten times as much as a substring.
 */
export function readBlock(
  reader: Reader,
  start: number,
  end: number,
  shape: Shape,
  mapping: Mapping,
  arrays: boolean,
  rows: Rows,
): void {
  const { bytes, view } = reader;
  const { fields, template, clone } = shape;
  const width = fields.length;
  if (end - start < HEAD) reader.corrupt(start, "a block is shorter than its head");
  const count = view.getUint32(start, true);
  const asciiEnd = start + HEAD + view.getUint32(start + 4, true);
  const wideEnd = asciiEnd + view.getUint32(start + 8, true);
  if (wideEnd > end || count > (width === 0 ? EMPTY_ROWS_LIMIT : end - wideEnd))
    reader.corrupt(start, "a block is shorter than its head says");
  const ascii = reader.text(start + HEAD, asciiEnd, 0);
  const wide = reader.text(asciiEnd, wideEnd, bytes[start + 12]);
  let asciiAt = 0;
  let wideAt = 0;
  let at = wideEnd;

  if (shape.rows < MANY_ROWS && (shape.rows += count) >= MANY_ROWS) shape.stores = storesOf(fields, nextStore);
  const { stores } = shape;
  const first = rows.length;
  if (arrays)
    for (let row = 0; row < count; row++) rows.push(new Array<null>(width).fill(null) as unknown as Rows[number]);
  else for (let row = 0; row < count; row++) rows.push(clone(template));
  // The values of one column after the other.
  const values: unknown[] = new Array<unknown>(count);

  for (let column = 0; column < width; column++) {
    const field = fields[column];
    const kind = bytes[at++];
    if (kind === 0) {
      const read = textReader(field, mapping);
      let extra = reader.fits(at, count, end);
      for (let row = 0; row < count; row++) {
        const code = bytes[at++];
        let text: string;
        if (code < 253) {
          text = ascii.substring(asciiAt, (asciiAt += code));
        } else if (code === 255) {
          values[row] = null;
          continue;
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
        values[row] = read === undefined ? text : read(text);
      }
      at = extra;
    } else if (kind === 1) {
      const next = reader.fits(at, count, end);
      for (let row = 0; row < count; row++) {
        const value = bytes[at++];
        if (value > 2) reader.corrupt(at - 1, "a boolean is none");
        values[row] = value === 2 ? null : value === 1;
      }
      at = next;
    } else if (kind === 5) {
      if (mapping.timestamps !== "date") reader.corrupt(at, "timestamps that were asked for as text are numbers");
      const next = reader.fits(at, count * 8, end);
      for (let row = 0; row < count; row++, at += 8) {
        const value = view.getFloat64(at, true);
        // NaN, the only value that is not itself, is NULL.
        values[row] = value === value ? timestamp(value) : null;
      }
      at = next;
    } else if (kind === 6) {
      if (mapping.json !== "parsed") reader.corrupt(at, "json that was asked for as text is not");
      const from = reader.fits(at, 5, end);
      const to = reader.fits(from, view.getUint32(at + 1, true), end);
      const parsed = json(reader.text(from, to, bytes[at]));
      if (!Array.isArray(parsed) || parsed.length !== count)
        reader.corrupt(from, "a json column has not one value for each row");
      for (let row = 0; row < count; row++) values[row] = parsed[row];
      at = to;
    } else if (kind === 7) {
      let from = reader.fits(at, count * 4, end);
      for (let row = 0; row < count; row++, at += 4) {
        const length = view.getInt32(at, true);
        if (length < 0) {
          values[row] = null;
          continue;
        }
        const to = reader.fits(from, length, end);
        values[row] = bytes.slice(from, to);
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
      for (let row = 0; row < count; row++, from += size) {
        if (hasNulls && bytes[nulls++] !== 0) {
          values[row] = null;
          continue;
        }
        values[row] =
          kind === 2
            ? view.getInt32(from, true)
            : kind === 4
              ? view.getFloat64(from, true)
              : kind === 3
                ? view.getUint32(from, true)
                : int8(view, from, field, mapping);
      }
      at = next;
    } else {
      reader.corrupt(at - 1, `a column is of the unknown kind ${kind}`);
    }
    if (arrays) storeElement(rows, first, values, column as unknown as string);
    else stores[column](rows, first, values, field.name);
  }
  if (at !== end || asciiAt !== ascii.length || wideAt !== wide.length)
    reader.corrupt(at, "a block and its columns differ in length");
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function int8(view: DataView, at: number, field: Field, mapping: Mapping): unknown {
  if (mapping.int8 === "number")
    return safe(view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true), field);
  const value = view.getBigInt64(at, true);
  return mapping.int8 === "bigint" ? value : String(value);
}
