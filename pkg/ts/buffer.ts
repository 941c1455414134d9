// Text by Node's Buffer, which Deno and Bun have, too: a call takes a half of a TextDecoder's, of UTF-16 a tenth.

import { decoders } from "./reader.js";

/** What Node, Deno and Bun have in `Buffer.prototype`. No page promises it, nor that any bytes will do as `this`. */
type Slice = (this: Uint8Array, start: number, end: number) => string;

/** Has text decoded by the runtime's Buffer, as far as that can do it: UTF-8 of less than `short` bytes, and UTF-16. */
export function decodeByBuffer(short = Infinity): void {
  const { utf8Slice, ucs2Slice } =
    (globalThis as { Buffer?: { prototype: { utf8Slice?: Slice; ucs2Slice?: Slice } } }).Buffer?.prototype ?? {};
  const [utf8, utf16] = decoders;
  if (reads(utf8Slice, 0xc3, 0xa9))
    decoders[0] = (bytes, start, end) =>
      end - start < short ? utf8Slice.call(bytes, start, end) : utf8(bytes, start, end);
  // Half a unit it would leave out.
  if (reads(ucs2Slice, 0xe9, 0x00))
    decoders[1] = (bytes, start, end) =>
      (end - start) % 2 === 0 ? ucs2Slice.call(bytes, start, end) : utf16(bytes, start, end);
}

/** Whether `slice` is there and reads an é that these bytes are. */
function reads(slice: Slice | undefined, ...bytes: readonly number[]): slice is Slice {
  try {
    return slice?.call(Uint8Array.of(0, ...bytes), 1, 3) === "é";
  } catch {
    return false;
  }
}
