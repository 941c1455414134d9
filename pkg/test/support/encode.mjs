// Writes messages of the onetrip protocol by hand (PROTOCOL.md, sections 2 and 3): what an endpoint would send.
// Only for tests: the product's encoder is Rust (crates/wire) and its vectors are read by the tests beside this one.

const utf8 = new TextEncoder();

/** Joins byte arrays and arrays of bytes. */
export function concat(...parts) {
  const arrays = parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part)));
  const whole = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}

/** One message: tag, big-endian length that counts itself, body. */
export function message(tag, body = new Uint8Array(0)) {
  const bytes = new Uint8Array(5 + body.length);
  bytes[0] = tag.charCodeAt(0);
  new DataView(bytes.buffer).setUint32(1, body.length + 4);
  bytes.set(body, 5);
  return bytes;
}

const cstring = (text) => concat(utf8.encode(text), [0]);

export const parseComplete = message("1");
export const bindComplete = message("2");
export const noData = message("n");
export const emptyQuery = message("I");
export const complete = (tag) => message("C", cstring(tag));
export const ready = (status = "I") => message("Z", utf8.encode(status));

/** `fields({name, oid}, …)`: the message F. */
export function fields(...columns) {
  const list = columns.map((column, index) => [
    column.name,
    column.oid,
    column.size ?? -1,
    column.modifier ?? -1,
    0,
    index + 1,
    0,
  ]);
  return message("F", utf8.encode(JSON.stringify(list)));
}

/** ErrorResponse (or NoticeResponse by `tag`): `{S: "ERROR", C: "42601", M: "…"}`. */
export function error(members, tag = "E") {
  return message(
    tag,
    concat(...Object.entries(members).map(([key, text]) => concat(utf8.encode(key), cstring(text))), [0]),
  );
}

function number(width, write) {
  const view = new DataView(new ArrayBuffer(width));
  write(view);
  return new Uint8Array(view.buffer);
}
const u16 = (value) => number(2, (view) => view.setUint16(0, value, true));
const u32 = (value) => number(4, (view) => view.setUint32(0, value, true));

function utf16(text) {
  const bytes = new Uint8Array(text.length * 2);
  for (let i = 0; i < text.length; i++) {
    bytes[2 * i] = text.charCodeAt(i) & 255;
    bytes[2 * i + 1] = text.charCodeAt(i) >> 8;
  }
  return bytes;
}

const numbers = {
  int32: [2, 4, (view, at, value) => view.setInt32(at, value, true)],
  uint32: [3, 4, (view, at, value) => view.setUint32(at, value, true)],
  float64: [4, 8, (view, at, value) => view.setFloat64(at, value, true)],
  int64: [8, 8, (view, at, value) => view.setBigInt64(at, BigInt(value), true)],
};

/**
 * One block. `columns` is a list of `{kind, values}`, kind being the name in the table of PROTOCOL.md 3.1; NULL is
 * null; timestamps are milliseconds; json values are values; bytea values are Uint8Array; objects have `members`, columns
 * by key, and perhaps `nulls`, 1 for each row that has none, instead of values.
 */
export function block(rows, columns, { wide = "utf16", joined = false } = {}) {
  let ascii = "";
  let wideText = "";
  const column = ({ kind, values, nulls, members }) => {
    if (kind === "objects") {
      const keys = utf8.encode(JSON.stringify(Object.keys(members)));
      return concat([9, nulls ? 1 : 0], nulls ?? [], u32(keys.length), keys, ...Object.values(members).map(column));
    }
    if (values.length !== rows) throw new Error(`a column of ${values.length} values in a block of ${rows} rows`);
    if (kind === "text") {
      const codes = new Uint8Array(rows);
      const extras = [];
      values.forEach((value, row) => {
        // eslint-disable-next-line no-control-regex
        const plain = /^[\x00-\x7f]*$/.test(value);
        if (value === null) {
          codes[row] = 255;
        } else if (plain && value.length < (joined ? 65_536 : 252)) {
          codes[row] = Math.min(value.length, 252);
          if (value.length > 251) extras.push(u16(value.length));
          ascii += value;
        } else if (value.length > (wide === "utf8" || plain ? 251 : 65_535)) {
          codes[row] = 254;
          const bytes = plain || wide === "utf8" ? utf8.encode(value) : utf16(value);
          extras.push(concat([plain || wide === "utf8" ? 0 : 1], u32(bytes.length), bytes));
        } else {
          codes[row] = 253;
          wideText += value;
          extras.push(u16(value.length));
        }
      });
      return concat([0], codes, ...extras);
    }
    if (kind === "bool")
      return concat(
        [1],
        values.map((value) => (value === null ? 2 : Number(value))),
      );
    if (kind === "timestamp") {
      return concat([5], ...values.map((value) => number(8, (view) => view.setFloat64(0, value ?? NaN, true))));
    }
    if (kind === "json") {
      const text = JSON.stringify(values);
      const bytes = wide === "utf8" ? utf8.encode(text) : utf16(text);
      return concat([6, wide === "utf8" ? 0 : 1], u32(bytes.length), bytes);
    }
    if (kind === "bytea") {
      return concat(
        [7],
        ...values.map((value) => u32(value === null ? 0xffffffff : value.length)),
        ...values.map((value) => value ?? []),
      );
    }
    const [code, width, set] = numbers[kind];
    const hasNulls = values.some((value) => value === null);
    const body = new Uint8Array(rows * width);
    const view = new DataView(body.buffer);
    values.forEach((value, row) => set(view, row * width, value ?? 0));
    return concat([code, hasNulls ? 1 : 0], hasNulls ? values.map((value) => (value === null ? 1 : 0)) : [], body);
  };
  const bodies = columns.map(column);
  const asciiBytes = utf8.encode(ascii);
  const wideBytes = wide === "utf8" ? utf8.encode(wideText) : utf16(wideText);
  return message(
    "B",
    concat(
      u32(rows),
      u32(asciiBytes.length),
      u32(wideBytes.length),
      [wide === "utf8" ? 0 : 1],
      asciiBytes,
      wideBytes,
      ...bodies,
    ),
  );
}

/** The answer to one statement that returns rows: `columns` is a list of `{name, oid, kind, values}`. */
export function answer(rows, columns, options) {
  const blocks = rows === 0 ? [] : [block(rows, columns, options)];
  return concat(parseComplete, bindComplete, fields(...columns), ...blocks, complete(`SELECT ${rows}`));
}

/** A whole response of one statement. */
export function response(rows, columns, options) {
  return concat(answer(rows, columns, options), ready());
}
