//! Reading the answer to a pipeline as its bytes arrive: frames in any chunks in, events out.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

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
    // What is being read: whole frames, and at its end perhaps a part of one.
    chunk: Bytes,
    // What follows on it: the beginning of a frame, and what arrived since.
    partial: Vec<u8>,
    // Bytes of the body before `chunk`.
    consumed: u64,
    // Where the body of the last frame begins.
    body_start: u64,
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
            partial: Vec::new(),
            consumed: 0,
            body_start: 0,
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
            self.chunk = chunk;
        } else {
            self.partial.extend_from_slice(&chunk);
        }
    }

    /// Moves what was not read of the chunk to where more can follow on it.
    fn keep_rest(&mut self) {
        if !self.chunk.is_empty() {
            // `partial` is empty then: it becomes the chunk only when that has been read.
            self.partial.extend_from_slice(&core::mem::take(&mut self.chunk));
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
        while let Some((tag, body)) = self.frame()? {
            let event = read(tag, body).map_err(|error| self.in_frame(error))?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// The tag and the body of the next frame, for who reads it without an [`Event`] in between; what is none of an answer is
    /// told by [`skip`].
    ///
    /// # Errors
    /// As [`event`](Self::event), as far as a frame's tag and length can break the protocol.
    pub fn frame(&mut self) -> Result<Option<(u8, Bytes)>, Error> {
        if self.chunk.is_empty() && !self.partial.is_empty() {
            // A frame that arrives in many parts is copied when it is whole, not with each of them.
            if self.frame_at(&self.partial)?.is_none() {
                return Ok(None);
            }
            self.chunk = Bytes::from_owner(core::mem::take(&mut self.partial));
        }
        let Some((tag, len)) = self.frame_at(&self.chunk)? else {
            self.keep_rest();
            return Ok(None);
        };
        if len > self.chunk.len() {
            return Ok(None);
        }
        let mut body = self.chunk.split_to(len);
        if body.len() >= HEADER_LEN {
            body.advance(HEADER_LEN);
        }
        self.body_start = self.consumed + HEADER_LEN as u64;
        self.consumed += len as u64;
        self.position = Position { group: self.groups_ended, statement: self.statement };
        match tag {
            tag::COMMAND_COMPLETE | tag::EMPTY_QUERY => self.statement += 1,
            tag::READY => {
                self.groups_ended += 1;
                self.statement = 0;
            }
            _ => {}
        }
        Ok(Some((tag, body)))
    }

    /// An error in the body of the last [`frame`](Self::frame), its offset in the whole answer.
    pub fn in_frame(&self, error: Error) -> Error {
        error.shifted(self.body_start)
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
        let unread = self.chunk.len() + self.partial.len();
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
}

fn read(tag: u8, body: Bytes) -> Result<Option<Event>, Error> {
    Ok(Some(match tag {
        tag::ROW_DESCRIPTION => Event::Fields(backend::row_description(&body)?),
        tag::DATA_ROW => Event::Row(DataRow::parse(body)?),
        tag::COMMAND_COMPLETE => Event::Complete(CommandTag::parse(&body)?),
        tag::EMPTY_QUERY => Event::Empty,
        tag::ERROR => Event::Failed(ErrorResponse::parse(&body)?),
        tag::NOTICE => Event::Notice(ErrorResponse::parse(&body)?),
        tag::READY => Event::GroupEnd(TransactionStatus::parse(&body)?),
        _ => return skip(tag).map(|()| None),
    }))
}

/// Passes over a frame that makes no [`Event`].
///
/// # Errors
/// When frames of this tag belong to no answer.
pub fn skip(tag: u8) -> Result<(), Error> {
    match tag {
        tag::PARSE_COMPLETE
        | tag::BIND_COMPLETE
        | tag::CLOSE_COMPLETE
        | tag::NO_DATA
        | tag::NOTICE
        | tag::PARAMETER_DESCRIPTION
        | tag::PARAMETER_STATUS
        | tag::NOTIFICATION
        | tag::BACKEND_KEY => Ok(()),
        tag::COPY_OUT | tag::COPY_DATA | tag::COPY_DONE => {
            Err(Error::malformed(0, "COPY TO STDOUT sends no rows; select them instead"))
        }
        other => {
            Err(Error::malformed(0, format_args!("a frame with the unknown tag {:?}", char::from(other))))
        }
    }
}
