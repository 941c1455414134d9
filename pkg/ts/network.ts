// What the runtime's fetch says when there is no answer.

/** The most telling message of a chain of causes: fetch itself says only that it failed. */
export function causeOf(cause: unknown): string {
  let text = "the request failed";
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const code = (error as { code?: unknown }).code;
    text = error.message || (typeof code === "string" ? code : text);
  }
  return text.replace(/\.$/, "");
}

/** Whether nothing was sent. Node, Deno and Bun say so when no connection came about; elsewhere nobody can tell. */
export function isNotSent(cause: unknown): boolean {
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const code = (error as { code?: unknown }).code;
    if (code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EAI_AGAIN" || code === "ConnectionRefused")
      return true;
  }
  return false;
}
