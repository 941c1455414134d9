// Text by Node's Buffer, which Deno and Bun have, too: a call takes a half of a TextDecoder's, of UTF-16 a tenth.

import { decoders } from "./reader.js";

/** What Node, Deno and Bun have in `Buffer.prototype`, in all versions; these take any bytes as `this`. */
interface Slices {
  utf8Slice(this: Uint8Array, start: number, end: number): string;
  ucs2Slice(this: Uint8Array, start: number, end: number): string;
}

/** Has text decoded by the runtime's Buffer, if there is one: UTF-8 of less than `short` bytes, and UTF-16. */
export function decodeByBuffer(short = Infinity): void {
  const { utf8Slice, ucs2Slice } = (globalThis as { Buffer?: { prototype: Partial<Slices> } }).Buffer?.prototype ?? {};
  const [utf8, utf16] = decoders;
  if (utf8Slice !== undefined)
    decoders[0] = (bytes, start, end) =>
      end - start < short ? utf8Slice.call(bytes, start, end) : utf8(bytes, start, end);
  // Half a unit it would leave out.
  if (ucs2Slice !== undefined)
    decoders[1] = (bytes, start, end) =>
      (end - start) % 2 === 0 ? ucs2Slice.call(bytes, start, end) : utf16(bytes, start, end);
}
