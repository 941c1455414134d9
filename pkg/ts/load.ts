// Instantiates the WebAssembly module, whatever form the platform has it in, once.

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
  const module = (bytes ? await WebAssembly.compile(given as BufferSource) : given) as WebAssembly.Module;
  // It imports nothing and only numbers pass, so that of wasm-bindgen's glue nothing is needed.
  const { exports } = await WebAssembly.instantiate(module);
  // Another request may have been sooner.
  return (loaded ??= {
    exports: exports as unknown as Wasm["exports"],
    reset() {
      this.exports = new WebAssembly.Instance(module).exports as unknown as Wasm["exports"];
    },
  });
}
