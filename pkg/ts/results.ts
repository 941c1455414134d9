// The forms that a result can have: rows, one row, one value, everything that PostgreSQL says.

import { UsageError, setOutcome } from "./errors.js";
import type { Answer } from "./response.js";

/** Makes what a query resolves to. */
export type Form = (answer: Answer) => unknown;

export const rows: Form = (answer) => answer.rows;

export const full: Form = ({ rows, fields, tag }) => {
  // `INSERT 0 5`, `UPDATE 5`, `SELECT 5`, `CREATE TABLE`.
  const count = /\d+$/.exec(tag);
  return { rows, fields, command: tag.split(" ", 1)[0], rowCount: count === null ? null : Number(count[0]) };
};

export const one: Form = ({ rows }) => {
  if (rows.length !== 1) refuse("exactly one row", rows.length, "row");
  return rows[0];
};

export const maybeOne: Form = ({ rows }) => {
  if (rows.length > 1) refuse("at most one row", rows.length, "row");
  return rows[0] ?? null;
};

/** Of rows that are arrays. */
export const value: Form = (answer) => {
  const values = column(answer) as unknown[];
  if (values.length !== 1) refuse("exactly one row", values.length, "row");
  return values[0];
};

/** Of rows that are arrays. */
export const column: Form = ({ rows, fields }) => {
  if (fields.length !== 1) refuse("exactly one column", fields.length, "column");
  return (rows as unknown as unknown[][]).map((row) => row[0]);
};

function refuse(wanted: string, count: number, what: string): never {
  const error = new UsageError(
    `The query should give ${wanted}, and gave ${count} ${what}${count === 1 ? "" : "s"}. The statement succeeded.`,
  );
  setOutcome(error, "executed");
  throw error;
}
