// Entry for Vercel's Edge runtime, which compiles what is imported with `?module`.

import { connectIn, type Connect } from "./connect.js";
import { loadFrom } from "./load.js";
import module from "./wasm/onetrip_bg.wasm?module";

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn({ strings: "utf16", loadWasm: loadFrom(() => module) });
export * from "./public.js";
