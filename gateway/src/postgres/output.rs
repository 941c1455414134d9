//! What of an answer is ready for the client, in the representation that it asked for.

use bytes::{Buf, Bytes, BytesMut};
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::{Frame, HEADER_LEN};
use onetrip_wire::representation::Representation;
use onetrip_wire::{Error, Limits};

/// What is ready, and what makes it.
pub(super) enum Output {
    /// Frames as PostgreSQL sent them: these, and behind them so many bytes at the start of what has arrived, which are
    /// read and not taken out.
    Frames { ready: BytesMut, scanned: usize },
    /// What an encoder makes of them.
    Encoded { encoder: Box<Encoder>, ready: Vec<u8> },
}

impl Output {
    pub(super) fn new(representation: Representation, batch: Batch) -> Output {
        match representation {
            Representation::Frames => Output::Frames { ready: BytesMut::new(), scanned: 0 },
            other => Output::Encoded { encoder: Box::new(Encoder::new(other, batch)), ready: Vec::new() },
        }
    }

    /// How many bytes are ready.
    pub(super) fn len(&self) -> usize {
        match self {
            Output::Frames { ready, scanned } => ready.len() + scanned,
            Output::Encoded { ready, .. } => ready.len(),
        }
    }

    /// How many bytes at the start of what has arrived are dealt with.
    pub(super) fn scanned(&self) -> usize {
        match self {
            Output::Frames { scanned, .. } => *scanned,
            Output::Encoded { .. } => 0,
        }
    }

    /// Puts the next frame of `incoming`, which is whole, into the answer.
    pub(super) fn pass(&mut self, tag: u8, len: usize, incoming: &mut BytesMut) -> Result<(), Error> {
        match self {
            Output::Frames { scanned, .. } => *scanned += len,
            Output::Encoded { encoder, ready } => {
                let body = incoming.get(HEADER_LEN..len).unwrap_or_default();
                encoder.frame(Frame { tag, body }, ready)?;
                incoming.advance(len);
            }
        }
        Ok(())
    }

    /// Leaves the next frame of `incoming` out.
    pub(super) fn skip(&mut self, len: usize, incoming: &mut BytesMut) {
        self.gather(incoming);
        incoming.advance(len);
    }

    /// Puts frames of the endpoint's own into the answer.
    pub(super) fn pass_bytes(&mut self, frames: &[u8], incoming: &mut BytesMut) -> Result<(), Error> {
        self.gather(incoming);
        match self {
            Output::Frames { ready, .. } => ready.extend_from_slice(frames),
            Output::Encoded { encoder, ready } => {
                encoder.frames(frames, &Limits::default(), ready)?;
            }
        }
        Ok(())
    }

    /// What is ready.
    pub(super) fn take(&mut self, incoming: &mut BytesMut) -> Bytes {
        self.gather(incoming);
        match self {
            Output::Encoded { ready, .. } => Bytes::from(std::mem::take(ready)),
            Output::Frames { ready, .. } => std::mem::take(ready).freeze(),
        }
    }

    /// What is ready and what the encoder holds back to the end.
    pub(super) fn take_all(&mut self, incoming: &mut BytesMut) -> Bytes {
        if let Output::Encoded { encoder, ready } = self {
            encoder.finish(ready);
        }
        self.take(incoming)
    }

    /// Moves the scanned frames to those that are ready.
    fn gather(&mut self, incoming: &mut BytesMut) {
        let Output::Frames { ready, scanned } = self else { return };
        let scanned = std::mem::take(scanned);
        if scanned == 0 {
            return;
        }
        let frames = incoming.split_to(scanned);
        if ready.is_empty() {
            *ready = frames;
        } else {
            // No copy where one follows the other in memory.
            ready.unsplit(frames);
        }
    }
}
