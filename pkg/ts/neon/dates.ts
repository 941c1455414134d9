// date, timestamp and timestamptz as node-postgres reads them: without a time zone it is local time.

const MOMENT = /(\d+)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?.*?( BC)?$/;
const DAY = /^(\d+)-(\d\d)-(\d\d)( BC)?$/;
const ZONE = /([Z+-])(\d\d)?:?(\d\d)?:?(\d\d)?/;

/** A Date; ±Infinity for `infinity`; null for what is neither. */
export function parseDate(text: string): Date | number | null {
  if (/^-?infinity$/.test(text)) return Number(text.replace("i", "I"));
  const moment = MOMENT.exec(text);
  if (moment === null) {
    const day = DAY.exec(text);
    return day === null ? null : local(yearOf(day[1], day[4]), day, [0, 0, 0, 0]);
  }
  const year = yearOf(moment[1], moment[8]);
  const clock = [Number(moment[4]), Number(moment[5]), Number(moment[6]), moment[7] ? 1000 * Number(moment[7]) : 0];
  const offset = offsetOf(text);
  if (offset === undefined) return local(year, moment, clock);
  const [hours, minutes, seconds, milliseconds] = clock;
  const date = new Date(
    Date.UTC(year, Number(moment[2]) - 1, Number(moment[3]), hours, minutes, seconds, milliseconds),
  );
  // Date takes the years 0 to 99 for those of the 20th century.
  if (year >= 0 && year < 100) date.setUTCFullYear(year);
  if (offset !== 0) date.setTime(date.getTime() - offset);
  return date;
}

function local(year: number, [, , month, day]: readonly string[], clock: readonly number[]): Date {
  const [hours, minutes, seconds, milliseconds] = clock;
  const date = new Date(year, Number(month) - 1, Number(day), hours, minutes, seconds, milliseconds);
  if (year >= 0 && year < 100) date.setFullYear(year);
  return date;
}

/** There is no year 0 in PostgreSQL: 1 BC is Date's year 0. */
function yearOf(digits: string, bc: string | undefined): number {
  return bc === undefined ? Number(digits) : 1 - Number(digits);
}

/** Milliseconds east of Greenwich; undefined where the text names no zone. */
function offsetOf(text: string): number | undefined {
  if (text.endsWith("+00")) return 0;
  const zone = ZONE.exec(text.split(" ")[1]);
  if (zone === null) return undefined;
  if (zone[1] === "Z") return 0;
  const seconds = Number(zone[2]) * 3600 + Number(zone[3] ?? 0) * 60 + Number(zone[4] ?? 0);
  return (zone[1] === "-" ? -1000 : 1000) * seconds;
}
