// What a request asks of PostgreSQL: statements in groups, whatever the endpoint wants to have them written as.

import type { Mapping } from "./types.js";

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
export type Group = readonly Statement[];
