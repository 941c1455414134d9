// The seam to WebAssembly: loaded when it is first needed, which for most programs is never.
//
// Two things live there, both written once, in Rust: the encoder of column blocks, for endpoints that send PostgreSQL's
// frames, and the retry policy.

import { OnetripError, ProtocolError } from "./errors.js";
import { Reader } from "./reader.js";
import type { ResponseReader } from "./response.js";
import type { Group } from "./statement.js";
import type { Decoders } from "./types.js";

/** An instance of the module. */
export interface Wasm {
  /** The boundary crate's (pkg/src) functions as they are: addresses are signed. */
  exports: {
    readonly memory: { readonly buffer: ArrayBuffer };
    start(
      utf16: boolean,
      int8_binary: boolean,
      timestamps_text: boolean,
      json_text: boolean,
      values_text: boolean,
    ): void;
    input(length: number): number;
    encode(): number;
    output(): number;
    problem_at(): number;
    retry_after_ms(
      attempts: number,
      number: number,
      elapsed_ms: number,
      deadline_ms: number,
      outcome: number,
      retryable: boolean,
      retry_after_ms: number,
      repeat: boolean,
      random: number,
    ): number;
  };
  /** Begins anew with fresh memory: after a trap the old one is in an unknown state. */
  reset(): void;
}

/** Loads the module once; asked again, it gives the same. */
export type LoadWasm = () => Promise<Wasm>;

/** How much is handed over at once: bounds the module's memory, which never shrinks, whatever the answer's length. */
const PIECE = 1 << 18;

/** The module's memory as it last was: it moves when it grows. Making views costs as much as reading a row. */
let memory = new Uint8Array(0);
let memoryView = new DataView(memory.buffer);

function updateMemory({ memory: { buffer } }: Wasm["exports"]): void {
  if (memory.buffer === buffer) return;
  memory = new Uint8Array(buffer);
  memoryView = new DataView(buffer);
}

/** Turns an answer in frames into blocks, piece by piece, and hands them to `response`. */
export function readFrames(
  wasm: Wasm,
  frames: Uint8Array,
  strings: "utf8" | "utf16",
  mapping: WireMapping,
  response: ResponseReader,
): void {
  try {
    const { exports } = wasm;
    exports.start(
      strings === "utf16",
      mapping.int8Binary,
      mapping.timestampsText,
      mapping.jsonText,
      mapping.valuesText,
    );
    for (let at = 0; at < frames.length; at += PIECE) {
      const piece = frames.length <= PIECE ? frames : frames.subarray(at, at + PIECE);
      const input = exports.input(piece.length) >>> 0;
      updateMemory(exports);
      memory.set(piece, input);
      const length = exports.encode();
      if (length < 0) {
        const problem = exports.problem_at();
        throw new ProtocolError(
          `The endpoint's answer is corrupt near byte ${problem}: these are not PostgreSQL's frames.`,
          problem,
        );
      }
      if (length === 0) continue;
      // The rows are copied out of the module's memory here, before the next call can change it.
      const output = exports.output() >>> 0;
      updateMemory(exports);
      response.read(new Reader(memory, memoryView, output, output + length, response.before));
    }
  } catch (error) {
    if (error instanceof OnetripError) throw error;
    // A trap, most likely for want of memory: what is left of this answer must not meet the next one.
    wasm.reset();
    throw new ProtocolError(
      "The endpoint's answer could not be decoded in WebAssembly; is it too large for its memory?",
      0,
      { cause: error },
    );
  }
}

/** What is asked of an encoder so that every statement of a request gets what it wants. */
export interface WireMapping {
  readonly int8Binary: boolean;
  readonly timestampsText: boolean;
  readonly jsonText: boolean;
  readonly valuesText: boolean;
}

/** The finest of what several statements want: from text every other form can still be made. */
export function wireMapping(groups: readonly Group[]): WireMapping {
  const wanted = { int8Binary: true, timestampsText: false, jsonText: false, valuesText: false };
  for (const { statements } of groups) {
    for (const { mapping } of statements) {
      wanted.int8Binary &&= mapping.int8 !== "string";
      wanted.timestampsText ||= mapping.timestamps === "string";
      wanted.jsonText ||= mapping.json === "text";
      if (mapping.decoders !== undefined) addDecoders(wanted, mapping.decoders);
    }
  }
  return wanted;
}

/** Decoders of the user's read PostgreSQL's text. */
function addDecoders(wanted: { -readonly [Name in keyof WireMapping]: boolean }, decoders: Decoders): void {
  const has = (...oids: readonly number[]): boolean => oids.some((oid) => decoders[oid] !== undefined);
  wanted.int8Binary &&= !has(20);
  wanted.timestampsText ||= has(1114, 1184);
  wanted.jsonText ||= has(114, 3802);
  wanted.valuesText ||= has(16, 17, 21, 23, 26, 700, 701);
}
