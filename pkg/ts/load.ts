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
  const [glue, given] = await Promise.all([import("./wasm/onetrip_bg.js"), source()]);
  const bytes = given instanceof ArrayBuffer || ArrayBuffer.isView(given);
  // Not `instanceof WebAssembly.Module`: on Vercel Edge a module comes from another realm.
  const module = bytes ? await WebAssembly.compile(given as BufferSource) : given;
  let exports: Exports;
  const begin = (instance: WebAssembly.Instance): void => {
    exports = instance.exports as unknown as Exports;
    glue.__wbg_set_wasm(exports);
    exports.__wbindgen_start?.();
  };
  const imports = { "./onetrip_bg.js": glue } as unknown as WebAssembly.Imports;
  begin(await WebAssembly.instantiate(module, imports));
  return {
    ...glue,
    get memory() {
      return exports.memory;
    },
    reset: () => begin(new WebAssembly.Instance(module, imports)),
  };
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly __wbindgen_start?: () => void;
}
