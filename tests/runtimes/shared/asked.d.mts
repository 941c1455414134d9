// Declarations for the projects that are written in TypeScript.

/** Runs what is asked for, with the entries of the package as they were imported there. */
export function runAsked(
  what: string | undefined,
  entries: { onetrip: object; neon: object; sqlstate: object },
  url: string,
  input: unknown,
): Promise<object>;
