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
  // What most columns of text are comes first: this runs for each of each block, and a first query compiles no more of it.
  if (mapping.decoders === undefined) {
    if (oid === 25 || oid === 1043 || oid === 2950) return undefined; // text, varchar, uuid
    if ((oid === 20 && mapping.int8 === "string") || (oid === 1700 && mapping.numeric === "string")) return undefined;
  }
  return readerOf(oid, field, mapping);
}

function readerOf(oid: number, field: Field, mapping: Mapping): Read | undefined {
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

// The built-in array types, in the order of their OIDs: how far each is from the one before and, behind a colon, from its
// element type, where that is not 1. Two thirds of the size of plain pairs. Source: PostgreSQL's catalogue, pg_type.dat;
// tests/runtimes/shared/scenarios.mjs asks a server for all of them.
const ARRAYS =
  "143 56:85 72:-4798 1:191 357 22 68 56 16 209:984 1:984 1:984 1:984 2:984 1:984 1:984 1:984 1:984 1:983 1:983 1:983 " +
  "1:983 1:-28 1:-28 1:996 1:417 1:417 1:417 1:417 1:321 1:321 5:423 1:1002 6 6:211 1:172 74 67:100 1:100 2 2 44:-469 " +
  "32:-1012 7:4 291 2 638:411 6:5 1:5 1:5 1:5 1:5 76:38 662:-21 2 270 422:29 1:2 1:30 90 35 37:5 98 2 2 2 2 14 146 17 7 " +
  "95 847 1111:1699 1:1619 1:1619 1:1619 2:1620 2:1621";
let elements: Map<number, number> | undefined;

/** The element type of a built-in array type; undefined for no array. */
function elementOf(oid: number): number | undefined {
  if (elements === undefined) {
    elements = new Map();
    let array = 0;
    for (const step of ARRAYS.split(" ")) {
      const [distance, element = 1] = step.split(":").map(Number);
      elements.set((array += distance), array - element);
    }
  }
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
