// Entry for Cloudflare Workers, which compile WebAssembly when a Worker is deployed and never later.

import { connectIn, type Connect } from "./connect.js";
import { loadFrom } from "./load.js";
import module from "./wasm/onetrip_bg.wasm";

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn({ strings: "utf16", loadWasm: loadFrom(() => module) });
export * from "./public.js";
