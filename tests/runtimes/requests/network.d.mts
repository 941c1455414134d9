// Declarations for the projects that are written in TypeScript.

/** What was thrown for each URL. */
export function runNetwork(connect: object, urls: Record<string, string>, onetrip: object): Promise<object>;
