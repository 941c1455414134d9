// Values as `neon()` gives them: the parsers of node-postgres by the OID of a type, as its package pg-types has them.

import { parseArray, readBytes } from "../values.js";
import type { Field } from "../types.js";
import { parseDate } from "./dates.js";
import { PostgresInterval } from "./interval.js";
import type { CustomTypesConfig, PgTypeFormat, PgTypeId } from "./public.js";

type Parser = (text: string) => any;

/** The parsers, one for each type that is more than its text. */
export const types = {
  setTypeParser: setTypeParser as {
    (id: number, parseFn: (value: string) => any): void;
    (id: number, format: "text" | "binary", parseFn: (value: string) => any): void;
  },
  getTypeParser: getTypeParser as (id: number, format?: "text" | "binary") => any,
  arrayParser: /* @__PURE__ */ Object.assign(
    (source: string, transform: (entry: any) => any): any[] => parseList(source, transform),
    {
      create: (source: string, transform?: (entry: any) => any) => ({ parse: () => parseList(source, transform) }),
    },
  ) as { (source: string, transform: (entry: any) => any): any[] },
  /** The OIDs of types by their names. */
  get builtins(): { [key: string]: number } {
    return (builtins ??= Object.fromEntries(
      BUILTINS.split(" ").map((pair) => {
        const [name, oid] = pair.split("=");
        return [name, Number(oid)];
      }),
    ));
  },
};

/** Parsers of one query over those of `types`. */
export class TypeOverrides {
  readonly text: Record<number, Parser> = {};
  readonly binary: Record<number, Parser> = {};
  readonly _types: CustomTypesConfig;

  constructor(userTypes?: CustomTypesConfig) {
    this._types = userTypes || types;
  }

  setTypeParser(id: PgTypeId, format: PgTypeFormat | Parser, parseFn?: Parser): void {
    if (typeof format === "function") this.text[id] = format;
    else this[format][id] = parseFn as Parser;
  }

  getTypeParser(id: PgTypeId, format: PgTypeFormat = "text"): any {
    return this[format]?.[id] || this._types.getTypeParser(id, format);
  }
}

/** `defaults.parseInt8 = true` is node-postgres's switch for numbers instead of strings. */
export function setParseInt8(asNumber: boolean): void {
  set(20, asNumber ? integer : text);
  set(1016, asNumber ? list(integer) : list(trimmed));
}

const text: Parser = String;
const integer: Parser = (value) => Number.parseInt(value, 10);
const trimmed: Parser = (value) => value.trim();

function parseList(source: string, transform: Parser | undefined): any[] {
  return parseArray(source, ",", transform, NO_FIELD);
}

const list =
  (element: Parser | undefined): Parser =>
  (value) =>
    value === "" ? null : parseList(value, element);

// Who parses a value does not know its column.
const NO_FIELD = { name: "?" } as Field;

/** As node-postgres reads it: its Buffer, where there is one. */
const bytes: Parser = (value) => {
  const read = readBytes(value, NO_FIELD);
  const buffer = (globalThis as { Buffer?: { from(bytes: ArrayBufferLike): Uint8Array } }).Buffer;
  return buffer === undefined ? new Bytes(read) : buffer.from(read.buffer);
};

/** What programs do most with a Buffer, for runtimes that have none. */
class Bytes extends Uint8Array {
  static get [Symbol.species](): typeof Uint8Array {
    return Uint8Array;
  }

  override toString(encoding: string = "utf8"): string {
    if (encoding === "hex") return Array.from(this, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (encoding === "utf8" || encoding === "utf-8") return new TextDecoder().decode(this);
    const binary = Array.from(this, (byte) => String.fromCharCode(byte)).join("");
    if (encoding === "latin1" || encoding === "binary") return binary;
    if (encoding === "base64") return btoa(binary);
    throw new TypeError(`Unknown encoding: ${encoding}`);
  }

  toJSON(): { type: "Buffer"; data: number[] } {
    return { type: "Buffer", data: Array.from(this) };
  }
}

const bool: Parser = (value) => ["t", "true", "TRUE", "y", "yes", "on", "1"].includes(value);

const point = (value: string): { x: number; y: number } | null => {
  if (value[0] !== "(") return null;
  const [x, y] = value.slice(1, -1).split(",");
  return { x: Number.parseFloat(x), y: Number.parseFloat(y) };
};

const circle: Parser = (value) => {
  const end = value.indexOf(")");
  if (value[0] !== "<" || end < 0) return null;
  return { ...point(value.slice(1, end + 1)), radius: Number.parseFloat(value.slice(end + 2)) };
};

const interval: Parser = (value) => new PostgresInterval(value);

const parsers: { text: Record<number, Parser>; binary: Record<number, Parser> } = { text: {}, binary: {} };

function set(id: number, parser: Parser): void {
  parsers.text[id] = parser;
}

function setTypeParser(id: number, format: PgTypeFormat | Parser, parseFn?: Parser): void {
  if (typeof format === "function") set(id, format);
  else parsers[format][id] = parseFn as Parser;
}

function getTypeParser(id: number, format: PgTypeFormat = "text"): Parser {
  return parsers[format]?.[id] || (format === "text" && BUILT_IN[id]) || text;
}

const BUILT_IN: Record<number, Parser> = {
  16: bool,
  17: bytes,
  21: integer,
  23: integer,
  26: integer,
  114: JSON.parse,
  199: list(JSON.parse),
  600: point,
  651: list(undefined),
  700: Number.parseFloat,
  701: Number.parseFloat,
  718: circle,
  791: list(undefined),
  1000: list(bool),
  1001: list(bytes),
  1005: list(integer),
  1007: list(integer),
  1008: list(undefined),
  1009: list(undefined),
  1014: list(undefined),
  1015: list(undefined),
  1016: list(trimmed),
  1017: list(point),
  1021: list(Number.parseFloat),
  1022: list(Number.parseFloat),
  1028: list(integer),
  1040: list(undefined),
  1041: list(undefined),
  1082: parseDate,
  1114: parseDate,
  1115: list(parseDate),
  1182: list(parseDate),
  1183: list(undefined),
  1184: parseDate,
  1185: list(parseDate),
  1186: interval,
  1187: list(interval),
  // Numbers, as node-postgres has them: who needs every digit sets a parser of their own.
  1231: list(Number.parseFloat),
  1270: list(undefined),
  2951: list(undefined),
  3802: JSON.parse,
  3807: list(JSON.parse),
  3907: list(undefined),
};

let builtins: { [key: string]: number } | undefined;
const BUILTINS =
  "BOOL=16 BYTEA=17 CHAR=18 INT8=20 INT2=21 INT4=23 REGPROC=24 TEXT=25 OID=26 TID=27 XID=28 CID=29 JSON=114 XML=142 " +
  "PG_NODE_TREE=194 SMGR=210 PATH=602 POLYGON=604 CIDR=650 FLOAT4=700 FLOAT8=701 ABSTIME=702 RELTIME=703 " +
  "TINTERVAL=704 CIRCLE=718 MACADDR8=774 MONEY=790 MACADDR=829 INET=869 ACLITEM=1033 BPCHAR=1042 VARCHAR=1043 " +
  "DATE=1082 TIME=1083 TIMESTAMP=1114 TIMESTAMPTZ=1184 INTERVAL=1186 TIMETZ=1266 BIT=1560 VARBIT=1562 NUMERIC=1700 " +
  "REFCURSOR=1790 REGPROCEDURE=2202 REGOPER=2203 REGOPERATOR=2204 REGCLASS=2205 REGTYPE=2206 UUID=2950 " +
  "TXID_SNAPSHOT=2970 PG_LSN=3220 PG_NDISTINCT=3361 PG_DEPENDENCIES=3402 TSVECTOR=3614 TSQUERY=3615 GTSVECTOR=3642 " +
  "REGCONFIG=3734 REGDICTIONARY=3769 JSONB=3802 REGNAMESPACE=4089 REGROLE=4096";
