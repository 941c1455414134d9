// Instantiates the WebAssembly module, whatever form the platform has it in, once.

import {
  __wbg_set_wasm,
  __wbindgen_init_externref_table,
  encode,
  input,
  output,
  problem_at,
  retry_after_ms,
  start,
} from "./wasm/onetrip_bg.js";
import type { LoadWasm, Wasm } from "./wasm.js";

/** A compiled module where the platform forbids compiling (Workers, Vercel Edge), or its bytes. */
export type WasmSource = WasmModule | ArrayBuffer | ArrayBufferView;

/** `WebAssembly.Module`, which Node's types do not have. */
export type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } }
  ? Module
  : never;

let loaded: Wasm | undefined;

/**
 * A loader of the module from `source`, which is asked when the module is first needed. Requests that need it at once
 * load it each for itself: a Worker's request that is cancelled runs no further, so none may wait for another's work.
 */
export function loadFrom(source: () => WasmSource | Promise<WasmSource>): LoadWasm {
  return async () => loaded ?? (await instantiate(source));
}

async function instantiate(source: () => WasmSource | Promise<WasmSource>): Promise<Wasm> {
  const given = await source();
  const bytes = given instanceof ArrayBuffer || ArrayBuffer.isView(given);
  // Not `instanceof WebAssembly.Module`: on Vercel Edge a module comes from another realm.
  const module = bytes ? await WebAssembly.compile(given as BufferSource) : given;
  let exports: Exports;
  const begin = (instance: WebAssembly.Instance): void => {
    exports = instance.exports as unknown as Exports;
    __wbg_set_wasm(exports);
    exports.__wbindgen_start?.();
  };
  const imports = { "./onetrip_bg.js": { __wbindgen_init_externref_table } };
  const instance = await WebAssembly.instantiate(module as WebAssembly.Module, imports);
  // Another request may have been sooner; the glue knows one instance.
  if (loaded !== undefined) return loaded;
  begin(instance);
  loaded = {
    start,
    input,
    encode,
    output,
    problem_at,
    retry_after_ms,
    get memory() {
      return exports.memory;
    },
    reset: () => begin(new WebAssembly.Instance(module as WebAssembly.Module, imports)),
  };
  return loaded;
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly __wbindgen_start?: () => void;
}
