// What the runtime's fetch says when there is no answer.

import { NetworkError, UnreachableError } from "./errors.js";

/** The error for a fetch, or for the body of its response, that failed with `cause`. */
export function networkError(url: string, cause: unknown): NetworkError {
  // The most telling message of a chain of causes: fetch itself says only that it failed.
  let text = "the request failed";
  let notSent = false;
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const { code, syscall } = error as { code?: unknown; syscall?: unknown };
    text = error.message || (typeof code === "string" ? code : text);
    notSent ||=
      syscall === "connect" ||
      syscall === "getaddrinfo" ||
      (typeof code === "string" && NOT_CONNECTED.test(code)) ||
      NO_SESSION.test(error.message);
  }
  const message = `No answer from ${url}: ${text.replace(/\.$/, "")}.`;
  return notSent ? new UnreachableError(message, url, { cause }) : new NetworkError(message, url, false, { cause });
}

// Node, Deno and Bun tell that no connection came about: by a code (Node and Bun), or by their words (Deno; Node for a TLS
// handshake that is cut). Workers and browsers do not, and a connection that breaks later may have carried the request.
const NOT_CONNECTED =
  /^(E(CONNREFUSED|NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH)|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused)$|CERT|^UNABLE_TO_/;
const NO_SESSION = /client error \(Connect\)|before secure TLS connection was established/;
