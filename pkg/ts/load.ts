// Instantiates the WebAssembly module, whatever form the platform has it in, once.

import type { LoadWasm, Wasm } from "./wasm.js";

/** A compiled module where the platform forbids compiling (Workers, Vercel Edge), or its bytes. */
export type WasmSource = WebAssembly.Module | BufferSource;

let loaded: Promise<Wasm> | undefined;

/** A loader of the module from `source`, which is asked when the module is first needed. */
export function loadFrom(source: () => WasmSource | Promise<WasmSource>): LoadWasm {
  return () => {
    loaded ??= instantiate(source).catch((error: unknown) => {
      // The next request may have more luck with the file or the network.
      loaded = undefined;
      throw error;
    });
    return loaded;
  };
}

async function instantiate(source: () => WasmSource | Promise<WasmSource>): Promise<Wasm> {
  const glue = await import("./wasm/onetrip.js");
  const module = { module_or_path: await source() };
  await glue.default(module);
  return {
    get memory() {
      // Once there is an instance, the glue answers with it and reads no argument.
      return glue.initSync({ module: module.module_or_path }).memory;
    },
    FrameDecoder: glue.FrameDecoder,
    retry_after_ms: glue.retry_after_ms,
    reset: glue.__wbg_reset_state,
  };
}
