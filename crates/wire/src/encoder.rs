//! Frames into the representation that a client asked for: one loop for the gateway and for wasm.

use alloc::vec::Vec;

use crate::Error;
use crate::backend::tag;
use crate::blocks::BlockEncoder;
use crate::frame::{self, Frame, HEADER_LEN, Limits};
use crate::json::JsonEncoder;
use crate::representation::Representation;

/// Turns the frames of an answer, one after another, into one representation.
///
/// `ParameterStatus`, `BackendKeyData` and `NotificationResponse` are left out of all of them.
pub struct Encoder(Inner);

enum Inner {
    Frames,
    Blocks(BlockEncoder),
    Json(JsonEncoder),
}

impl Encoder {
    /// Starts an answer. `batch` says whether the request was a batch, which typed JSON shows.
    pub fn new(representation: Representation, batch: Batch) -> Encoder {
        Encoder(match representation {
            Representation::Frames => Inner::Frames,
            Representation::Blocks(options) => Inner::Blocks(BlockEncoder::new(options)),
            Representation::Json(options) => Inner::Json(JsonEncoder::new(options, batch)),
        })
    }

    /// Takes the next frame and appends what is ready to `out`.
    ///
    /// # Errors
    /// When the frame is not what the protocol says; the offset is in the frame.
    pub fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if matches!(frame.tag, tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::BACKEND_KEY) {
            return Ok(());
        }
        let written = match &mut self.0 {
            Inner::Frames => {
                copy(frame, out);
                Ok(())
            }
            Inner::Blocks(encoder) => encoder.frame(frame, out),
            Inner::Json(encoder) => encoder.frame(frame, out),
        };
        written.map_err(|error| error.shifted(HEADER_LEN as u64))
    }

    /// Takes as many whole frames as `bytes` starts with; returns how many bytes they are.
    ///
    /// # Errors
    /// When a frame is not what the protocol says, or is over the limit; the offset is in `bytes`.
    pub fn frames(&mut self, bytes: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(frame) = frame::first(rest, limits).map_err(|error| error.shifted(at as u64))? else {
                return Ok(at);
            };
            self.frame(frame, out).map_err(|error| error.shifted(at as u64))?;
            at += frame.frame_len();
        }
    }

    /// Ends the answer after its last frame.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Inner::Json(encoder) = &mut self.0 {
            encoder.finish(out);
        }
    }
}

/// Whether a request was a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// One statement: its result stands alone.
    Single,
    /// Several, or asked for as a batch: the results stand in a list.
    Many,
}

/// Appends a frame as it is.
pub(crate) fn copy(frame: Frame<'_>, out: &mut Vec<u8>) {
    frame::write(out, frame.tag, |out| out.extend_from_slice(frame.body));
}
