// Entry for Bun.

export * from "./index.js";
