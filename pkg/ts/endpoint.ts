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
  const url = parsed(given);
  // No regular expressions here: compiling one costs a cold Worker as much as the rest of this function.
  const path = url?.pathname.split("/").filter((part) => part !== "");
  if (path?.length !== 1 || !isHttp(url as URL)) throw wrong(given, url, path);
  const { origin, username, password: encoded } = url as URL;
  const user = role ?? decode(username, "role");
  const secret = password ?? decode(encoded, "password");
  if (user === "" || user.includes(":")) throw wrongRole(user);
  return {
    url: `${origin}/v1/${path[0]}/pipeline`,
    authorization: `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${secret}`)))}`,
  };
}

function parsed(given: string | URL): URL | undefined {
  if (typeof given !== "string") return given instanceof URL ? given : undefined;
  try {
    return new URL(given.trim());
  } catch {
    // The cause is left out: runtimes put the whole URL into it.
    return undefined;
  }
}

/** Whether there is nothing in the URL that an endpoint's has not. */
function isHttp({ protocol, search, hash }: URL): boolean {
  return (protocol === "https:" || protocol === "http:") && search === "" && hash === "";
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`The ${what} in the endpoint's URL is not percent-encoded as it should be: write % as %25.`);
  }
}

/** What is wrong with a URL. Apart from what reads one, for V8 compiles functions as a whole, and few URLs are wrong. */
function wrong(given: unknown, url: URL | undefined, path: readonly string[] | undefined): UsageError {
  return new UsageError(
    typeof given !== "string" && !(given instanceof URL)
      ? `connect needs the endpoint's URL: ${EXAMPLE}`
      : /^\s*postgres(ql)?:/i.test(String(given))
        ? `This is a URL for PostgreSQL's own protocol over TCP. onetrip needs the HTTP URL of an onetrip endpoint: ${EXAMPLE}; for Neon, PlanetScale or Xata import connect from "onetrip/neon".`
        : url === undefined
          ? `The endpoint's URL cannot be parsed. It should look like ${EXAMPLE}, with / ? # @ : % in the password percent-encoded.`
          : url.protocol !== "https:" && url.protocol !== "http:"
            ? `The endpoint's URL must begin with https:// or http://, as in ${EXAMPLE}`
            : url.search !== "" || url.hash !== ""
              ? `The endpoint's URL has a part that begins with ? or #. Options go into connect's second argument; in a password write %3F and %23.`
              : path?.length === 0
                ? `The endpoint's URL names no database: it is the path, as in ${EXAMPLE}`
                : `The path of the endpoint's URL must be the database's name alone, as in ${EXAMPLE}`,
  );
}

function wrongRole(user: string): UsageError {
  return new UsageError(
    user === ""
      ? `The endpoint's URL names no role (PostgreSQL user): ${EXAMPLE}`
      : "A role with a colon in its name cannot log in by HTTP Basic authentication.",
  );
}
