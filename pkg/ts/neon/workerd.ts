// Entry `onetrip/neon` for Cloudflare Workers.

import { loadFrom } from "../load.js";
import module from "../wasm/onetrip_bg.wasm";
import { connectIn, type NeonConnect } from "./connect.js";

/** Connects to a database. Opens nothing: `const sql = connect("postgresql://role:password@host.example/database")`. */
export const connect: NeonConnect = /* @__PURE__ */ connectIn(/* @__PURE__ */ loadFrom(() => module));
export * from "./exports.js";
