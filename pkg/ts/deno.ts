// Entry for Deno.

import { decodeByBuffer } from "./buffer.js";
import { connectIn, type Connect } from "./connect.js";
import { DirectSender } from "./direct.js";
import { loadFrom } from "./load.js";

// From 256 bytes of UTF-8 on its TextDecoder is faster.
decodeByBuffer(256);

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn(
  {
    strings: "utf16",
    localStrings: "utf8",
    loadWasm: loadFrom(async () => (await import("./wasm/inline.js")).bytes()),
  },
  DirectSender,
);
export * from "./public.js";
