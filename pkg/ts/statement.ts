// What a request asks of PostgreSQL: statements in groups, whatever the endpoint wants to have them written as.

import type { Outcome } from "./errors.js";
import type { Mapping, TransactionMode } from "./types.js";

/** One statement with its numbered parameters, and how its rows are wanted. */
export interface Statement {
  readonly text: string;
  /** In PostgreSQL's text format; null is NULL. */
  readonly params: readonly (string | null)[];
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
