// Entry for Deno.

export * from "./index.js";
