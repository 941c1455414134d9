// The bytes of one answer, with the few ways to read them that the decoders share.

import { ProtocolError } from "./errors.js";

// `ignoreBOM` keeps a U+FEFF that a value starts with.
const options = { ignoreBOM: true };
const utf8 = new TextDecoder("utf-8", options);
let utf16: TextDecoder | undefined;

/** Reads the text that stands from `start` to `end`. What is ill-formed is replaced. */
export type Decode = (bytes: Uint8Array, start: number, end: number) => string;

/** By the number that an encoding has on the wire; buffer.ts has others for some runtimes. */
export const decoders: Decode[] = [
  (bytes, start, end) => utf8.decode(bytes.subarray(start, end)),
  (bytes, start, end) => (utf16 ??= new TextDecoder("utf-16le", options)).decode(bytes.subarray(start, end)),
];

/** Answers of up to this many bytes are copied here, because a DataView costs as much as reading a row. */
const small = new Uint8Array(4096);
const smallView = new DataView(small.buffer);

/** A piece of an answer, usually all of it: the bytes of `bytes` from `start` to `end`. */
export class Reader {
  constructor(
    readonly bytes: Uint8Array,
    /** The same bytes. */
    readonly view: DataView,
    readonly start: number,
    readonly end: number,
    /** How many bytes of the answer came before. */
    readonly before: number,
  ) {}

  /** Reads `bytes`, before anything else is read. */
  static of(bytes: Uint8Array, before: number): Reader {
    const { length } = bytes;
    if (length > small.length)
      return new Reader(bytes, new DataView(bytes.buffer, bytes.byteOffset, length), 0, length, before);
    small.set(bytes);
    return new Reader(small, smallView, 0, length, before);
  }

  /** The text from `start` to `end`. `encoding` is 0 for UTF-8 and 1 for UTF-16, little-endian. */
  text(start: number, end: number, encoding: number): string {
    if (start === end) return "";
    const decode = decoders[encoding] ?? this.corrupt(start, `text is of the unknown encoding ${encoding}`);
    return decode(this.bytes, start, end);
  }

  /** The offset behind `length` bytes from `at`, which must not go beyond `end`. */
  fits(at: number, length: number, end: number): number {
    const next = at + length;
    if (next > end) this.corrupt(at, "a block has the wrong length");
    return next;
  }

  /** Throws the ProtocolError for a byte that should not be there. */
  corrupt(at: number, what: string): never {
    const offset = this.before + at - this.start;
    throw new ProtocolError(`The endpoint's answer is corrupt near byte ${offset}: ${what}.`, offset);
  }
}
