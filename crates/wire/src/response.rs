//! Reading the answer to a pipeline as its bytes arrive: frames in any chunks in, events out.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::Error;
use crate::backend::{self, CommandTag, DataRow, ErrorResponse, Field, TransactionStatus, tag};
use crate::frame::{self, HEADER_LEN, Limits};

/// Something that an answer says.
#[derive(Clone, Debug)]
pub enum Event {
    /// The columns of the current statement's rows.
    Fields(Vec<Field>),
    /// A row of the current statement.
    Row(DataRow),
    /// The current statement is done; the next one follows.
    Complete(CommandTag),
    /// The current statement was empty; the next one follows.
    Empty,
    /// The current statement failed; the rest of its group is skipped.
    Failed(ErrorResponse),
    /// A notice of the server.
    Notice(ErrorResponse),
    /// A group is over: its transaction is committed, or rolled back if a statement of it failed.
    GroupEnd(TransactionStatus),
}

/// Which statement an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The group, from 0.
    pub group: usize,
    /// The statement of the group, from 0. For [`Event::GroupEnd`] how many were done.
    pub statement: usize,
}

/// Reads an answer incrementally; [`push`](Self::push) what arrives, take [`event`](Self::event)s until there is none.
///
/// # Examples
/// ```
/// use onetrip_wire::response::{Event, ResponseReader};
/// let mut reader = ResponseReader::new(1, Default::default());
/// reader.push(b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I");
/// while let Some(event) = reader.event()? {
///     if let Event::Complete(tag) = event { assert_eq!(tag.rows(), Some(0)); }
/// }
/// reader.finish()?;
/// # Ok::<(), onetrip_wire::Error>(())
/// ```
pub struct ResponseReader {
    // What is being read, from `at` on: whole frames, and at its end perhaps a part of one.
    chunk: Bytes,
    at: usize,
    // What follows on it: the beginning of a frame, and what arrived since.
    partial: Vec<u8>,
    // Bytes of the body before `at`.
    consumed: u64,
    limits: Limits,
    groups: usize,
    groups_ended: usize,
    statement: usize,
    position: Position,
}

impl ResponseReader {
    /// Reads the answer to a request of `groups` groups (a script is one).
    pub fn new(groups: usize, limits: Limits) -> ResponseReader {
        ResponseReader {
            chunk: Bytes::new(),
            at: 0,
            partial: Vec::new(),
            consumed: 0,
            limits,
            groups,
            groups_ended: 0,
            statement: 0,
            position: Position::default(),
        }
    }

    /// Takes in bytes that arrived.
    pub fn push(&mut self, chunk: &[u8]) {
        self.keep_rest();
        self.partial.extend_from_slice(chunk);
    }

    /// Takes in bytes that arrived, without a copy where nothing is buffered. Rows share the chunk that they lie in.
    pub fn push_bytes(&mut self, chunk: Bytes) {
        self.keep_rest();
        if self.partial.is_empty() {
            (self.chunk, self.at) = (chunk, 0);
        } else {
            self.partial.extend_from_slice(&chunk);
        }
    }

    /// Moves what was not read of the chunk to where more can follow on it.
    fn keep_rest(&mut self) {
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        if !rest.is_empty() {
            // `partial` is empty then: it becomes the chunk only when that has been read.
            self.partial.extend_from_slice(rest);
            (self.chunk, self.at) = (Bytes::new(), 0);
        }
    }

    /// Where the last event belongs.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next event, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes break the protocol or a frame is over the limit; the offset is in the body. The reader is then
    /// of no further use.
    pub fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let start = self.consumed;
            if self.at == self.chunk.len() && !self.partial.is_empty() {
                // A frame that arrives in many parts is copied when it is whole, not with each of them.
                if self.frame_at(&self.partial)?.is_none() {
                    return Ok(None);
                }
                (self.chunk, self.at) = (Bytes::from_owner(core::mem::take(&mut self.partial)), 0);
            }
            let unread = self.chunk.get(self.at..).unwrap_or_default();
            let Some((tag, len)) = self.frame_at(unread)? else {
                self.keep_rest();
                return Ok(None);
            };
            let body = self.chunk.slice(self.at + HEADER_LEN..self.at + len);
            self.at += len;
            self.consumed += len as u64;
            let position = Position { group: self.groups_ended, statement: self.statement };
            let event = self.read(tag, body).map_err(|error| error.shifted(start + HEADER_LEN as u64))?;
            if let Some(event) = event {
                self.position = position;
                return Ok(Some(event));
            }
        }
    }

    /// The tag and length of the frame that the unread bytes begin with, where it is whole.
    fn frame_at(&self, unread: &[u8]) -> Result<Option<(u8, usize)>, Error> {
        let header = frame::peek(unread, &self.limits).map_err(|error| error.shifted(self.consumed))?;
        if header.is_some() && self.groups_ended == self.groups {
            return Err(Error::malformed(0, "the answer goes on after its end").shifted(self.consumed));
        }
        Ok(header.filter(|&(_, len)| unread.len() >= len))
    }

    /// Says that nothing more will arrive.
    ///
    /// # Errors
    /// [`Kind::Truncated`](crate::Kind::Truncated) when the answer is not complete: what its last group did is unknown.
    pub fn finish(&self) -> Result<(), Error> {
        let unread = self.chunk.len() - self.at + self.partial.len();
        if self.groups_ended == self.groups && unread == 0 {
            return Ok(());
        }
        let offset = self.consumed + unread as u64;
        let (ended, groups) = (self.groups_ended, self.groups);
        Err(Error::truncated(
            offset,
            format_args!("the answer ends after {ended} of {groups} transactions were confirmed"),
        ))
    }

    fn read(&mut self, tag: u8, body: Bytes) -> Result<Option<Event>, Error> {
        Ok(Some(match tag {
            tag::ROW_DESCRIPTION => Event::Fields(backend::row_description(&body)?),
            tag::DATA_ROW => Event::Row(DataRow::parse(body)?),
            tag::COMMAND_COMPLETE => {
                self.statement += 1;
                Event::Complete(CommandTag::parse(&body)?)
            }
            tag::EMPTY_QUERY => {
                self.statement += 1;
                Event::Empty
            }
            tag::ERROR => Event::Failed(ErrorResponse::parse(&body)?),
            tag::NOTICE => Event::Notice(ErrorResponse::parse(&body)?),
            tag::READY => {
                self.groups_ended += 1;
                self.statement = 0;
                Event::GroupEnd(TransactionStatus::parse(&body)?)
            }
            tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::CLOSE_COMPLETE
            | tag::NO_DATA
            | tag::PARAMETER_DESCRIPTION
            | tag::PARAMETER_STATUS
            | tag::NOTIFICATION
            | tag::BACKEND_KEY => return Ok(None),
            tag::COPY_OUT | tag::COPY_DATA | tag::COPY_DONE => {
                return Err(Error::malformed(0, "COPY TO STDOUT sends no rows; select them instead"));
            }
            other => {
                return Err(Error::malformed(
                    0,
                    format_args!("a frame with the unknown tag {:?}", char::from(other)),
                ));
            }
        }))
    }
}
