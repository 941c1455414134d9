//! What is written to PostgreSQL for one request: the client's frames, with statements that are prepared already left
//! out, and the reset of the session behind them.

use std::ops::Range;

use bytes::Bytes;
use onetrip_wire::Limits;
use onetrip_wire::frame::{self, HEADER_LEN};

use super::Connection;
use super::reset::{self, Reset};
use crate::codec::Pipeline;

/// One flight, and what its answer will look like.
pub(super) struct Flight {
    pub(super) bytes: Vec<u8>,
    /// How each statement was sent, where statements are kept; else empty.
    pub(super) statements: Vec<Sent>,
    pub(super) reset: Reset,
}

/// How a statement was sent.
pub(super) enum Sent {
    /// As the client wrote it: parsed as the unnamed statement.
    Unnamed,
    /// Parsed under a name, to be found there the next time.
    Parsed { key: Range<usize>, number: u32 },
    /// Not parsed: it is prepared.
    Prepared { key: Range<usize> },
}

impl Flight {
    /// Writes `pipeline` for `connection`; `frames` are its own, behind those that the endpoint puts first. With `fresh` every statement is parsed anew.
    ///
    /// Statements are kept only for requests of one group: if one turns out to be outdated, its group is sent again, and
    /// a group must not be executed behind those that came after it.
    pub(super) fn new(
        connection: &mut Connection,
        pipeline: &Pipeline,
        frames: &Bytes,
        fresh: bool,
    ) -> Flight {
        let keeps = connection.statements.takes(&[]) && pipeline.groups == 1 && !pipeline.script;
        let mut flight = Flight {
            bytes: Vec::with_capacity(frames.len() + reset::ROOM_BYTES),
            statements: Vec::new(),
            reset: Reset::None,
        };
        if keeps {
            flight.rewrite(connection, frames, fresh);
        } else {
            flight.bytes.extend_from_slice(frames);
        }
        let parsed = flight.statements.iter().any(|sent| !matches!(sent, Sent::Prepared { .. }));
        let names_may_be_left = pipeline.script || (parsed && keeps);
        flight.reset = reset::append(connection, pipeline.script, names_may_be_left, &mut flight.bytes);
        flight
    }

    fn rewrite(&mut self, connection: &mut Connection, frames: &Bytes, fresh: bool) {
        // The frames are the codec's: of the right kinds, in the right order, whole.
        let limits = Limits::default().frame_bytes(usize::MAX);
        let mut at = 0;
        let mut number = None;
        while let Ok(Some(frame)) = frame::first(frames.get(at..).unwrap_or_default(), &limits) {
            let len = frame.frame_len();
            let whole = at..at + len;
            match frame.tag {
                b'P' => number = self.parse(connection, frames, at + HEADER_LEN + 1..whole.end, fresh),
                b'B' => match number {
                    // Portal and statement are the unnamed ones, and the portal stays so.
                    Some(number) => self.named(b'B', b"\0", number, connection, frame.body.get(2..)),
                    None => self.bytes.extend_from_slice(frames.get(whole).unwrap_or_default()),
                },
                _ => self.bytes.extend_from_slice(frames.get(whole).unwrap_or_default()),
            }
            at += len;
        }
    }

    /// Sends a Parse, or leaves it out; the number of the statement if it has a name. `key` is the body of the frame
    /// behind the name, which is empty.
    fn parse(
        &mut self,
        connection: &mut Connection,
        frames: &Bytes,
        key: Range<usize>,
        fresh: bool,
    ) -> Option<u32> {
        let text = frames.get(key.clone()).unwrap_or_default();
        if !connection.statements.takes(text) {
            let whole = key.start - 1 - HEADER_LEN..key.end;
            self.bytes.extend_from_slice(frames.get(whole).unwrap_or_default());
            self.statements.push(Sent::Unnamed);
            return None;
        }
        // One that this very flight prepares: a batch often repeats a statement.
        let earlier = self.statements.iter().find_map(|sent| match sent {
            Sent::Parsed { key, number } if frames.get(key.clone()) == Some(text) => Some(*number),
            _ => None,
        });
        if let Some(number) = earlier {
            self.statements.push(Sent::Prepared { key });
            return Some(number);
        }
        if fresh {
            connection.statements.evict(text);
        } else if let Some(number) = connection.statements.find(text) {
            self.statements.push(Sent::Prepared { key });
            return Some(number);
        }
        let number = connection.statements.reserve();
        self.named(b'P', b"", number, connection, Some(text));
        self.statements.push(Sent::Parsed { key, number });
        Some(number)
    }

    /// Appends a frame that begins with `before` and the name of a statement.
    fn named(&mut self, tag: u8, before: &[u8], number: u32, connection: &Connection, rest: Option<&[u8]>) {
        let rest = rest.unwrap_or_default();
        write(&mut self.bytes, tag, |out| {
            out.extend_from_slice(before);
            connection.statements.write_name(number, out);
            out.push(0);
            out.extend_from_slice(rest);
        });
    }
}

/// Appends a frame whose body `body` appends.
pub(super) fn write(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    // A frame of a client is under the endpoint's limit of 1 GiB, and a name adds a few bytes.
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}
