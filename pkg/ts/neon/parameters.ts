// Values of JavaScript as node-postgres writes parameters, which `neon()` does, too.

import { bytesText } from "../parameters.js";
import { isBytes } from "./query.js";

/** Settings of node-postgres. The second decides how a Date is written, the others are for code that reads them. */
export const dateSettings = { parseInputDatesAsUTC: false };

/** A parameter as it is sent: text, or null for NULL. */
export function parameter(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (isBytes(value))
    return bytesText(
      ArrayBuffer.isView(value)
        ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
        : new Uint8Array(value),
    );
  if (value instanceof Date) return dateText(value);
  if (Array.isArray(value)) return arrayText(value);
  if (typeof value === "object") return objectText(value, []);
  return String(value);
}

function objectText(value: object, seen: object[]): string | null {
  const { toPostgres } = value as { toPostgres?: (prepare: typeof parameter) => unknown };
  if (typeof toPostgres !== "function") return JSON.stringify(value);
  if (seen.includes(value)) throw new Error("circular reference detected while preparing a value for query");
  const written: unknown = toPostgres.call(value, parameter);
  return isPlainObject(written) ? objectText(written, [...seen, value]) : parameter(written);
}

function isPlainObject(value: unknown): value is object {
  return (
    typeof value === "object" && value !== null && !isBytes(value) && !(value instanceof Date) && !Array.isArray(value)
  );
}

function arrayText(values: readonly unknown[]): string {
  const elements = Array.from(values, (value) => {
    if (Array.isArray(value)) return arrayText(value);
    const text = parameter(value);
    return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${elements.join()}}`;
}

/** A moment in local time with its offset, so that a date or a timestamp without time zone gets what clocks here show. */
function dateText(date: Date): string {
  const utc = dateSettings.parseInputDatesAsUTC;
  let offset = utc ? 0 : -date.getTimezoneOffset();
  let year = utc ? date.getUTCFullYear() : date.getFullYear();
  const isBC = year < 1;
  if (isBC) year = Math.abs(year) + 1;
  const pad = (number: number, digits: number): string => String(number).padStart(digits, "0");
  const day = utc
    ? `${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`
    : `${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
  const [hours, minutes, seconds, milliseconds] = utc
    ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds(), date.getUTCMilliseconds()]
    : [date.getHours(), date.getMinutes(), date.getSeconds(), date.getMilliseconds()];
  const sign = offset < 0 ? "-" : "+";
  offset = Math.abs(offset);
  const zone = `${sign}${pad(Math.floor(offset / 60), 2)}:${pad(offset % 60, 2)}`;
  return `${pad(year, 4)}-${day}T${pad(hours, 2)}:${pad(minutes, 2)}:${pad(seconds, 2)}.${pad(milliseconds, 3)}${zone}${isBC ? " BC" : ""}`;
}

/** A name in double quotes. */
export function escapeIdentifier(text: string): string {
  return `"${text.replace(/"/g, '""')}"`;
}

/** A text as an SQL literal. */
export function escapeLiteral(text: string): string {
  const escaped = text.replace(/['\\]/g, "$&$&");
  return text.includes("\\") ? ` E'${escaped}'` : `'${escaped}'`;
}
