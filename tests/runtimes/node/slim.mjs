// The entry without WebAssembly, and with a module that its user has brought along: bytes, and compiled.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as slim from "onetrip/slim";
import { serve } from "./serve.mjs";

const bytes = readFileSync(fileURLToPath(import.meta.resolve("onetrip/onetrip.wasm")));
const wasm = { none: undefined, bytes, compiled: () => WebAssembly.compile(bytes) }[process.argv[2]];
const connect = (url, options) => slim.connect({ url, wasm, ...options });
serve({ ...slim, connect }, wasm === undefined ? ["endpoint"] : ["endpoint", "local"]);
