// Where requests go, from the connection string that a service gives out. No error repeats it: it holds a password.

import { UsageError } from "../errors.js";
import { nameOf } from "../parameters.js";
import type { ConnectOptions } from "../types.js";
import { endpointOf } from "./config.js";

const EXAMPLE = "postgresql://role:password@host.example/database";

/** Options of the `connect` of `onetrip/neon`. */
export interface NeonConnectOptions extends Omit<ConnectOptions, "url"> {
  /** The connection string, as the service gives it out: `postgresql://role:password@host/database`. */
  readonly url?: string | URL | undefined;
  /**
   * The URL that SQL is posted to, or a function that makes it of the connection string's host. Default: Neon's and Xata's
   * rule for hosts under `neon.tech` and `xata.tech` (`https://api.region.aws.neon.tech/sql`), `https://host/sql` for all
   * others, as PlanetScale has it.
   */
  readonly endpoint?: string | ((host: string) => string) | undefined;
}

/** A database behind a Neon-compatible endpoint. */
export interface NeonEndpoint {
  /** Where requests go, without credentials. */
  readonly url: string;
  /** What the endpoint finds the database and logs in by. */
  readonly connectionString: string;
}

/** Reads the connection string and what may stand beside it in the options. */
export function parseConnectionString(
  given: string | URL | undefined,
  { role, password, endpoint }: Pick<NeonConnectOptions, "role" | "password" | "endpoint">,
): NeonEndpoint {
  if (typeof given !== "string" && !(given instanceof URL))
    throw new UsageError(`connect needs a connection string: ${EXAMPLE}`);
  const text = String(given).trim();
  const scheme = text.slice(0, text.indexOf(":")).toLowerCase();
  if (scheme === "http" || scheme === "https")
    throw new UsageError(
      `This is an HTTP URL. onetrip/neon needs a connection string, ${EXAMPLE}; for an onetrip endpoint import connect from "onetrip".`,
    );
  if (scheme !== "postgres" && scheme !== "postgresql")
    throw new UsageError(`The connection string must begin with postgresql://, as in ${EXAMPLE}`);
  let url: URL;
  try {
    // Not every runtime takes an unknown scheme apart.
    url = new URL(`http${text.slice(scheme.length)}`);
  } catch {
    // The cause is left out: runtimes put the whole URL into it.
    throw new UsageError(
      `The connection string cannot be parsed. It should look like ${EXAMPLE}, with / ? # @ : % in the password percent-encoded.`,
    );
  }
  if (role !== undefined) url.username = encodeURIComponent(role);
  if (password !== undefined) url.password = encodeURIComponent(password);
  if (url.username === "") throw new UsageError(`The connection string names no role (PostgreSQL user): ${EXAMPLE}`);
  if (url.pathname === "" || url.pathname === "/")
    throw new UsageError(`The connection string names no database: it is the path, as in ${EXAMPLE}`);
  if (!url.searchParams.has("application_name")) url.searchParams.append("application_name", "onetrip");
  return { url: sqlUrl(url.hostname, endpoint), connectionString: `postgresql${url.href.slice("http".length)}` };
}

function sqlUrl(host: string, endpoint: NeonConnectOptions["endpoint"]): string {
  if (endpoint === undefined) return /\.(neon|xata)\.tech$/.test(host) ? endpointOf(host) : `https://${host}/sql`;
  const given: unknown = typeof endpoint === "function" ? endpoint(host) : endpoint;
  const scheme = typeof given === "string" ? given.slice(0, given.indexOf(":")) : nameOf(given);
  if (scheme !== "https" && scheme !== "http")
    throw new UsageError('The option "endpoint" must be, or return, an HTTP URL such as https://host.example/sql.');
  if ((given as string).includes("@"))
    throw new UsageError('The option "endpoint" holds credentials, which belong into the connection string.');
  return given as string;
}
