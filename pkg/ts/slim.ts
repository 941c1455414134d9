// Entry without WebAssembly: bring your own module, or do without.

import { connectIn } from "./connect.js";
import { UsageError } from "./errors.js";
import { loadFrom, type WasmSource } from "./load.js";
import type { ConnectOptions, Sql } from "./types.js";

/** Options of the slim `connect`. */
export interface SlimOptions extends ConnectOptions {
  readonly url: string | URL;
  /**
   * The module `onetrip/onetrip.wasm`, compiled or as bytes, or a function that gets it. Without it nothing is sent
   * twice after a failure, and the endpoint must make the column blocks.
   */
  readonly wasm?: WasmSource | (() => WasmSource | Promise<WasmSource>) | undefined;
  /** Which form of text the runtime's TextDecoder reads fastest, if it is not ASCII. Default: `"utf8"`. */
  readonly strings?: "utf8" | "utf16" | undefined;
}

/** Connects to a database: `connect({ url: "https://role:password@endpoint.example/database" })`. */
export function connect({ wasm, strings = "utf8", ...options }: SlimOptions): Sql {
  if (strings !== "utf8" && strings !== "utf16")
    throw new UsageError('The option "strings" must be "utf8" or "utf16".');
  const source =
    typeof wasm === "function" ? (wasm as () => WasmSource | Promise<WasmSource>) : () => wasm as WasmSource;
  return connectIn({ strings, loadWasm: wasm === undefined ? undefined : loadFrom(source) })(options);
}

export type { WasmSource };
export * from "./public.js";
