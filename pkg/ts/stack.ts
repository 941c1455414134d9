// Where an error seems to come from: the code that awaits the query.

import { OnetripError } from "./errors.js";

/**
 * The error with the stack of the code that awaits the query. Engines keep track of it (async stack traces), so that it
 * costs nothing to queries that succeed; the first two frames are this function and the one that it is called by.
 */
export async function atCaller(error: unknown): Promise<unknown> {
  // Who awaits a query they know from its first await on, which what is wrong with its parameters comes before.
  await undefined;
  const [, , ...frames] = String(new Error().stack)
    .split("\n")
    .filter((line) => /^\s+at (?!process\.processTicks)|@/.test(line));
  if (error instanceof OnetripError && frames.length > 0)
    error.stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
  return error;
}
