// interval as node-postgres reads it (its package postgres-interval): an object of the units that are not zero.

const INTERVAL =
  /(([+-]?\d+)\s+years?)?\s*(([+-]?\d+)\s+mons?)?\s*(([+-]?\d+)\s+days?)?\s*(([+-])?(\d*):(\d\d):(\d\d)\.?(\d{1,6})?)?/;

/** A length of time. */
export class PostgresInterval {
  declare years?: number;
  declare months?: number;
  declare days?: number;
  declare hours?: number;
  declare minutes?: number;
  declare seconds?: number;
  declare milliseconds?: number;

  /** Reads PostgreSQL's text with its default `IntervalStyle`. */
  constructor(text?: string) {
    if (!text) return;
    const [, , years, , months, , days, , sign, hours, minutes, seconds, fraction] = INTERVAL.exec(text) as string[];
    const factor = sign === "-" ? -1 : 1;
    const units = {
      years: Number(years),
      months: Number(months),
      days: Number(days),
      hours: factor * Number(hours),
      minutes: factor * Number(minutes),
      seconds: factor * Number(seconds),
      milliseconds: (factor * Number(fraction?.padEnd(6, "0"))) / 1000,
    };
    // What is absent is NaN.
    for (const [unit, value] of Object.entries(units)) if (value) this[unit as keyof typeof units] = value;
  }

  /** As a parameter: `3 seconds 2 minutes`. */
  toPostgres(): string {
    const units = (["seconds", "minutes", "hours", "days", "months", "years"] as const).filter((unit) =>
      Object.hasOwn(this, unit),
    );
    if (this.milliseconds && !units.includes("seconds")) units.push("seconds");
    if (units.length === 0) return "0";
    return units.map((unit) => `${unit === "seconds" ? this.#seconds(/\.?0+$/) : (this[unit] ?? 0)} ${unit}`).join(" ");
  }

  /** As ISO 8601 has it: `P0Y0M1DT2H0M3.5S`. */
  toISOString(): string {
    const { years = 0, months = 0, days = 0, hours = 0, minutes = 0 } = this;
    return `P${years}Y${months}M${days}DT${hours}H${minutes}M${this.#seconds(/0+$/)}S`;
  }

  toISO(): string {
    return this.toISOString();
  }

  #seconds(zeros: RegExp): string {
    const { seconds = 0, milliseconds } = this;
    return milliseconds ? (seconds + milliseconds / 1000).toFixed(6).replace(zeros, "") : String(seconds);
  }
}
