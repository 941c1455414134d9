// Entry for Node.

import { decodeByBuffer } from "./buffer.js";
import { connectIn, type Connect } from "./connect.js";
import { DirectSender } from "./direct.js";
import { loadFrom } from "./load.js";

decodeByBuffer();

/** Connects to a database. Opens nothing: `const sql = connect("https://role:password@endpoint.example/database")`. */
export const connect: Connect = connectIn(
  {
    strings: "utf16",
    loadWasm: loadFrom(async () => (await import("./wasm/inline.js")).bytes()),
  },
  DirectSender,
);
export * from "./public.js";
