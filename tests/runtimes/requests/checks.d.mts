// Declarations for the projects that are written in TypeScript.

/** The names of the checks that failed, with the reason. */
export function runRequests(
  connect: object,
  url: string,
  onetrip: object,
  sqlstate: object,
  prefix: string,
): Promise<string[]>;
