// Declarations for the projects that are written in TypeScript.

/** All that a runtime is asked: the scenarios by each way to decode, and the mistakes. */
export function runAll(onetrip: object, url: string, input: unknown, ways?: ("endpoint" | "local")[]): Promise<object>;
