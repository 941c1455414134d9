// What can go wrong, as classes. Branch on `instanceof` or on `kind`, and on `outcome` to know whether the statement took
// effect; no message of onetrip's holds a credential, a statement or a parameter. docs/errors.md has them all.

/**
 * What became of the statement, or of the transaction: `"notExecuted"` (it did not run, or was rolled back),
 * `"executed"` (it took effect, and what followed failed) or `"unknown"`.
 */
export type Outcome = "notExecuted" | "executed" | "unknown";

/** Base of every error that onetrip makes. */
export abstract class OnetripError extends Error {
  /** What happened, to branch on. */
  abstract readonly kind: "sql" | "refused" | "endpoint" | "unreachable" | "network" | "protocol" | "usage";
  /** Whether the statement took effect. */
  abstract readonly outcome: Outcome;
  /** The request's name in the endpoint's log, if the endpoint answered. */
  declare requestId?: string;

  /** The name of its class, which bundlers shorten. */
  override get name(): string {
    const { kind = "onetrip" } = this as Partial<this>;
    return `${kind[0].toUpperCase()}${kind.slice(1)}Error`;
  }
}

/** For errors that are made where nobody knows what became of the statement. */
export function setOutcome(error: OnetripError, outcome: Outcome): void {
  (error as { outcome: Outcome }).outcome = outcome;
}

/** The fields of PostgreSQL's ErrorResponse, by their names in PostgreSQL's manual. */
export interface SqlErrorFields {
  /** `ERROR`, `FATAL` or `PANIC`, never translated. */
  readonly severity: string;
  /** The SQLSTATE, five characters: `23505` is unique_violation. */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** Where in the statement, in characters from 1. */
  readonly position?: number;
  readonly internalPosition?: number;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;
  readonly file?: string;
  readonly line?: number;
  readonly routine?: string;
}

/**
 * PostgreSQL refused a statement, and rolled its transaction back. `outcome` is `"unknown"` where that is not so: the
 * server ended the connection (a `severity` of `FATAL`), or the statement can commit on its own (CALL, DO, COMMIT).
 */
export class SqlError extends OnetripError implements SqlErrorFields {
  readonly kind = "sql";
  declare readonly outcome: Outcome;
  declare readonly severity: string;
  declare readonly code: string;
  declare readonly detail?: string;
  declare readonly hint?: string;
  declare readonly position?: number;
  declare readonly internalPosition?: number;
  declare readonly internalQuery?: string;
  declare readonly where?: string;
  declare readonly schema?: string;
  declare readonly table?: string;
  declare readonly column?: string;
  declare readonly dataType?: string;
  declare readonly constraint?: string;
  declare readonly file?: string;
  declare readonly line?: number;
  declare readonly routine?: string;
  /**
   * The index of the failing statement, 0 for a single query. Undefined if all statements ran and the commit failed,
   * as with a deferred constraint.
   */
  declare readonly statement: number | undefined;
  /** The failing statement. Not enumerable, so that logging the error does not log the statement. */
  declare readonly sql: string | undefined;

  constructor(fields: SqlErrorFields, statement: number | undefined, sql: string | undefined, outcome: Outcome) {
    super(fields.message);
    const { message, ...others } = fields;
    Object.assign(this, others, { statement, outcome });
    Object.defineProperty(this, "sql", { value: sql });
  }
}

/**
 * The endpoint, or a proxy in front of it, failed when PostgreSQL may have been at work already: whether the statement
 * took effect is unknown. What was surely not executed is a {@link RefusedError}.
 */
export class EndpointError extends OnetripError {
  readonly kind: "refused" | "endpoint" = "endpoint";
  readonly outcome: Outcome = "unknown";

  constructor(
    message: string,
    /** HTTP status. */
    readonly status: number,
    /** The endpoint's code, such as `invalid_credentials`; undefined if the answer was none of onetrip's. */
    readonly code: string | undefined,
    /** PostgreSQL's SQLSTATE, where PostgreSQL refused. */
    readonly sqlstate: string | undefined,
    /** True if nothing was executed and the same request may be sent again. */
    readonly retryable: boolean,
    /** How long the endpoint asks to wait before that, in seconds. */
    readonly retryAfter: number | undefined,
  ) {
    super(message);
  }
}

/** The endpoint refused the request before PostgreSQL executed anything: credentials, limits, an unreachable database. */
export class RefusedError extends EndpointError {
  override readonly kind = "refused";
  override readonly outcome: Outcome = "notExecuted";
}

/**
 * The answer did not arrive: the connection broke, or `timeoutMs` ran out. `cause` is the runtime's own error. Where it is
 * sure that nothing was sent it is an {@link UnreachableError}.
 */
export class NetworkError extends OnetripError {
  readonly kind: "network" | "unreachable" = "network";
  readonly outcome: Outcome;

  constructor(
    message: string,
    /** The endpoint's URL without credentials. */
    readonly url: string,
    /** True if `timeoutMs` ran out. */
    readonly timedOut: boolean,
    { outcome = "unknown", ...options }: ErrorOptions & { outcome?: Outcome } = {},
  ) {
    super(message, options);
    this.outcome = outcome;
  }
}

/** No connection to the endpoint came about, so that nothing was executed. Workers and browsers never say so much. */
export class UnreachableError extends NetworkError {
  override readonly kind = "unreachable";

  constructor(message: string, url: string, options?: ErrorOptions) {
    super(message, url, false, { ...options, outcome: "notExecuted" });
  }
}

/** The answer is not what PROTOCOL.md says: cut short, corrupt, or not an answer of onetrip's at all. */
export class ProtocolError extends OnetripError {
  readonly kind = "protocol";
  readonly outcome = "unknown";

  constructor(
    message: string,
    /** Where in the answer, in bytes from 0. */
    readonly offset: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An answer that is right as far as it goes. Users see a ProtocolError. */
export class Truncated extends ProtocolError {}

/** The call cannot work as it is: a wrong URL, a value that is no parameter, a result that the chosen type cannot hold. */
export class UsageError extends OnetripError {
  readonly kind = "usage";
  readonly outcome: Outcome = "notExecuted";
}
