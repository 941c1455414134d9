// Where requests go, from the URL that the user wrote. No error repeats the URL: it holds a password.

import { UsageError } from "./errors.js";
import type { ConnectOptions } from "./types.js";

const EXAMPLE = "https://role:password@endpoint.example/database";

/** A database behind an endpoint. */
export interface Endpoint {
  /** `https://endpoint.example/v1/database/pipeline` */
  readonly url: string;
  /** The value of the Authorization header. */
  readonly authorization: string;
}

/** Reads the URL and what may stand beside it in the options. */
export function parseEndpoint(
  given: string | URL,
  { role, password }: Pick<ConnectOptions, "role" | "password">,
): Endpoint {
  if (typeof given !== "string" && !(given instanceof URL))
    throw new UsageError(`connect needs the endpoint's URL: ${EXAMPLE}`);
  const text = String(given).trim();
  // No regular expressions here: compiling one costs a cold Worker as much as the rest of this function.
  const scheme = text.slice(0, text.indexOf(":")).toLowerCase();
  if (scheme === "postgres" || scheme === "postgresql") {
    throw new UsageError(
      `This is a URL for PostgreSQL's own protocol over TCP. onetrip needs the HTTP URL of an onetrip endpoint: ${EXAMPLE}; for Neon, PlanetScale or Xata import connect from "onetrip/neon".`,
    );
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // The cause is left out: runtimes put the whole URL into it.
    throw new UsageError(
      `The endpoint's URL cannot be parsed. It should look like ${EXAMPLE}, with / ? # @ : % in the password percent-encoded.`,
    );
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new UsageError(`The endpoint's URL must begin with https:// or http://, as in ${EXAMPLE}`);
  }
  if (url.search !== "" || url.hash !== "") {
    throw new UsageError(
      `The endpoint's URL has a part that begins with ? or #. Options go into connect's second argument; in a password these characters are written %3F and %23.`,
    );
  }
  const [path, ...others] = url.pathname.split("/").filter((part) => part !== "");
  if (path === undefined)
    throw new UsageError(`The endpoint's URL names no database: it is the path, as in ${EXAMPLE}`);
  if (others.length > 0)
    throw new UsageError(`The path of the endpoint's URL must be the database's name alone, as in ${EXAMPLE}`);
  const user = role ?? decode(url.username, "role");
  const secret = password ?? decode(url.password, "password");
  if (user === "") throw new UsageError(`The endpoint's URL names no role (PostgreSQL user): ${EXAMPLE}`);
  if (user.includes(":"))
    throw new UsageError("A role with a colon in its name cannot log in by HTTP Basic authentication.");
  return {
    url: `${url.origin}/v1/${path}/pipeline`,
    authorization: `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${secret}`)))}`,
  };
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`The ${what} in the endpoint's URL is not percent-encoded as it should be: write % as %25.`);
  }
}
