// Entry for Cloudflare Workers, which compile WebAssembly when a Worker is deployed and never later.

import { connectIn, type Connect } from "./connect.js";
import { loadFrom } from "./load.js";

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn({
  strings: "utf16",
  // Not above: an isolate would load the module when it starts, and most never need it.
  loadWasm: loadFrom(async () => (await import("./wasm/onetrip_bg.wasm")).default),
});
export * from "./public.js";
