// Column blocks to rows: the one small loop that turns an endpoint's answer into JavaScript values.
//
// PROTOCOL.md section 3 is the format. Everything that comes from the wire is checked before it is believed: a corrupt
// answer is a ProtocolError that names the offset, never garbage and never a large allocation.

import type { Reader } from "./reader.js";
import { define, nextClone, nextStore, sharedStore, storeElement, type Clone, type Rows, type Store } from "./rows.js";
import { duplicateOf } from "./statement.js";
import { safe, textReader, timestamp } from "./values.js";
import type { Field, Mapping } from "./types.js";

/** What objects with the same keys look like: rows, or the values of a json column. */
interface ObjectShape {
  readonly keys: readonly string[];
  /** An object with every key set to null, in their order. */
  readonly template: Readonly<Record<string, null>>;
  readonly clone: Clone;
  /** How each column is put into the objects: from `MANY_ROWS` on at a place of its own. */
  stores: readonly Store[];
  /** How many objects were made. */
  rows: number;
}

/** What the rows of one statement look like. */
export interface Shape extends ObjectShape {
  readonly fields: readonly Field[];
  /** A name that several columns have. */
  readonly duplicate: string | undefined;
}

const shapes = new Map<string, Shape>();
/** For each length the shape that was met last, with its text's bytes: found without making a string. */
const latest = new Map<number, { readonly bytes: DataView; readonly shape: Shape }>();
/** The shapes of objects in json columns, by the JSON text of their keys. */
const objectShapes = new Map<string, ObjectShape>();
const SHAPES_KEPT = 200;
const COLUMNS_LIMIT = 1664; // PostgreSQL's limit for a target list.

/**
 * The shape that the body of an `F` message describes. It is kept by the message's text: the rows of all results with
 * the same columns are then of one hidden class, and the fields are parsed once.
 */
export function shapeOf(reader: Reader, start: number, end: number): Shape {
  const met = latestShape(reader.view, start, end);
  if (met !== undefined) return met;
  const text = reader.text(start, end, 0);
  const shape = shapes.get(text) ?? newShape(reader, start, text);
  latest.set(end - start, { bytes: new DataView(reader.bytes.slice(start, end).buffer), shape });
  return shape;
}

/** The same if, of those whose text is as long, it was met last. */
export function latestShape(view: DataView, start: number, end: number): Shape | undefined {
  const last = latest.get(end - start);
  if (last === undefined) return undefined;
  const { bytes, shape } = last;
  const tail = bytes.byteLength - 8;
  // Eight bytes at once, as doubles. Different bytes that are equal as doubles, the two zeros, are in no text.
  for (let at = 0; at < tail; at += 8) if (bytes.getFloat64(at) !== view.getFloat64(start + at)) return undefined;
  return tail >= 0 && bytes.getFloat64(tail) === view.getFloat64(start + tail) ? shape : undefined;
}

function newShape(reader: Reader, start: number, text: string): Shape {
  let columns: unknown;
  try {
    columns = JSON.parse(text);
  } catch {
    reader.corrupt(start, "the fields are not a list of columns");
  }
  if (!Array.isArray(columns) || columns.length > COLUMNS_LIMIT)
    reader.corrupt(start, "the fields are not a list of columns");
  const fields = columns.map((column: unknown): Field => {
    if (!Array.isArray(column) || typeof column[0] !== "string" || !column.slice(1, 6).every(Number.isInteger)) {
      reader.corrupt(start, "the fields are not a list of columns");
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
  const shape = { fields, duplicate: duplicateOf(fields), ...objectShape(fields.map((field) => field.name)) };
  if (shapes.size === SHAPES_KEPT) {
    shapes.clear();
    latest.clear();
  }
  shapes.set(text, shape);
  return shape;
}

function objectShape(keys: readonly string[]): ObjectShape {
  // JSON.parse, unlike an assignment, makes an ordinary property of a key __proto__, too.
  const template = JSON.parse(`{${keys.map((key) => `${JSON.stringify(key)}:null`).join()}}`) as Shape["template"];
  return { keys, template, clone: nextClone(), stores: storesOf(keys, sharedStore), rows: 0 };
}

const storesOf = (keys: readonly string[], next: () => Store): Store[] =>
  keys.map((key) => (key === "__proto__" ? define : next()));

/** So many objects, in an array that has no room to spare if there is one, or behind `objects`. */
function makeObjects(shape: ObjectShape, count: number, objects?: Rows): Rows {
  if (shape.rows < MANY_ROWS && (shape.rows += count) >= MANY_ROWS) shape.stores = storesOf(shape.keys, nextStore);
  const { clone, template } = shape;
  if (objects === undefined && count === 1) return [clone(template)];
  objects ??= [];
  for (let row = 0; row < count; row++) objects.push(clone(template));
  return objects;
}

const HEAD = 13;
/** After so many rows of a shape it is worth while to fill them at places of their own; not yet in a first answer. */
const MANY_ROWS = 300;
/** A block without columns has no bytes that would bound its rows. */
const EMPTY_ROWS_LIMIT = 1 << 16;
/** PROTOCOL.md section 3.2. */
const OBJECTS_DEPTH_LIMIT = 4;
/** text, bool, int32, float64, json, objects */
const MEMBER_KINDS = [0, 1, 2, 4, 6, 9];

/**
 * Reads one block, from `start` to `end` of the answer.
 *
 * The rows are made first, all null, and filled column by column. Every read is within the block: a column's bytes are
 * checked once, before its values. Text is cut out of one string for the whole block, because a call of a TextDecoder
 * costs ten times as much as a substring.
 */
export class BlockReader {
  #count = 0;
  #ascii = "";
  #wide = "";
  #asciiAt = 0;
  #wideAt = 0;
  #at: number;

  constructor(
    readonly reader: Reader,
    start: number,
    readonly end: number,
    readonly mapping: Mapping,
  ) {
    this.#at = start;
  }

  /** The rows, behind those that there are. */
  rows(shape: Shape, arrays: boolean, before?: Rows): Rows {
    const { reader, end } = this;
    const { view } = reader;
    const { fields, stores, keys } = shape;
    const width = fields.length;
    const start = this.#at;
    const ascii = reader.fits(start, HEAD, end);
    const count = (this.#count = view.getUint32(start, true));
    const wide = reader.fits(ascii, view.getUint32(start + 4, true), end);
    this.#at = reader.fits(wide, view.getUint32(start + 8, true), end);
    this.#ascii = reader.text(ascii, wide, 0);
    this.#wide = reader.text(wide, this.#at, reader.bytes[start + 12]);
    if (count > (width === 0 ? EMPTY_ROWS_LIMIT : end - this.#at))
      reader.corrupt(this.#at, "a block has the wrong length");
    const first = before?.length ?? 0;
    const rows = arrays ? (before ?? []) : makeObjects(shape, count, before);
    if (arrays)
      for (let row = 0; row < count; row++) rows.push(new Array<null>(width).fill(null) as unknown as Rows[number]);
    // The values of one column after the other.
    const values: unknown[] = new Array<unknown>(count);
    for (let column = 0; column < width; column++) {
      this.#column(values, fields[column], 0);
      if (arrays) storeElement(rows, first, values, column as unknown as string, 0);
      else stores[column](rows, first, values, keys[column], 0);
    }
    if (this.#at !== end || this.#asciiAt !== this.#ascii.length || this.#wideAt !== this.#wide.length)
      reader.corrupt(this.#at, "a block has the wrong length");
    return rows;
  }

  /** Reads the next column, which is a field of the rows or, without `field`, a member of objects `depth` deep. */
  #column(values: unknown[], field: Field | undefined, depth: number): void {
    const { reader, mapping } = this;
    const kind = reader.bytes[this.#at];
    const at = reader.fits(this.#at, 1, this.end);
    if (field === undefined ? MEMBER_KINDS.indexOf(kind) < 0 : kind > 9)
      reader.corrupt(at - 1, `a column is of the unknown kind ${kind}`);
    if (
      (kind === 5 && mapping.timestamps !== "date") ||
      ((kind === 6 || kind === 9) && mapping.json !== "parsed") ||
      (kind !== 0 && field !== undefined && mapping.decoders?.[field.typeOid] !== undefined)
    )
      reader.corrupt(at - 1, "values are not in the form that was asked for");
    // A function for each kind: V8 compiles those that a query needs, and what is short it inlines.
    this.#at =
      kind === 0
        ? this.#texts(values, at, field)
        : kind === 1
          ? this.#booleans(values, at)
          : kind === 5
            ? this.#timestamps(values, at)
            : kind === 6
              ? this.#json(values, at)
              : kind === 7
                ? this.#byteas(values, at)
                : kind === 9
                  ? this.#objects(values, at, depth)
                  : this.#numbers(values, at, kind, field);
  }

  #texts(values: unknown[], start: number, field: Field | undefined): number {
    const { reader, end } = this;
    const { bytes, view } = reader;
    const count = this.#count;
    const read = field && textReader(field, this.mapping);
    const ascii = this.#ascii;
    const wide = this.#wide;
    let asciiAt = this.#asciiAt;
    let wideAt = this.#wideAt;
    let extra = reader.fits(start, count, end);
    for (let row = 0; row < count; row++) {
      const code = bytes[start + row];
      let units = code;
      let text: string;
      if (code === 252 || code === 253) {
        reader.fits(extra, 2, end);
        units = view.getUint16(extra, true);
        extra += 2;
      }
      if (code < 253) {
        text = ascii.substring(asciiAt, (asciiAt += units));
      } else if (code === 255) {
        values[row] = null;
        continue;
      } else if (code === 253) {
        text = wide.substring(wideAt, (wideAt += units));
      } else {
        const from = reader.fits(extra, 5, end);
        const to = reader.fits(from, view.getUint32(extra + 1, true), end);
        text = reader.text(from, to, bytes[extra]);
        extra = to;
      }
      values[row] = read === undefined ? text : read(text);
    }
    this.#asciiAt = asciiAt;
    this.#wideAt = wideAt;
    return extra;
  }

  #booleans(values: unknown[], at: number): number {
    const { reader } = this;
    const next = reader.fits(at, this.#count, this.end);
    for (let row = 0; at < next; row++) {
      const value = reader.bytes[at++];
      if (value > 2) reader.corrupt(at - 1, "a boolean is none");
      values[row] = value === 2 ? null : value === 1;
    }
    return next;
  }

  #timestamps(values: unknown[], at: number): number {
    const { reader } = this;
    const next = reader.fits(at, this.#count * 8, this.end);
    for (let row = 0; at < next; row++, at += 8) {
      const value = reader.view.getFloat64(at, true);
      // NaN, the only value that is not itself, is NULL.
      values[row] = value === value ? timestamp(value) : null;
    }
    return next;
  }

  #numbers(values: unknown[], at: number, kind: number, field: Field | undefined): number {
    const { reader, end } = this;
    const { bytes, view } = reader;
    const count = this.#count;
    const size = kind < 4 ? 4 : 8;
    let nulls = reader.fits(at, 1, end);
    let from = nulls;
    if (bytes[at] !== 0) from = reader.fits(nulls, count, end);
    const hasNulls = from !== nulls;
    const next = reader.fits(from, count * size, end);
    for (let row = 0; from < next; row++, from += size) {
      values[row] =
        hasNulls && bytes[nulls++] !== 0
          ? null
          : kind === 2
            ? view.getInt32(from, true)
            : kind === 4
              ? view.getFloat64(from, true)
              : kind === 3
                ? view.getUint32(from, true)
                : int8(view, from, field as Field, this.mapping);
    }
    return next;
  }

  #json(values: unknown[], at: number): number {
    const { reader, end } = this;
    const count = this.#count;
    const from = reader.fits(at, 5, end);
    const to = reader.fits(from, reader.view.getUint32(at + 1, true), end);
    const parsed = json(reader.text(from, to, reader.bytes[at]));
    if (!Array.isArray(parsed) || parsed.length !== count)
      reader.corrupt(from, "a json column has not one value for each row");
    for (let row = 0; row < count; row++) values[row] = (parsed as unknown[])[row];
    return to;
  }

  #byteas(values: unknown[], at: number): number {
    const { reader, end } = this;
    const count = this.#count;
    let from = reader.fits(at, count * 4, end);
    for (let row = 0; row < count; row++, at += 4) {
      const length = reader.view.getInt32(at, true);
      if (length < 0) {
        values[row] = null;
        continue;
      }
      const to = reader.fits(from, length, end);
      values[row] = reader.bytes.slice(from, to);
      from = to;
    }
    return from;
  }

  /** Reads a json column of objects that all have the same keys; returns its end. */
  #objects(values: unknown[], at: number, depth: number): number {
    const { reader, end } = this;
    const { bytes, view } = reader;
    const count = this.#count;
    if (depth === OBJECTS_DEPTH_LIMIT) reader.corrupt(at, "objects are nested too deep");
    const nulls = reader.fits(at, 1, end);
    const from = bytes[at] === 0 ? nulls : reader.fits(nulls, count, end);
    const keysFrom = reader.fits(from, 4, end);
    this.#at = reader.fits(keysFrom, view.getUint32(from, true), end);
    const shape = shapeOfKeys(reader, keysFrom, this.#at);
    const objects = makeObjects(shape, count);
    const members: unknown[] = new Array<unknown>(count);
    shape.keys.forEach((key, index) => {
      this.#column(members, undefined, depth + 1);
      shape.stores[index](objects, 0, members, key, 0);
    });
    for (let row = 0; row < count; row++)
      values[row] = from !== nulls && bytes[nulls + row] !== 0 ? null : objects[row];
    return this.#at;
  }
}

function shapeOfKeys(reader: Reader, start: number, end: number): ObjectShape {
  const text = reader.text(start, end, 0);
  let shape = objectShapes.get(text);
  if (shape === undefined) {
    const keys = json(text);
    // At least one, for its column has bytes that bound the number of objects; how many there can be the text bounds.
    if (!Array.isArray(keys) || keys.length === 0 || keys.some((key) => typeof key !== "string"))
      reader.corrupt(start, "the keys of objects are not a list of texts");
    shape = objectShape(keys as string[]);
    if (objectShapes.size === SHAPES_KEPT) objectShapes.clear();
    objectShapes.set(text, shape);
  }
  return shape;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function int8(view: DataView, at: number, field: Field, mapping: Mapping): unknown {
  if (mapping.int8 === "number")
    return safe(view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true), field);
  const value = view.getBigInt64(at, true);
  return mapping.int8 === "bigint" ? value : String(value);
}
