//! What is written to PostgreSQL for one request: the client's frames, with statements that are prepared already left
//! out.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use onetrip_wire::Limits;
use onetrip_wire::frame::{self, HEADER_LEN};

use super::Connection;
use crate::codec::Pipeline;

/// A request as it was written for one connection.
#[derive(Default)]
pub(super) struct Written {
    /// How each statement was sent, where statements are kept; else empty.
    pub(super) statements: Vec<Sent>,
    /// How many statements had been written at the end of each group.
    pub(super) group_ends: Vec<usize>,
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

impl Sent {
    /// Where in the client's frames the key of a statement that is kept lies.
    pub(super) fn key(&self) -> Option<Range<usize>> {
        match self {
            Sent::Unnamed => None,
            Sent::Parsed { key, .. } | Sent::Prepared { key } => Some(key.clone()),
        }
    }
}

impl Written {
    /// Writes `pipeline` for `connection`, without a reset; `frames` are its own, behind those that the endpoint puts
    /// first. With `fresh` every statement is parsed anew. Statements that have to go are closed in front of all of it: a Close
    /// does not fail, and nothing keeps it from being executed there, whatever becomes of the request and of its session.
    pub(super) fn new(
        connection: &mut Connection,
        pipeline: &Pipeline,
        frames: &Bytes,
        fresh: bool,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        if connection.statements.takes(&[]) && !pipeline.script {
            let start = out.len();
            connection.statements.begin_flight();
            written.rewrite(connection, frames, fresh, out);
            out.splice(start..start, close(connection));
        } else {
            out.extend_from_slice(frames);
        }
        written
    }

    /// Writes a request all of whose statements are prepared.
    pub(super) fn prepared(connection: &mut Connection, frames: &Bytes, out: &mut Vec<u8>) -> Written {
        let mut written = Written::default();
        written.rewrite(connection, frames, false, out);
        written
    }

    /// Whether a statement is parsed whose answer may tell that names were prepared by SQL.
    pub(super) fn parses(&self) -> bool {
        self.statements.iter().any(|sent| !matches!(sent, Sent::Prepared { .. }))
    }

    /// How many statements are not parsed.
    pub(super) fn prepared_count(&self) -> usize {
        self.statements.iter().filter(|sent| matches!(sent, Sent::Prepared { .. })).count()
    }

    fn rewrite(&mut self, connection: &mut Connection, frames: &Bytes, fresh: bool, out: &mut Vec<u8>) {
        let mut number = None;
        let mut parsed = HashMap::new();
        for (tag, whole) in walk(frames) {
            let bytes = frames.get(whole.clone()).unwrap_or_default();
            match (tag, number) {
                (b'P', _) => {
                    let key = whole.start + HEADER_LEN + 1..whole.end;
                    number = self.parse(connection, frames, key, &mut parsed, fresh, out);
                }
                // Portal and statement are the unnamed ones, and the portal stays so.
                (b'B', Some(number)) => {
                    named(b'B', b"\0", number, connection, bytes.get(HEADER_LEN + 2..), out)
                }
                _ => out.extend_from_slice(bytes),
            }
            if tag == b'S' {
                self.group_ends.push(self.statements.len());
            }
        }
    }

    /// Writes a Parse, or leaves it out; the number of the statement if it has a name. `key` is the body of the frame
    /// behind the name, which is empty; `parsed` holds what was parsed under a name in front of it: the place among the
    /// statements, and the number.
    fn parse<'a>(
        &mut self,
        connection: &mut Connection,
        frames: &'a Bytes,
        key: Range<usize>,
        parsed: &mut HashMap<&'a [u8], (usize, u32)>,
        fresh: bool,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        let text = frames.get(key.clone()).unwrap_or_default();
        // One that this very flight prepares: a batch often repeats a statement.
        let earlier = parsed.get(text).copied();
        // Not one that another group of it prepares: that may fail before it comes to the Parse.
        let group_start = self.group_ends.last().copied().unwrap_or(0);
        let elsewhere = earlier.is_some_and(|(index, _)| index < group_start);
        if elsewhere || !connection.statements.takes(text) {
            return self.unnamed(frames, key, out);
        }
        if let Some((_, number)) = earlier {
            self.statements.push(Sent::Prepared { key });
            return Some(number);
        }
        if fresh {
            connection.statements.evict(text);
        } else if let Some(number) = connection.statements.find(text) {
            self.statements.push(Sent::Prepared { key });
            return Some(number);
        }
        let Some(number) = connection.statements.reserve(parsed.len()) else {
            return self.unnamed(frames, key, out);
        };
        parsed.insert(text, (self.statements.len(), number));
        named(b'P', b"", number, connection, Some(text), out);
        self.statements.push(Sent::Parsed { key, number });
        Some(number)
    }

    /// Writes a Parse as it is.
    fn unnamed(&mut self, frames: &Bytes, key: Range<usize>, out: &mut Vec<u8>) -> Option<u32> {
        self.statements.push(Sent::Unnamed);
        out.extend_from_slice(frames.get(key.start - 1 - HEADER_LEN..key.end).unwrap_or_default());
        None
    }
}

/// The frames that close what the cache has evicted.
fn close(connection: &mut Connection) -> Vec<u8> {
    let mut frames = Vec::new();
    for number in connection.statements.take_closing() {
        named(b'C', b"S", number, connection, None, &mut frames);
    }
    frames
}

/// The keys of the statements of a request.
pub(super) fn keys(frames: &Bytes) -> impl Iterator<Item = &[u8]> {
    walk(frames)
        .filter(|(tag, _)| *tag == b'P')
        .map(|(_, whole)| frames.get(whole.start + HEADER_LEN + 1..whole.end).unwrap_or_default())
}

/// The tags and places of the frames of a request, which are the codec's: of the right kinds, in the right order, whole.
fn walk(frames: &Bytes) -> impl Iterator<Item = (u8, Range<usize>)> {
    let limits = Limits::default().frame_bytes(usize::MAX);
    let mut at = 0;
    std::iter::from_fn(move || {
        let frame = frame::first(frames.get(at..).unwrap_or_default(), &limits).ok()??;
        let whole = at..at + frame.frame_len();
        at = whole.end;
        Some((frame.tag, whole))
    })
}

/// Appends a frame that begins with `before` and the name of a statement.
fn named(
    tag: u8,
    before: &[u8],
    number: u32,
    connection: &Connection,
    rest: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let rest = rest.unwrap_or_default();
    write(out, tag, |out| {
        out.extend_from_slice(before);
        connection.statements.write_name(number, out);
        out.push(0);
        out.extend_from_slice(rest);
    });
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
