// A socket whose other end is in memory: what PostgreSQL would answer to a client's messages, from recorded frames.
//
// The clients of PostgreSQL's own protocol publish no decoder, so they are measured whole, over this in place of a
// connection. It is a Duplex, as every socket of Node's is, and it hands over at most 64 KiB at once, as those do.

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";

const PIECE = 1 << 16;
const tags = { parseComplete: 0x31, bindComplete: 0x32, rowDescription: 0x54, ready: 0x5a };

/** A frame of the server's: its tag, its length, its body. */
function frame(tag, body) {
  const bytes = Buffer.alloc(5 + body.length);
  bytes[0] = tag.charCodeAt(0);
  bytes.writeUInt32BE(4 + body.length, 1);
  bytes.set(body, 5);
  return bytes;
}

const word = (number) => Buffer.from([number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255]);
const WELCOME = Buffer.concat([
  frame("R", word(0)),
  frame("S", Buffer.from("server_version\x0018.0\0")),
  frame("S", Buffer.from("client_encoding\0UTF8\0")),
  frame("S", Buffer.from("standard_conforming_strings\0on\0")),
  frame("K", Buffer.concat([word(1), word(2)])),
  frame("Z", Buffer.from("I")),
]);
/** Of a statement with one parameter, an int4. */
const PARAMETERS = frame("t", Buffer.concat([Buffer.from([0, 1]), word(23)]));

/** What the server says to each message of an extended query, cut out of a whole answer. */
function parts(answer) {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.length);
  const next = (at) => at + 1 + bytes.readUInt32BE(at + 1);
  const description = next(next(0));
  const rows = next(description);
  const ready = bytes.length - 6;
  if (
    bytes[0] !== tags.parseComplete ||
    bytes[next(0)] !== tags.bindComplete ||
    bytes[description] !== tags.rowDescription ||
    bytes[ready] !== tags.ready
  )
    throw new Error("this is not the answer to one extended query");
  return {
    P: [bytes.subarray(0, next(0))],
    B: [bytes.subarray(next(0), description)],
    "D of a statement": [PARAMETERS, bytes.subarray(description, rows)],
    "D of a portal": [bytes.subarray(description, rows)],
    E: [bytes.subarray(rows, ready)],
    C: [frame("3", Buffer.alloc(0))],
    S: [bytes.subarray(ready)],
    H: [],
  };
}

export class MemorySocket extends Duplex {
  #parts;
  /** What was answered to a flight of messages, by their kinds: made once, as if it lay in the kernel. */
  #answers = new Map();
  #isWelcome = false;
  #flight = "";
  readyState = "open";

  /** `answer` is what PostgreSQL sends for Parse, Bind, Describe, Execute and Sync. */
  constructor(answer) {
    super();
    this.#parts = parts(answer);
  }

  connect() {
    queueMicrotask(() => this.emit("connect"));
    return this;
  }
  setNoDelay() {
    return this;
  }
  setKeepAlive() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }

  _read() {}

  _write(chunk, _encoding, done) {
    this.#take(chunk);
    done();
  }

  #take(chunk) {
    let at = 0;
    if (!this.#isWelcome) {
      // The startup message has no kind.
      this.#isWelcome = true;
      at = chunk.readUInt32BE(0);
      queueMicrotask(() => this.push(WELCOME));
    }
    // Messages are written whole by both clients.
    while (at < chunk.length) {
      const kind = String.fromCharCode(chunk[at]);
      if (kind === "X") return;
      this.#flight += kind === "D" ? (chunk[at + 5] === 0x53 ? "d" : "D") : kind;
      at += 1 + chunk.readUInt32BE(at + 1);
      if (kind === "S" || kind === "H") {
        const flight = this.#flight;
        this.#flight = "";
        // No socket answers while it is still being written to, and postgres.js counts on that.
        queueMicrotask(() => this.#answer(flight));
      }
    }
  }

  #answer(flight) {
    let answer = this.#answers.get(flight);
    if (answer === undefined) {
      const names = { d: "D of a statement", D: "D of a portal" };
      answer = Buffer.concat([...flight].flatMap((kind) => this.#parts[names[kind] ?? kind]));
      this.#answers.set(flight, answer);
    }
    for (let at = 0; at < answer.length; at += PIECE) this.push(answer.subarray(at, at + PIECE));
  }
}
