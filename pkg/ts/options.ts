// Options, checked once and merged: the request's over those of sql.with over those of connect over the defaults.

import { UsageError } from "./errors.js";
import { nameOf } from "./parameters.js";
import type { Decoders, Encoders, Mapping, RequestOptions, TransactionMode } from "./types.js";

/** All options of a request, with nothing left to default. */
export interface Options extends Mapping {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly decode: "endpoint" | "local";
  readonly idempotent: boolean;
  readonly maxAttempts: number;
  readonly shareRequests: boolean;
  readonly encoders: Encoders | undefined;
}

export const DEFAULTS: Options = {
  int8: "string",
  numeric: "string",
  timestamps: "date",
  json: "parsed",
  duplicateColumns: "error",
  decoders: undefined,
  encoders: undefined,
  signal: undefined,
  timeoutMs: undefined,
  headers: undefined,
  decode: "endpoint",
  idempotent: false,
  maxAttempts: 3,
  shareRequests: false,
};

const isFunction = (value: unknown): boolean => typeof value === "function";

/** The values that an option may have, or what its value must be. */
type Allowed = readonly unknown[] | ((value: unknown) => string | undefined);

const ALLOWED: Record<keyof Options, Allowed> = {
  int8: ["string", "bigint", "number"],
  numeric: ["string", "number"],
  timestamps: ["date", "string"],
  json: ["parsed", "text"],
  duplicateColumns: ["error", "last"],
  decoders(value) {
    return typeof value === "object" && Object.values(value ?? { value }).every(isFunction)
      ? undefined
      : "an object of type OIDs and functions";
  },
  encoders(value) {
    return Array.isArray(value) && value.every((pair) => Array.isArray(pair) && isFunction(pair[1]))
      ? undefined
      : "an array of pairs: a class or type, and a function";
  },
  decode: ["endpoint", "local"],
  idempotent: [true, false],
  shareRequests: [true, false],
  signal(value) {
    return typeof (value as AbortSignal | null)?.addEventListener === "function" ? undefined : "an AbortSignal";
  },
  timeoutMs(value) {
    return typeof value === "number" && value > 0 && value <= 0x7fff_ffff
      ? undefined
      : "a number above 0 and below 2 ** 31";
  },
  headers(value) {
    return headersOf(value) ? undefined : "HTTP headers";
  },
  maxAttempts(value) {
    return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 10
      ? undefined
      : "a whole number from 1 to 10";
  },
};

/** `options` over `base`. An absent or undefined option keeps the value of `base`. */
export function merge(base: Options, options: RequestOptions | undefined): Options {
  if (options === undefined) return base;
  if (typeof options !== "object" || options === null)
    throw new UsageError(`Options must be an object, not ${nameOf(options)}.`);
  const merged: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const allowed = Object.hasOwn(ALLOWED, name) ? ALLOWED[name as keyof Options] : undefined;
    if (allowed === undefined)
      throw new UsageError(`There is no option "${name}". The options are ${Object.keys(ALLOWED).join(", ")}.`);
    check(name, value, allowed);
    merged[name] =
      name === "headers"
        ? { ...base.headers, ...headersOf(value) }
        : name === "decoders"
          ? { ...base.decoders, ...(value as Decoders) }
          : name === "encoders"
            ? [...(value as Encoders), ...(base.encoders ?? [])]
            : value;
  }
  return merged as unknown as Options;
}

const MODES: Record<keyof TransactionMode, Allowed> = {
  isolationLevel: ["read uncommitted", "read committed", "repeatable read", "serializable"],
  readOnly: [true, false],
  deferrable: [true, false],
};

/** What the options of a transaction say about its mode; undefined if nothing differs from the database's defaults. */
export function modeOf(given: TransactionMode): TransactionMode | undefined {
  let some = false;
  for (const name of Object.keys(MODES) as (keyof TransactionMode)[]) {
    if (given[name] === undefined) continue;
    check(name, given[name], MODES[name]);
    some = true;
  }
  return some ? given : undefined;
}

function check(name: string, value: unknown, allowed: Allowed): void {
  const expected =
    typeof allowed === "function"
      ? allowed(value)
      : allowed.includes(value)
        ? undefined
        : allowed.map((one) => JSON.stringify(one)).join(" or ");
  if (expected !== undefined) throw new UsageError(`The option "${name}" must be ${expected}.`);
}

/** Headers by their names in lower case; undefined for what is none. The runtime's error would quote the value. */
function headersOf(value: unknown): Record<string, string> | undefined {
  try {
    return Object.fromEntries(new Headers(value as Record<string, string>));
  } catch {
    return undefined;
  }
}
