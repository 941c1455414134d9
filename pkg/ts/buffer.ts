// Text by Node's Buffer, which Deno and Bun have, too: a call takes a half of a TextDecoder's, of UTF-16 a tenth.

import { decoders } from "./reader.js";

/** What Node, Deno and Bun have in `Buffer.prototype`. No page promises it, nor that any bytes will do as `this`. */
type Slice = (this: ArrayBufferView, start: number, end: number) => string;

/** Reads text as the decoders of a Reader do, out of a DataView. */
type DecodeView = (view: ArrayBufferView, start: number, end: number) => string;

/** By Buffer, once `decodeByBuffer` found that it can. */
export let decodeUtf8: DecodeView | undefined;
export let decodeUtf16: DecodeView | undefined;

/** Has text decoded by the runtime's Buffer, as far as that can do it: UTF-8 of less than `short` bytes, and UTF-16. */
export function decodeByBuffer(short = Infinity): void {
  const { utf8Slice, ucs2Slice } =
    (globalThis as { Buffer?: { prototype: { utf8Slice?: Slice; ucs2Slice?: Slice } } }).Buffer?.prototype ?? {};
  const [utf8, utf16] = decoders;
  const [aUtf8, aUtf16] = [Uint8Array.of(0, 0xc3, 0xa9), Uint8Array.of(0, 0xe9, 0x00)];
  if (reads(utf8Slice, aUtf8)) {
    const decode: DecodeView = (view, start, end) =>
      end - start < short ? utf8Slice.call(view, start, end) : utf8(bytesOf(view), start, end);
    decoders[0] = decode;
    if (reads(utf8Slice, new DataView(aUtf8.buffer))) decodeUtf8 = decode;
  }
  // Half a unit it would leave out.
  if (reads(ucs2Slice, aUtf16)) {
    const decode: DecodeView = (view, start, end) =>
      (end - start) % 2 === 0 ? ucs2Slice.call(view, start, end) : utf16(bytesOf(view), start, end);
    decoders[1] = decode;
    if (reads(ucs2Slice, new DataView(aUtf16.buffer))) decodeUtf16 = decode;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Whether `slice` is there and reads an é, which stands behind a byte of this view. */
function reads(slice: Slice | undefined, view: ArrayBufferView): slice is Slice {
  try {
    return slice?.call(view, 1, 3) === "é";
  } catch {
    return false;
  }
}
