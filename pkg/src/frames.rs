//! PostgreSQL's frames to column blocks, by the same encoder that runs in the gateway.

use alloc::vec::Vec;

use onetrip_wire::Error;
use onetrip_wire::backend::tag;
use onetrip_wire::blocks::BlockEncoder;
use onetrip_wire::frame::{self, Limits};
use onetrip_wire::representation::{BlockOptions, Int8, Json, Strings, Timestamps, Values};
use spin::Mutex;
use wasm_bindgen::prelude::wasm_bindgen;

/// The answer that is being read. There is one at a time, because JavaScript reads each without a pause; an object for
/// each would cost a third of the module's glue, and its finalizer could meet an instance that is not its own. Its memory
/// is kept for the next one.
///
/// A Mutex, because it alone needs no code for what cannot happen here; there is one thread.
static ANSWER: Mutex<Option<Decoder>> = Mutex::new(None);

fn answer<T>(read: impl FnOnce(&mut Decoder) -> T) -> T {
    read(ANSWER.lock().get_or_insert_with(Decoder::new))
}

/// Starts an answer. The arguments are the parameters of `Accept` (PROTOCOL.md section 3) with their second value.
#[wasm_bindgen]
pub fn start(utf16: bool, int8_binary: bool, timestamps_text: bool, json_text: bool, values_text: bool) {
    let options = BlockOptions {
        strings: if utf16 { Strings::Utf16 } else { Strings::Utf8 },
        int8: if int8_binary { Int8::Binary } else { Int8::Text },
        timestamps: if timestamps_text { Timestamps::Text } else { Timestamps::Milliseconds },
        json: if json_text { Json::Text } else { Json::Parsed },
        values: if values_text { Values::Text } else { Values::Typed },
    };
    answer(|answer| answer.restart(options));
}

/// Makes room for the next `len` bytes of frames and returns the address where JavaScript writes them.
#[wasm_bindgen]
pub fn input(len: usize) -> *mut u8 {
    answer(|answer| answer.room(len).as_mut_ptr())
}

/// Encodes what was written and returns the length of the blocks that are ready at [`output`]: whole messages. −1: there is
/// a problem.
#[wasm_bindgen]
pub fn encode() -> i32 {
    answer(|answer| {
        let len = i32::try_from(answer.encode().len());
        if answer.problem_at.is_some() { -1 } else { len.unwrap_or(-1) }
    })
}

/// The address of the blocks in the module's memory, valid until the next call.
#[wasm_bindgen]
pub fn output() -> *const u8 {
    answer(|answer| answer.output.as_ptr())
}

/// Where in the answer, in bytes from 0, the bytes were no frames of PostgreSQL's.
#[wasm_bindgen]
pub fn problem_at() -> f64 {
    answer(|answer| answer.problem_at).unwrap_or(0) as f64
}

/// Reads one answer after another, each in pieces of any length.
struct Decoder {
    // Not `onetrip_wire::encoder::Encoder`, which would bring typed JSON along.
    encoder: BlockEncoder,
    /// Room for what JavaScript writes, filled with zeros only when it grows.
    input: Vec<u8>,
    /// How much of `input` was written and is not yet read: after [`Decoder::encode`] at most one frame without its end.
    pending: usize,
    output: Vec<u8>,
    /// How many bytes of the answer were read.
    read: u64,
    problem_at: Option<u64>,
}

/// How much memory of an answer is kept for the next one, in bytes, in each of two places.
const KEPT: usize = 512 << 10;

impl Decoder {
    fn new() -> Decoder {
        let encoder = BlockEncoder::new(BlockOptions::default());
        Decoder { encoder, input: Vec::new(), pending: 0, output: Vec::new(), read: 0, problem_at: None }
    }

    fn restart(&mut self, options: BlockOptions) {
        self.encoder.restart(options);
        self.input.truncate(KEPT);
        self.input.shrink_to(KEPT);
        self.output.clear();
        self.output.shrink_to(KEPT);
        self.pending = 0;
        self.read = 0;
        self.problem_at = None;
    }

    fn room(&mut self, len: usize) -> &mut [u8] {
        let before = self.pending;
        self.pending = before.saturating_add(len);
        if self.input.len() < self.pending {
            self.input.resize(self.pending, 0);
        }
        self.input.get_mut(before..self.pending).unwrap_or_default()
    }

    /// After a problem nothing more is read.
    fn encode(&mut self) -> &[u8] {
        self.output.clear();
        let mut at = 0;
        while self.problem_at.is_none() {
            let rest = self.input.get(at..self.pending).unwrap_or_default();
            match frame(&mut self.encoder, rest, &mut self.output) {
                Ok(0) => break,
                Ok(len) => at += len,
                Err(error) => self.problem_at = Some(self.read + at as u64 + error.offset()),
            }
        }
        self.input.copy_within(at..self.pending, 0);
        self.pending -= at;
        self.read += at as u64;
        &self.output
    }
}

/// Encodes the frame that `bytes` starts with and returns its length; 0 if it is not whole.
fn frame(encoder: &mut BlockEncoder, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
    let Some(frame) = frame::first(bytes, &Limits::default())? else { return Ok(0) };
    if !matches!(frame.tag, tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::BACKEND_KEY) {
        encoder.frame(frame, out)?;
    }
    Ok(frame.frame_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ParseComplete, a RowDescription of one int4, three rows, CommandComplete, ReadyForQuery.
    fn answer() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut frame = |tag: u8, body: &[u8]| {
            bytes.push(tag);
            bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        };
        frame(b'1', b"");
        frame(b'T', b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
        frame(b'D', b"\0\x01\0\0\0\x0242");
        frame(b'D', b"\0\x01\xff\xff\xff\xff");
        frame(b'D', b"\0\x01\0\0\0\x01-");
        frame(b'C', b"SELECT 3\0");
        frame(b'Z', b"I");
        bytes
    }

    fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Option<u64>, usize) {
        let mut decoder = Decoder::new();
        let mut blocks = Vec::new();
        for piece in pieces {
            decoder.room(piece.len()).copy_from_slice(&piece);
            blocks.extend_from_slice(decoder.encode());
        }
        (blocks, decoder.problem_at, decoder.pending)
    }

    #[test]
    fn pieces_of_every_length_give_the_blocks_of_the_whole() {
        let answer = answer();
        let (whole, problem_at, pending) = decode([answer.clone()].into_iter());
        assert!(whole.contains(&b'B') && problem_at.is_none() && pending == 0);
        for len in 1..=answer.len() {
            let pieces = answer.chunks(len).map(<[u8]>::to_vec);
            assert_eq!(decode(pieces), (whole.clone(), None, 0), "pieces of {len} bytes");
        }
    }

    #[test]
    fn a_cut_answer_leaves_pending_bytes_and_no_problem() {
        let answer = answer();
        for len in 0..answer.len() {
            let (_, problem_at, pending) = decode([answer[..len].to_vec()].into_iter());
            assert_eq!(problem_at, None, "after {len} bytes");
            assert!(pending < 40, "after {len} bytes");
        }
    }

    #[test]
    fn bytes_that_are_no_frame_are_named_by_their_offset_and_end_the_answer() {
        let mut answer = answer();
        answer.truncate(5);
        answer.extend_from_slice(&[b'D', 0, 0, 0, 1]);
        for len in 1..=answer.len() {
            let pieces = answer.chunks(len).map(<[u8]>::to_vec).chain([vec![0; 100]]);
            let (_, problem_at, _) = decode(pieces);
            assert_eq!(problem_at, Some(6), "pieces of {len} bytes");
        }
    }
}
