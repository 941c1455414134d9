// JavaScript values to PostgreSQL's text format: what a request sends as parameters.

import { UsageError } from "./errors.js";
import type { Encoder, Encoders, Json, Typed } from "./types.js";

/** A value marked as JSON; `sql.json` makes it. */
export class JsonValue implements Json {
  constructor(readonly text: string) {}
}

/** A value with its type; `sql.typed` makes it. */
export class TypedValue implements Typed {
  // Private, so that a console does not show it.
  readonly #value: unknown;

  constructor(
    value: unknown,
    readonly type: number | string,
    /** What declares a type that was given by its name. */
    readonly cast: string,
  ) {
    this.#value = value;
  }

  text(index: number, encoders: Encoders | undefined): string | null {
    const value = this.#value;
    const encoder = value === null ? undefined : encoders?.find(([key]) => key === this.type);
    return encoder === undefined ? parameterText(value, index, encoders) : encoded(encoder[1], value, index);
  }
}

/** What an encoder of the user's own makes of a value. Its error could quote the value. */
function encoded(encode: Encoder, value: unknown, index: number): string | null {
  let made: unknown;
  try {
    made = encode(value as never);
  } catch (error) {
    throw new UsageError(`The encoder of parameter $${index} failed with ${nameOf(error)}.`);
  }
  return parameterText(made, index);
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
export function parameterText(value: unknown, index: number, encoders?: Encoders): string | null {
  if (typeof value === "string") return value;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  return textOf(value, index, encoders);
}

/** The same of what is neither text nor a number. */
function textOf(value: unknown, index: number, encoders: Encoders | undefined): string | null {
  switch (typeof value) {
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
  if (value === null) return null;
  const encoder = encoders?.find(([key]) => typeof key === "function" && value instanceof key);
  if (encoder !== undefined) return encoded(encoder[1], value, index);
  if (value instanceof Date) return dateText(value, index);
  if (value instanceof Uint8Array) return bytesText(value);
  if (value instanceof ArrayBuffer) return bytesText(new Uint8Array(value));
  if (value instanceof JsonValue) return value.text;
  if (Array.isArray(value)) return arrayText(value, index, 1, encoders);
  const tag: unknown = (value as Partial<Record<symbol, unknown>>)[Symbol.toStringTag];
  if (typeof tag === "string" && tag.startsWith("Temporal.")) return temporalText(value, tag);
  // Plain objects of any realm: theirs is the prototype that has none itself.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || Object.getPrototypeOf(prototype) === null) {
    try {
      const text = JSON.stringify(value) as string | undefined;
      if (text) return text;
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
  return isoText(date.toISOString());
}

/** Temporal's values, of the runtime or of a polyfill. The zone of a ZonedDateTime is not PostgreSQL's to know. */
function temporalText(value: object, tag: string): string {
  const moment = tag.endsWith("ZonedDateTime") ? (value as { toInstant(): object }).toInstant() : value;
  return isoText(String(moment));
}

/** PostgreSQL knows no signed years and no year 0: 1 BC comes before 1. */
function isoText(iso: string): string {
  const [found, year] = /^([+-]\d{6}|0000)-/.exec(iso) ?? [];
  if (found === undefined) return iso;
  const number = Number(year);
  const text = String(number > 0 ? number : 1 - number).padStart(4, "0") + iso.slice(year.length);
  return number > 0 ? text : `${text} BC`;
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
function arrayText(array: readonly unknown[], index: number, depth: number, encoders: Encoders | undefined): string {
  if (depth > DIMENSIONS_LIMIT)
    throw new UsageError(`Parameter $${index} is an array of more than ${DIMENSIONS_LIMIT} dimensions.`);
  const elements: string[] = [];
  for (const element of array) {
    if (Array.isArray(element)) elements.push(arrayText(element, index, depth + 1, encoders));
    else if (element === undefined)
      throw new UsageError(`Parameter $${index} is an array with an undefined element. For NULL pass null.`);
    else {
      const text = parameterText(element, index, encoders);
      const bare = typeof element === "number" || typeof element === "bigint" || typeof element === "boolean";
      elements.push(text === null ? "NULL" : bare ? text : `"${text.replace(/["\\]/g, "\\$&")}"`);
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
