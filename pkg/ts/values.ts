// PostgreSQL's text format to JavaScript values, by type OID.
//
// Most columns arrive as typed blocks and never come here; this is for types that are text anyway, for arrays, and for
// any column that the endpoint sent as text (PROTOCOL.md section 3.1).

import { UsageError } from "./errors.js";
import { nameOf } from "./parameters.js";
import type { Field, Mapping } from "./types.js";

type Read = (text: string) => unknown;

/** Text that is not in its type's format. Where it stands in the answer is known to who reads the answer. */
export class Malformed extends Error {}

/** What a value of this column's type is made by, from text; undefined if the text is the value. */
export function textReader(field: Field, mapping: Mapping): Read | undefined {
  const oid = field.typeOid;
  // The two most frequent cases first: this runs for each text column of each block.
  if ((oid === 25 || oid === 1043) && mapping.decoders === undefined) return undefined;
  const scalar = scalarReader(oid, field, mapping);
  if (scalar !== undefined) return scalar;
  const element = elementOf(oid);
  if (element === undefined) return undefined;
  const read = scalarReader(element, field, mapping);
  const delimiter = element === BOX ? ";" : ",";
  return (text) => parseArray(text, delimiter, read, field);
}

function scalarReader(oid: number, field: Field, mapping: Mapping): Read | undefined {
  const decoder = mapping.decoders?.[oid];
  if (decoder !== undefined) return (text) => decoded(decoder, text, oid, field);
  switch (oid) {
    case 16: // bool
      return (text) => text === "t" || (text !== "f" && malformed(field, "booleans"));
    case 17: // bytea
      return (text) => readBytes(text, field);
    case 20: // int8
      if (mapping.int8 === "bigint") return (text) => parsed(BigInt, text, field, "int8 values");
      return mapping.int8 === "number" ? (text) => safe(number(text, field), field) : undefined;
    case 21: // int2
    case 23: // int4
    case 26: // oid
    case 700: // float4
    case 701: // float8
      return (text) => number(text, field);
    case 1700: // numeric
      return mapping.numeric === "number" ? (text) => number(text, field) : undefined;
    case 114: // json
    case 3802: // jsonb
      return mapping.json === "parsed" ? (text) => parsed(JSON.parse, text, field, "JSON") : undefined;
    case 1114: // timestamp
    case 1184: // timestamptz
      return mapping.timestamps === "date" ? (text) => parseTimestamp(text, field) : undefined;
    default:
      return undefined;
  }
}

/** What a decoder of the user's own makes of a value. Its error could quote the value. */
function decoded(decoder: Read, text: string, oid: number, field: Field): unknown {
  try {
    return decoder(text);
  } catch (error) {
    throw new UsageError(`The decoder of type ${oid} failed with ${nameOf(error)} at the column "${field.name}".`);
  }
}

function number(text: string, field: Field): number {
  const value = Number(text);
  // What is no number is NaN, or 0 where there is nothing.
  if (Number.isNaN(value) ? text !== "NaN" : text.trim() === "") malformed(field, "numbers");
  return value;
}

function parsed(parse: Read, text: string, field: Field, what: string): unknown {
  try {
    return parse(text);
  } catch {
    // The engine's error would quote the value.
    return malformed(field, what);
  }
}

/** An int8 as a number, or an error if a double cannot hold it. */
export function safe(value: number, field: Field): number {
  if (Number.isSafeInteger(value)) return value;
  throw new UsageError(
    `The column "${field.name}" holds an int8 that is no safe integer in JavaScript; ask for int8: "bigint" or "string".`,
  );
}

/** Milliseconds to a Date; ±Infinity stays a number, because no Date is infinite. */
export function timestamp(milliseconds: number): Date | number {
  return milliseconds - milliseconds === 0 ? new Date(milliseconds) : milliseconds;
}

const TIMESTAMP =
  /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?)?( BC)?$/;

function parseTimestamp(text: string, field: Field): Date | number {
  if (text === "infinity") return Infinity;
  if (text === "-infinity") return -Infinity;
  const parts = TIMESTAMP.exec(text);
  if (parts === null) {
    throw new UsageError(
      `The column "${field.name}" holds a timestamp that is not in ISO format (was DateStyle changed?); ask for timestamps: "string".`,
    );
  }
  const [, year, month, day, hour, minute, second, fraction = "", sign, zoneHour, zoneMinute = 0, zoneSecond = 0, bc] =
    parts;
  const date = new Date(0);
  date.setUTCFullYear(bc === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  let milliseconds = date.getTime() + Number(fraction.padEnd(3, "0").slice(0, 3));
  if (sign !== undefined) {
    const offset = (Number(zoneHour) * 3600 + Number(zoneMinute) * 60 + Number(zoneSecond)) * 1000;
    milliseconds -= sign === "-" ? -offset : offset;
  }
  const value = new Date(milliseconds);
  if (Number.isNaN(value.getTime())) {
    throw new UsageError(
      `The column "${field.name}" holds a timestamp that no JavaScript Date can hold; ask for timestamps: "string".`,
    );
  }
  return value;
}

/** bytea as text: `\x…` or, with `bytea_output = escape`, characters and octal escapes. */
export function readBytes(text: string, field: Field): Uint8Array<ArrayBuffer> {
  if (text.startsWith("\\x")) {
    const length = (text.length - 2) / 2;
    if (!Number.isInteger(length) || /[^0-9a-f]/.test(text.slice(2))) malformed(field, "bytea values");
    const value = new Uint8Array(length);
    for (let i = 0; i < length; i++) value[i] = Number.parseInt(text.substring(2 + 2 * i, 4 + 2 * i), 16);
    return value;
  }
  const value: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "\\") value.push(text.charCodeAt(i));
    else if (text[i + 1] === "\\") value.push(text.charCodeAt(++i));
    else {
      const octal = Number.parseInt(text.substring(i + 1, i + 4), 8);
      if (!(octal < 256)) malformed(field, "bytea values");
      value.push(octal);
      i += 3;
    }
  }
  return Uint8Array.from(value);
}

const BOX = 603;

// The built-in array types as "array:element". Source: PostgreSQL's catalogue, pg_type.dat.
const ARRAYS =
  "143:142 199:114 271:5069 272:81 629:628 651:650 719:718 775:774 791:790 1000:16 1001:17 1002:18 1003:19 1005:21 " +
  "1006:22 1007:23 1008:24 1009:25 1010:27 1011:28 1012:29 1013:30 1014:1042 1015:1043 1016:20 1017:600 1018:601 " +
  "1019:602 1020:603 1021:700 1022:701 1027:604 1028:26 1034:1033 1040:829 1041:869 1115:1114 1182:1082 1183:1083 " +
  "1185:1184 1187:1186 1231:1700 1263:2275 1270:1266 1561:1560 1563:1562 2201:1790 2207:2202 2208:2203 2209:2204 " +
  "2210:2205 2211:2206 2287:2249 2949:2970 2951:2950 3221:3220 3643:3614 3644:3642 3645:3615 3735:3734 3770:3769 " +
  "3807:3802 3905:3904 3907:3906 3909:3908 3911:3910 3913:3912 3927:3926 4073:4072 4090:4089 4097:4096 4192:4191 " +
  "5039:5038 6150:4451 6151:4532 6152:4533 6153:4534 6155:4535 6157:4536";
let elements: Map<number, number> | undefined;

/** The element type of a built-in array type; undefined for no array. */
function elementOf(oid: number): number | undefined {
  elements ??= new Map(ARRAYS.split(" ").map((pair) => pair.split(":").map(Number) as [number, number]));
  return elements.get(oid);
}

/** An array literal: `{1,2,NULL}`, nested, quoted, with or without bounds (`[0:2]={…}`). */
export function parseArray(text: string, delimiter: string, read: Read | undefined, field: Field): unknown[] {
  let at = text[0] === "[" ? text.indexOf("=") + 1 : 0;
  let depth = 0;
  const list = (): unknown[] => {
    // PostgreSQL's arrays have at most six dimensions; more would be a corrupt answer that exhausts the stack.
    if (depth++ > 6) malformed(field, "arrays");
    const values = elements();
    depth--;
    return values;
  };
  const elements = (): unknown[] => {
    const values: unknown[] = [];
    at++; // the opening brace
    if (text[at] === "}") {
      at++;
      return values;
    }
    for (;;) {
      if (text[at] === "{") values.push(list());
      else if (text[at] === '"') values.push(element(quoted()));
      else {
        const start = at;
        while (at < text.length && text[at] !== delimiter && text[at] !== "}") at++;
        const word = text.substring(start, at);
        values.push(word === "NULL" ? null : element(word));
      }
      const next = text[at++];
      if (next === "}") return values;
      if (next !== delimiter) malformed(field, "arrays");
    }
  };
  const element = (word: string): unknown => (read === undefined ? word : read(word));
  const quoted = (): string => {
    let value = "";
    let start = ++at;
    for (; text[at] !== '"'; at++) {
      if (at >= text.length) malformed(field, "arrays");
      if (text[at] === "\\") {
        value += text.substring(start, at);
        start = ++at;
      }
    }
    return value + text.substring(start, at++);
  };
  if (text[at] !== "{") malformed(field, "arrays");
  const values = list();
  if (at !== text.length) malformed(field, "arrays");
  return values;
}

function malformed(field: Field, what: string): never {
  throw new Malformed(`the column "${field.name}" should hold ${what}, but its text is not in that format`);
}
