// NeonDbError, the one class of errors that `neon()` makes.

/** The members of NeonDbError that come from PostgreSQL's ErrorResponse. */
export const errorFields = [
  "severity",
  "code",
  "detail",
  "hint",
  "position",
  "internalPosition",
  "internalQuery",
  "where",
  "schema",
  "table",
  "column",
  "dataType",
  "constraint",
  "file",
  "line",
  "routine",
] as const;

/** A query failed: in PostgreSQL, at the endpoint, on the way there, or before it was sent. */
export class NeonDbError extends Error {
  override name = "NeonDbError" as const;
  severity: string | undefined;
  /** The SQLSTATE, where PostgreSQL refused. */
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  /** Where in the statement, in characters from 1, as text. */
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;
  /** What `fetch` failed with, where there was no answer. */
  sourceError: Error | undefined;

  constructor(message: string) {
    super(message);
    // All are there, as the original's are.
    for (const field of errorFields) this[field] = undefined;
    this.sourceError = undefined;
    (Error as { captureStackTrace?: (error: Error, above: unknown) => void }).captureStackTrace?.(this, NeonDbError);
  }
}

/** The error of node-postgres, for code that names it: `neon()` throws {@link NeonDbError}. */
export class DatabaseError extends Error {
  severity: string | undefined;
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;

  constructor(
    message: string,
    readonly length: number,
    override readonly name: string,
  ) {
    super(message);
    for (const field of errorFields) this[field] = undefined;
  }
}
