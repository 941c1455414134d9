// Entry `onetrip/neon` for Node, browsers and every runtime without an entry of its own.

import { loadFrom } from "../load.js";
import { connectIn, type NeonConnect } from "./connect.js";

/** Connects to a database. Opens nothing: `const sql = connect("postgresql://role:password@host.example/database")`. */
export const connect: NeonConnect = /* @__PURE__ */ connectIn(
  /* @__PURE__ */ loadFrom(async () => (await import("../wasm/inline.js")).bytes()),
);
export * from "./exports.js";
