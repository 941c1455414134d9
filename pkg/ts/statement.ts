// What a request asks of PostgreSQL: statements in groups, whatever the endpoint wants to have them written as.

import { UsageError, setOutcome, type Outcome } from "./errors.js";
import type { Field, Mapping, TransactionMode } from "./types.js";

/** One statement with its numbered parameters, and how its rows are wanted. */
export interface Statement {
  readonly text: string;
  /** In PostgreSQL's text format; null is NULL. */
  readonly params: readonly (string | null)[];
  /** OIDs of the parameters' types, 0 or nothing for what is not declared; undefined if none is. */
  readonly types: readonly number[] | undefined;
  readonly mapping: Mapping;
  readonly arrayRows: boolean;
  /** Whether the command tag is wanted. */
  readonly commandTag: boolean;
}

/** Statements that take effect together or not at all. */
export interface Group {
  readonly statements: readonly Statement[];
  /** How their transaction differs from the database's defaults, if it does. */
  readonly mode: TransactionMode | undefined;
}

// What a failed statement can have left behind, by its first word: procedures, DO and transaction commands can commit on
// their own before something behind them fails, and what is not known counts as the worse case. src/effect.rs draws the
// same lines; tests/vectors/conflicts.json keeps the two alike.

/** Whether PostgreSQL surely undid a statement that failed by a conflict, so that it may run again without asking. */
export function isUndone(statement: string): boolean {
  return /^\s*(select|insert|update|delete|with|merge|values|table)\b/i.test(statement);
}

/** What became of a group whose statement failed. */
export function outcomeOfFailed({ statements }: Group): Outcome {
  const commits = /^\s*([-/(;]|(call|do|begin|start|commit|end|rollback|abort|prepare|execute)(?![a-z]))/i;
  return statements.some(({ text }) => commits.test(text)) ? "unknown" : "notExecuted";
}

/** A name that several columns have. */
export function duplicateOf(fields: readonly Field[]): string | undefined {
  const names = fields.map(({ name }) => name);
  return new Set(names).size < names.length ? names.find((name, index) => names.indexOf(name) < index) : undefined;
}

/** Rows as objects can hold one column of a name, and which is lost is not for this package to choose. */
export function duplicateError(name: string, { arrayRows, mapping }: Statement): UsageError | undefined {
  if (arrayRows || mapping.duplicateColumns !== "error") return undefined;
  const error = new UsageError(
    `Several columns are named "${name}", and an object holds one of them. Name them apart (a.id as a_id), take arrays() or choose duplicateColumns: "last".`,
  );
  setOutcome(error, "executed");
  return error;
}
