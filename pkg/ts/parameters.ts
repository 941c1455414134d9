// JavaScript values to PostgreSQL's text format: what a request sends as parameters.

import { UsageError } from "./errors.js";
import type { Json } from "./types.js";

/** A value marked as JSON; `sql.json` makes it. */
export class JsonValue implements Json {
  constructor(readonly text: string) {}
}

/** The JSON text of a value as a parameter. */
export function jsonValue(value: unknown): JsonValue {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new UsageError("sql.json: the value cannot be written as JSON (a cycle or a bigint?).", { cause });
  }
  if (text === undefined)
    throw new UsageError(`sql.json: ${nameOf(value)} has no JSON text; for NULL pass null as the parameter itself.`);
  return new JsonValue(text);
}

/**
 * One parameter as PostgreSQL reads it as text; null is NULL.
 *
 * @param index the parameter's number, from 1, for the error
 * @throws UsageError for a value that is no parameter
 */
export function parameterText(value: unknown, index: number): string | null {
  return value === null ? null : valueText(value, index);
}

function valueText(value: unknown, index: number): string {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      break;
    case "undefined":
      throw new UsageError(`Parameter $${index} is undefined. For NULL pass null.`);
    default:
      throw new UsageError(`Parameter $${index} is a ${typeof value}, which is no SQL value.`);
  }
  if (value instanceof Date) return dateText(value, index);
  if (value instanceof Uint8Array) return bytesText(value);
  if (value instanceof ArrayBuffer) return bytesText(new Uint8Array(value));
  if (value instanceof JsonValue) return value.text;
  if (Array.isArray(value)) return arrayText(value, index, 1);
  // Plain objects of any realm: theirs is the prototype that has none itself.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || Object.getPrototypeOf(prototype) === null) {
    try {
      return JSON.stringify(value);
    } catch (cause) {
      throw new UsageError(`Parameter $${index} cannot be written as JSON (a cycle or a bigint?).`, { cause });
    }
  }
  throw new UsageError(
    `Parameter $${index} is a ${nameOf(value)}, which is no SQL value. Pass a string, number, bigint, boolean, null, Date, Uint8Array, array or plain object; sql.json(…) sends anything as JSON.`,
  );
}

/**
 * A moment in UTC with its zone, as timestamptz reads it; timestamp reads the same text without the zone, so that a
 * Date written to either comes back as the same Date.
 */
function dateText(date: Date, index: number): string {
  if (Number.isNaN(date.getTime())) throw new UsageError(`Parameter $${index} is an invalid Date.`);
  const iso = date.toISOString();
  const year = date.getUTCFullYear();
  if (year >= 1 && year <= 9999) return iso;
  // PostgreSQL knows no signed years and no year 0: 1 BC comes before 1.
  const digits = String(year > 0 ? year : 1 - year).padStart(4, "0");
  return iso.replace(/^[+-]?\d+/, digits) + (year > 0 ? "" : " BC");
}

/** bytea as PostgreSQL reads it as text. */
export function bytesText(bytes: Uint8Array): string {
  hex ??= Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
  let text = "\\x";
  for (const byte of bytes) text += hex[byte];
  return text;
}

// Made when it is needed: a first query seldom sends bytes.
let hex: string[] | undefined;
/** PostgreSQL's limit (MAXDIM). */
const DIMENSIONS_LIMIT = 6;

/** An array literal. Every element but numbers, booleans and NULL is quoted, so that no text can end it. */
function arrayText(array: readonly unknown[], index: number, depth: number): string {
  if (depth > DIMENSIONS_LIMIT)
    throw new UsageError(`Parameter $${index} is an array of more than ${DIMENSIONS_LIMIT} dimensions.`);
  const elements: string[] = [];
  for (const element of array) {
    if (element === null) elements.push("NULL");
    else if (Array.isArray(element)) elements.push(arrayText(element, index, depth + 1));
    else if (element === undefined)
      throw new UsageError(`Parameter $${index} is an array with an undefined element. For NULL pass null.`);
    else {
      const text = valueText(element, index);
      const bare = typeof element === "number" || typeof element === "bigint" || typeof element === "boolean";
      elements.push(bare ? text : `"${text.replace(/["\\]/g, "\\$&")}"`);
    }
  }
  return `{${elements.join()}}`;
}

/** What to call a value in an error: its class or type, never the value. */
export function nameOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const constructor: unknown = (value as { constructor?: unknown }).constructor;
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "object";
}
