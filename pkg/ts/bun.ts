// Entry for Bun.

import { decodeByBuffer } from "./buffer.js";
import { connectIn, type Connect } from "./connect.js";
import { DirectSender } from "./direct.js";
import { loadFrom } from "./load.js";

decodeByBuffer();

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn(
  {
    // In JavaScriptCore to cut a long string costs nothing, then or later.
    strings: "utf16-joined",
    localStrings: "utf8",
    loadWasm: loadFrom(async () => (await import("./wasm/inline.js")).bytes()),
  },
  DirectSender,
);
export * from "./public.js";
