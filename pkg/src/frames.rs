//! PostgreSQL's frames to column blocks, by the same encoder that runs in the gateway.

use onetrip_wire::Error;
use onetrip_wire::backend::tag;
use onetrip_wire::blocks::BlockEncoder;
use onetrip_wire::frame::{self, Limits};
use onetrip_wire::representation::{BlockOptions, Int8, Json, Strings, Timestamps};
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads one answer in pieces of any length.
#[wasm_bindgen]
pub struct FrameDecoder {
    // Not `onetrip_wire::encoder::Encoder`, which would bring typed JSON along.
    encoder: BlockEncoder,
    /// The beginning of a frame whose end is in a later piece.
    pending: Vec<u8>,
    output: Vec<u8>,
    /// How many bytes of the answer were read as whole frames.
    read: f64,
    problem_at: f64,
}

#[wasm_bindgen]
impl FrameDecoder {
    /// Starts an answer. The arguments are the parameters of `Accept` (PROTOCOL.md section 3) with their second value.
    #[wasm_bindgen(constructor)]
    pub fn new(utf16: bool, int8_binary: bool, timestamps_text: bool, json_text: bool) -> FrameDecoder {
        let options = BlockOptions {
            strings: if utf16 { Strings::Utf16 } else { Strings::Utf8 },
            int8: if int8_binary { Int8::Binary } else { Int8::Text },
            timestamps: if timestamps_text { Timestamps::Text } else { Timestamps::Milliseconds },
            json: if json_text { Json::Text } else { Json::Parsed },
        };
        FrameDecoder {
            encoder: BlockEncoder::new(options),
            pending: Vec::new(),
            output: Vec::new(),
            read: 0.0,
            problem_at: -1.0,
        }
    }

    /// Takes the next piece and returns the length of the blocks that are ready at [`FrameDecoder::output`].
    ///
    /// What is ready is whole messages. After a problem ([`FrameDecoder::problem_at`]) nothing more is read.
    pub fn push(&mut self, frames: &[u8]) -> usize {
        self.output.clear();
        if self.problem_at >= 0.0 {
            return 0;
        }
        let mut rest = frames;
        // First the frame that a piece before began, which gets no more bytes than it needs; then the others in place.
        while !self.pending.is_empty() && !rest.is_empty() {
            let missing = missing(&self.pending).min(rest.len());
            let (now, later) = rest.split_at(missing);
            self.pending.extend_from_slice(now);
            rest = later;
            let pending = core::mem::take(&mut self.pending);
            let read = self.encode(&pending);
            if read == 0 {
                self.pending = pending;
            }
        }
        let read = self.encode(rest);
        self.pending.extend_from_slice(rest.get(read..).unwrap_or_default());
        self.output.len()
    }

    /// The address of the blocks in the module's memory, valid until the next call.
    pub fn output(&self) -> *const u8 {
        self.output.as_ptr()
    }

    /// Where in the answer, in bytes from 0, the bytes were no frames of PostgreSQL's; −1: nowhere.
    pub fn problem_at(&self) -> f64 {
        self.problem_at
    }

    /// How many bytes at the end of what was pushed are not yet a whole frame.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn encode(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() || self.problem_at >= 0.0 {
            return 0;
        }
        let mut at = 0;
        let problem = loop {
            match self.frame(bytes.get(at..).unwrap_or_default()) {
                Ok(0) => break None,
                Ok(len) => at += len,
                Err(error) => break Some(error.offset()),
            }
        };
        self.read += at as f64;
        if let Some(offset) = problem {
            self.problem_at = self.read + offset as f64;
        }
        at
    }

    /// Encodes the frame that `bytes` starts with and returns its length; 0 if it is not whole.
    fn frame(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Some(frame) = frame::first(bytes, &Limits::default())? else { return Ok(0) };
        if !matches!(frame.tag, tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::BACKEND_KEY) {
            self.encoder.frame(frame, &mut self.output)?;
        }
        Ok(frame.frame_len())
    }
}

/// How many bytes the frame that `bytes` begins still needs, as far as that is known: at least 1.
fn missing(bytes: &[u8]) -> usize {
    let whole = match bytes {
        &[_, a, b, c, d, ..] => (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(1),
        _ => 5,
    };
    whole.saturating_sub(bytes.len()).max(1)
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

    fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, f64, usize) {
        let mut decoder = FrameDecoder::new(true, false, false, false);
        let mut blocks = Vec::new();
        for piece in pieces {
            let len = decoder.push(&piece);
            assert_eq!(len, decoder.output.len());
            blocks.extend_from_slice(&decoder.output);
        }
        (blocks, decoder.problem_at(), decoder.pending())
    }

    #[test]
    fn pieces_of_every_length_give_the_blocks_of_the_whole() {
        let answer = answer();
        let (whole, problem_at, pending) = decode([answer.clone()].into_iter());
        assert!(whole.contains(&b'B') && problem_at < 0.0 && pending == 0);
        for len in 1..=answer.len() {
            let pieces = answer.chunks(len).map(<[u8]>::to_vec);
            assert_eq!(decode(pieces), (whole.clone(), -1.0, 0), "pieces of {len} bytes");
        }
    }

    #[test]
    fn a_cut_answer_leaves_pending_bytes_and_no_problem() {
        let answer = answer();
        for len in 0..answer.len() {
            let (_, problem_at, pending) = decode([answer[..len].to_vec()].into_iter());
            assert_eq!(problem_at, -1.0, "after {len} bytes");
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
            assert_eq!(problem_at, 6.0, "pieces of {len} bytes");
        }
    }
}
