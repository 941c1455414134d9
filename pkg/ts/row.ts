// An answer of one row, read in one go: where a query gets one, most of its time would go into what many rows share.
//
// What is not as expected, another kind of answer or a corrupt one, is left to the readers of blocks. PROTOCOL.md
// sections 2 and 3 are the format.

import { int8, latestShape } from "./blocks.js";
import { decodeUtf16, decodeUtf8 } from "./buffer.js";
import type { Answer } from "./response.js";
import type { Rows } from "./rows.js";
import type { Mapping } from "./types.js";
import { textReader, timestamp } from "./values.js";

/** The answer to one statement if it is one row and nothing else, and its fields have been met before. */
export function readRow(answer: ArrayBuffer, mapping: Mapping, arrayRows: boolean): Answer | undefined {
  if (decodeUtf8 === undefined || mapping.decoders !== undefined) return undefined;
  try {
    const view = new DataView(answer);
    // ParseComplete, if there is one, and BindComplete, both of which hold nothing; then the fields.
    let at = view.getUint8(0) === 0x31 && view.getUint32(1) === 4 ? 5 : 0;
    if (view.getUint8(at) !== 0x32 || view.getUint32(at + 1) !== 4 || view.getUint8(at + 5) !== 0x46) return undefined;
    const names = at + 10;
    const block = at + 6 + view.getUint32(at + 6);
    if (view.getUint8(block) !== 0x42 || view.getUint32(block + 5, true) !== 1) return undefined;
    const shape = latestShape(view, names, block);
    if (shape === undefined || shape.duplicate !== undefined) return undefined;
    const end = block + 1 + view.getUint32(block + 1);
    const asciiStart = block + 18;
    const wideStart = asciiStart + view.getUint32(block + 9, true);
    at = wideStart + view.getUint32(block + 13, true);
    if (at > end || end > view.byteLength) return undefined;
    const ascii = wideStart > asciiStart ? decodeUtf8(view, asciiStart, wideStart) : "";
    const wide = at > wideStart ? textOf(view, wideStart, at, view.getUint8(block + 17)) : "";
    let asciiAt = 0;
    let wideAt = 0;
    const { fields, keys } = shape;
    const row = arrayRows ? ([] as unknown as Rows[number]) : shape.clone(shape.template);
    for (let column = 0; column < fields.length; column++) {
      const kind = view.getUint8(at++);
      let value: unknown = null;
      if (kind === 0) {
        const code = view.getUint8(at++);
        if (code !== 255) {
          let text: string;
          if (code < 252) {
            text = ascii.substring(asciiAt, (asciiAt += code));
          } else if (code < 254) {
            const units = view.getUint16(at, true);
            text =
              code === 252 ? ascii.substring(asciiAt, (asciiAt += units)) : wide.substring(wideAt, (wideAt += units));
            at += 2;
          } else {
            const from = at + 5;
            const to = from + view.getUint32(at + 1, true);
            text = textOf(view, from, to, view.getUint8(at));
            at = to;
          }
          const read = textReader(fields[column], mapping);
          value = read === undefined ? text : read(text);
        }
      } else if (kind === 1) {
        const bool = view.getUint8(at++);
        if (bool > 2) return undefined;
        if (bool < 2) value = bool === 1;
      } else if (kind === 5) {
        if (mapping.timestamps !== "date") return undefined;
        const milliseconds = view.getFloat64(at, true);
        at += 8;
        // NaN, the only value that is not itself, is NULL.
        if (milliseconds === milliseconds) value = timestamp(milliseconds);
      } else if (kind === 6) {
        if (mapping.json !== "parsed") return undefined;
        const from = at + 5;
        const to = from + view.getUint32(at + 1, true);
        const values: unknown = JSON.parse(textOf(view, from, to, view.getUint8(at)));
        if (!Array.isArray(values) || values.length !== 1) return undefined;
        value = values[0];
        at = to;
      } else if (kind === 7) {
        const length = view.getInt32(at, true);
        at += 4;
        if (length >= 0) value = new Uint8Array(answer.slice(at, (at += length)));
      } else if (kind <= 8) {
        const isNull = view.getUint8(at++) !== 0 && view.getUint8(at++) !== 0;
        if (!isNull)
          value =
            kind === 2
              ? view.getInt32(at, true)
              : kind === 4
                ? view.getFloat64(at, true)
                : kind === 3
                  ? view.getUint32(at, true)
                  : int8(view, at, fields[column], mapping);
        at += kind < 4 ? 4 : 8;
      } else return undefined;
      if (arrayRows) (row as unknown as unknown[]).push(value);
      else if (keys[column] === "__proto__") return undefined;
      else row[keys[column]] = value;
    }
    if (at !== end || asciiAt !== ascii.length || wideAt !== wide.length || view.getUint8(end) !== 0x43)
      return undefined;
    // Behind CommandComplete ReadyForQuery, outside of a transaction.
    at = end + 1 + view.getUint32(end + 1);
    return view.getUint8(at) === 0x5a &&
      view.getUint32(at + 1) === 5 &&
      view.getUint8(at + 5) === 0x49 &&
      at + 6 === view.byteLength
      ? { rows: [row], fields, tag: "" }
      : undefined;
  } catch {
    // An offset beyond the end, or a value that its type cannot be read from: both happen again to who says what it is.
    return undefined;
  }
}

function textOf(view: DataView, start: number, end: number, encoding: number): string {
  const decode = encoding === 0 ? decodeUtf8 : encoding === 1 ? decodeUtf16 : undefined;
  if (decode === undefined || end > view.byteLength) throw new RangeError("This is read elsewhere.");
  return decode(view, start, end);
}
