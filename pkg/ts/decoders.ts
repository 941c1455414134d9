// `onetrip/types`: decoders for types that this package leaves as text, to be given to `decoders`. Whoever does not import
// this does not ship it.
//
// A decoder gets PostgreSQL's text of a value that is not NULL. Those here are written for the output of default settings
// (DateStyle ISO, IntervalStyle postgres), and throw where a text is not that.

import type { Decoders, Field, Sql } from "./types.js";
import { parseArray } from "./values.js";

/** Makes a value of PostgreSQL's text. */
export type Decoder<Value = unknown> = (text: string) => Value;

/** What is needed of Temporal: the runtime's, or a polyfill's. */
export interface TemporalLike {
  readonly Instant: { from(text: string): unknown };
  readonly PlainDateTime: { from(text: string): unknown };
  readonly PlainDate: { from(text: string): unknown };
  readonly PlainTime: { from(text: string): unknown };
}

/**
 * Decoders for timestamptz (Temporal.Instant), timestamp (PlainDateTime), date (PlainDate) and time (PlainTime), with all
 * of PostgreSQL's microseconds: `connect(url, { decoders: temporal() })`. `infinity` is the number Infinity.
 *
 * @param given a polyfill, where the runtime has no Temporal
 * @throws TypeError where there is neither
 */
export function temporal(given?: TemporalLike): Decoders {
  const { Temporal = given } = given === undefined ? (globalThis as { Temporal?: TemporalLike }) : {};
  if (Temporal === undefined)
    throw new TypeError(
      "This runtime has no Temporal: pass a polyfill's, temporal(Temporal), or take timestamps as Date.",
    );
  const { Instant, PlainDateTime, PlainDate, PlainTime } = Temporal;
  const from = (type: { from(text: string): unknown }) => (text: string) =>
    text === "infinity" ? Infinity : text === "-infinity" ? -Infinity : type.from(isoOf(text));
  return { 1184: from(Instant), 1114: from(PlainDateTime), 1082: from(PlainDate), 1083: from(PlainTime) };
}

/** PostgreSQL's `44-03-15 BC` and `12026-11-21` with the signed years of ISO 8601. */
function isoOf(text: string): string {
  const [, year, rest, bc] = /^(\d{4,6})(-.*?)( BC)?$/.exec(text) ?? [];
  if (year === undefined || (bc === undefined && year.length === 4)) return text;
  const number = bc === undefined ? Number(year) : 1 - Number(year);
  return `${number < 0 ? "-" : "+"}${String(Math.abs(number)).padStart(6, "0")}${rest}`;
}

/** An interval, field by field as PostgreSQL keeps it: 1 month is not 30 days. `Temporal.Duration.from` takes it. */
export interface Interval {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly microseconds: number;
}

/** Decoder of interval (1186). */
export function parseInterval(text: string): Interval {
  const found =
    /^(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/.exec(
      text,
    );
  if (found === null || text === "") throw new SyntaxError("no interval in PostgreSQL's own style");
  const [, years = 0, months = 0, days = 0, sign, hours = 0, minutes = 0, seconds = 0, fraction = ""] = found;
  // Zero stays without a sign.
  const signed = (part: string | number): number => (sign === "-" ? 0 - Number(part) : Number(part));
  return {
    years: Number(years),
    months: Number(months),
    days: Number(days),
    hours: signed(hours),
    minutes: signed(minutes),
    seconds: signed(seconds),
    microseconds: signed(fraction.padEnd(6, "0")),
  };
}

/** A range. A bound that is null is none; the empty range has no bounds and is `empty`. */
export interface Range<Value> {
  readonly lower: Value | null;
  readonly upper: Value | null;
  readonly lowerInclusive: boolean;
  readonly upperInclusive: boolean;
  readonly empty: boolean;
}

/** Decoder of a range type: `{ 3904: rangeOf(Number) }` for int4range. */
export function rangeOf<Value>(bound: Decoder<Value>): Decoder<Range<Value>> {
  return (text) => {
    const reader = new FieldReader(text);
    const range = readRange(reader, bound);
    reader.end();
    return range;
  };
}

/** Decoder of a multirange type: `{ 4451: multirangeOf(Number) }` for int4multirange. */
export function multirangeOf<Value>(bound: Decoder<Value>): Decoder<Range<Value>[]> {
  return (text) => {
    const reader = new FieldReader(text);
    const ranges: Range<Value>[] = [];
    reader.take("{");
    if (reader.next() !== "}")
      do ranges.push(readRange(reader, bound));
      while (reader.skip(","));
    reader.take("}");
    reader.end();
    return ranges;
  };
}

function readRange<Value>(reader: FieldReader, bound: Decoder<Value>): Range<Value> {
  if (reader.skip("empty"))
    return { lower: null, upper: null, lowerInclusive: false, upperInclusive: false, empty: true };
  const decode = (text: string | null): Value | null => (text === null ? null : bound(text));
  const lowerInclusive = reader.skip("[");
  if (!lowerInclusive) reader.take("(");
  const lower = decode(reader.field());
  reader.take(",");
  const upper = decode(reader.field());
  const upperInclusive = reader.skip("]");
  if (!upperInclusive) reader.take(")");
  return { lower, upper, lowerInclusive, upperInclusive, empty: false };
}

/**
 * Decoder of a composite type, to an object: its columns in their order, each with the decoder of its value.
 * `compositeOf({ street: String, number: Number })`
 */
export function compositeOf<const Columns extends Readonly<Record<string, Decoder>>>(
  columns: Columns,
): Decoder<{ -readonly [Name in keyof Columns]: ReturnType<Columns[Name]> | null }> {
  return (text) => {
    const reader = new FieldReader(text);
    const entries = Object.entries(columns).map(([name, decode], index): [string, unknown] => {
      reader.take(index === 0 ? "(" : ",");
      const field = reader.field();
      return [name, field === null ? null : decode(field)];
    });
    reader.take(")");
    reader.end();
    return Object.fromEntries(entries) as never;
  };
}

/** Decoder of an array, for the array types of your own types: `arrayOf(String)` for an array of an enum. */
export function arrayOf<Value>(element: Decoder<Value>, delimiter = ","): Decoder<unknown[]> {
  return (text) => parseArray(text, delimiter, element, { name: "" } as Field);
}

/**
 * Decoders for types of your own, and for the arrays of them, by name: asks the database once for their OIDs, which differ
 * from one database to another.
 *
 * ```ts
 * const typed = sql.with({ decoders: await decodersByName(sql, { mood: String, "shop.address": compositeOf({ … }) }) });
 * ```
 *
 * @throws TypeError for a type that the database does not know
 */
export async function decodersByName(sql: Sql, decoders: Readonly<Record<string, Decoder>>): Promise<Decoders> {
  const names = Object.keys(decoders);
  const found = await sql`
    select name, type.oid::text, type.typarray::text as array, type.typdelim::text as delimiter
    from unnest(${names}::text[]) as name left join pg_type as type on type.oid = to_regtype(name)
  `.arrays<[string, string | null, string, string]>();
  const missing = found.filter(([, oid]) => oid === null).map(([name]) => name);
  if (missing.length > 0) throw new TypeError(`The database knows no type ${missing.join(", ")}.`);
  return Object.fromEntries(
    found.flatMap(([name, oid, array, delimiter]) => [
      [oid, decoders[name]],
      [array, arrayOf(decoders[name], delimiter)],
    ]),
  ) as Decoders;
}

/** Reads the text of ranges and composites: fields, quoted or not, between signs. */
class FieldReader {
  #at = 0;

  constructor(readonly text: string) {}

  next(): string | undefined {
    return this.text[this.#at];
  }

  skip(sign: string): boolean {
    const found = this.text.startsWith(sign, this.#at);
    if (found) this.#at += sign.length;
    return found;
  }

  take(sign: string): void {
    if (!this.skip(sign)) throw new SyntaxError(`there is no ${sign} where one should be`);
  }

  end(): void {
    if (this.#at !== this.text.length) throw new SyntaxError("there is more text behind the end");
  }

  /** A field; null if there is nothing, not even quotes. */
  field(): string | null {
    const { text } = this;
    let value = "";
    let quoted = false;
    const start = this.#at;
    for (; ; this.#at++) {
      let character = text[this.#at] as string | undefined;
      if (character === undefined) throw new SyntaxError("the text ends too soon");
      if (character === '"') {
        // Two of them within quotes are one.
        if (!quoted || text[this.#at + 1] !== '"') {
          quoted = !quoted;
          continue;
        }
        this.#at++;
      } else if (character === "\\") {
        character = text[++this.#at] as string | undefined;
        if (character === undefined) throw new SyntaxError("the text ends too soon");
      } else if (!quoted && ",)]".includes(character)) {
        break;
      }
      value += character;
    }
    return this.#at === start ? null : value;
  }
}
