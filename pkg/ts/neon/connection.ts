// The connection string of a query, from what `neon()` and the query were given. No error repeats it: it holds a password.

import { NeonDbError } from "./error.js";
import type { ConnectionParams } from "./public.js";

const NAMES = ["user", "username", "password", "host", "hostname", "port", "database"] as const;
const PARTS = { user: "username", database: "pathname", host: "hostname" } as const;
type Part = "username" | "password" | "hostname" | "port" | "pathname";

/** A connection string and the same as an URL, whose protocol is `http:` so that every runtime can parse it. */
export interface Connection {
  readonly connectionString: string;
  readonly url: URL;
}

/** `params` one over another; a whole connection string puts aside what came before. */
export function merged(...params: readonly ConnectionParams[]): ConnectionParams {
  return params.reduce((all, one) => (one.connectionString !== undefined ? one : { ...all, ...one }), {});
}

/** Resolves functions and puts parameters over the connection string's own. `settings` are added where it has none. */
export async function connectionOf(
  given: string | undefined,
  params: ConnectionParams,
  settings: Readonly<Record<string, string>>,
): Promise<Connection> {
  let text: unknown = params.connectionString ?? given ?? "postgresql://-";
  if (typeof text === "function") text = await (text as () => unknown)();
  if (typeof text !== "string")
    throw new NeonDbError("Connection string must be a string or a function resolving to one");
  for (const [one, other] of [
    ["user", "username"],
    ["host", "hostname"],
  ] as const) {
    if (params[one] !== undefined && params[other] !== undefined)
      throw new NeonDbError(`Please specify one only of ${one} and ${other}`);
  }
  const url = parse(text, false);
  await Promise.all(
    NAMES.map(async (name) => {
      const param = params[name];
      const value = typeof param === "function" ? await param() : param;
      if (value === undefined) return;
      if (typeof value !== "string" && !(name === "port" && typeof value === "number")) {
        const number = name === "port" ? " or a number" : "";
        throw new NeonDbError(
          `Connection parameter "${name}" must be a string${number} or a function resolving to one`,
        );
      }
      url[(PARTS as Record<string, Part>)[name] ?? (name as Part)] = String(value);
    }),
  );
  for (const [name, value] of Object.entries(settings))
    if (!url.searchParams.has(name)) url.searchParams.append(name, value);
  const connectionString = `postgresql:${url.href.slice(url.protocol.length)}`;
  return { connectionString, url: parse(connectionString, true) };
}

function parse(text: string, isWhole: boolean): URL {
  let scheme: string;
  let url: URL;
  try {
    scheme = new URL(text).protocol;
    url = new URL(`http:${text.slice(scheme.length)}`);
  } catch {
    throw new NeonDbError("Database connection string provided to neon() is not a valid URL");
  }
  const { username, hostname, pathname } = url;
  const isIncomplete = isWhole && (!username || !hostname || hostname === "-" || !pathname || pathname === "/");
  if ((scheme !== "postgres:" && scheme !== "postgresql:") || isIncomplete)
    throw new NeonDbError("Wrong URL scheme or missing user, host or database in connection parameters");
  return url;
}
