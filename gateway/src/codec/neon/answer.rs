//! Frames into the JSON of this profile, as they come.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use onetrip_wire::backend::{self, CommandTag, ErrorResponse, Field, TransactionStatus, Values, tag};
use onetrip_wire::encoder::Batch;
use onetrip_wire::frame::{self, Frame};
use onetrip_wire::{Error, Limits, json};

use super::error::SqlError;
use super::types::Types;
use super::value::Shape;

/// Writes one answer.
pub(crate) struct AnswerEncoder {
    batch: Batch,
    raw_text: bool,
    /// Whether types that are not known are taken for text.
    guess: bool,
    array_rows: Vec<bool>,
    types: Arc<Types>,
    limits: Limits,
    /// Frames that are not written yet.
    incoming: BytesMut,
    out: Vec<u8>,
    columns: Vec<Column>,
    /// Whether the fields of the current result are written, and how many rows.
    rows: Option<u64>,
    statement: usize,
    error: Option<SqlError>,
    /// Whether that is the endpoint's, about a COPY that PostgreSQL ran.
    copied: bool,
    finished: bool,
}

struct Column {
    // `"name":`, as it stands before each value of an object.
    key: Vec<u8>,
    shape: Shape,
}

/// How far the frames that were given could be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All of them.
    Written,
    /// Up to a result with columns of these types, of which the database has to be asked.
    TypesNeeded(Vec<u32>),
}

impl AnswerEncoder {
    pub(crate) fn new(
        batch: Batch,
        array_rows: Vec<bool>,
        raw_text: bool,
        types: Arc<Types>,
        frame_bytes: usize,
    ) -> AnswerEncoder {
        let out = if batch == Batch::Many { b"{\"results\":[".to_vec() } else { Vec::new() };
        AnswerEncoder {
            batch,
            raw_text,
            guess: false,
            array_rows,
            types,
            limits: Limits::default().frame_bytes(frame_bytes),
            incoming: BytesMut::new(),
            out,
            columns: Vec::new(),
            rows: None,
            statement: 0,
            error: None,
            copied: false,
            finished: false,
        }
    }

    /// Takes whole frames of the answer and writes what can be written.
    pub(crate) fn push(&mut self, frames: Bytes) -> Result<Progress, Error> {
        if self.incoming.is_empty() {
            self.incoming = BytesMut::from(frames);
        } else {
            self.incoming.extend_from_slice(&frames);
        }
        self.advance()
    }

    /// Writes on, after types have become known.
    pub(crate) fn advance(&mut self) -> Result<Progress, Error> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let result = loop {
            match frame::first(&incoming, &self.limits) {
                Err(error) => break Err(error),
                Ok(None) => break Ok(Progress::Written),
                Ok(Some(frame)) => {
                    let len = frame.frame_len();
                    match self.frame(frame) {
                        Err(error) => break Err(error),
                        Ok(Progress::Written) => incoming.advance(len),
                        Ok(needed) => break Ok(needed),
                    }
                }
            }
        };
        self.incoming = incoming;
        result
    }

    /// Takes types that are not known for text from here on: the database could not be asked.
    pub(crate) fn guess_types(&mut self) {
        self.guess = true;
    }

    /// How much is held: what is written and what waits to be.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.len() + self.incoming.len()
    }

    /// What went wrong, if something has. What is written is then of no use.
    pub(crate) fn error(&self) -> Option<&SqlError> {
        self.error.as_ref()
    }

    /// What is written so far.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.out))
    }

    /// Ends the answer, after its last frame.
    pub(crate) fn finish(&mut self) {
        if !self.finished && self.batch == Batch::Many {
            self.out.extend_from_slice(b"]}");
        }
        self.finished = true;
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<Progress, Error> {
        // Behind the client's statements there may be a COMMIT of the endpoint's own.
        let own = self.statement >= self.array_rows.len() && !matches!(frame.tag, tag::ERROR | tag::READY);
        let told = self.error.is_some() && !(self.copied && frame.tag == tag::ERROR);
        if told || own {
            return Ok(Progress::Written);
        }
        match frame.tag {
            tag::ROW_DESCRIPTION => return self.fields(&backend::row_description(frame.body)?),
            tag::DATA_ROW => self.row(frame.body)?,
            tag::COMMAND_COMPLETE => {
                let command = CommandTag::parse(frame.body)?;
                let words = command.as_str();
                self.complete(words.split(' ').next().unwrap_or_default(), rows(words));
            }
            tag::EMPTY_QUERY => self.complete("", None),
            tag::ERROR => {
                // Lossy, for the request may have changed client_encoding.
                let error = ErrorResponse::parse(String::from_utf8_lossy(frame.body).as_bytes())?;
                let statement = (self.batch == Batch::Many).then_some(self.statement);
                // The commit comes after the last statement, and what fails in it belongs to none.
                let statement = statement.filter(|index| *index < self.array_rows.len());
                self.copied = false;
                self.error = Some(SqlError::of_postgres(&error, statement));
            }
            tag::COPY_OUT => {
                let message = match self.batch {
                    Batch::Single => "COPY TO STDOUT is not possible over HTTP",
                    // PostgreSQL has it all before anybody sees the answer to this one, and runs it to its end.
                    Batch::Many => {
                        "COPY TO STDOUT is not possible over HTTP; the other statements of the batch took effect"
                    }
                };
                let mut error = SqlError::with_code("0A000", message);
                error.statement = (self.batch == Batch::Many).then_some(self.statement);
                self.copied = true;
                self.error = Some(error);
            }
            tag::READY
                if self.batch == Batch::Many
                    && TransactionStatus::parse(frame.body)? != TransactionStatus::Idle =>
            {
                let message = "the batch left a transaction open (BEGIN without COMMIT); it was rolled back";
                self.error = Some(SqlError::with_code("25000", message));
            }
            _ => {}
        }
        Ok(Progress::Written)
    }

    fn fields(&mut self, fields: &[Field]) -> Result<Progress, Error> {
        let mut shapes = Vec::with_capacity(fields.len());
        let mut needed = Vec::new();
        for field in fields {
            if field.format != 0 {
                return Err(Error::malformed(0, "a column comes in binary format"));
            }
            match if self.raw_text { Some(Shape::TEXT) } else { self.types.shape(field.type_oid) } {
                Some(shape) => shapes.push(shape),
                None if self.guess => shapes.push(Shape::TEXT),
                None => needed.push(field.type_oid),
            }
        }
        if !needed.is_empty() {
            return Ok(Progress::TypesNeeded(needed));
        }
        self.open();
        self.columns.clear();
        for (index, (field, shape)) in fields.iter().zip(shapes).enumerate() {
            let out = &mut self.out;
            out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
            let mut key = Vec::new();
            json::string(&mut key, field.name.as_bytes());
            out.extend_from_slice(&key);
            key.push(b':');
            for (name, number) in [
                (&b",\"dataTypeID\":"[..], i64::from(field.type_oid)),
                (b",\"tableID\":", i64::from(field.table_oid)),
                (b",\"columnID\":", i64::from(field.column)),
                (b",\"dataTypeSize\":", i64::from(field.type_size)),
                (b",\"dataTypeModifier\":", i64::from(field.type_modifier)),
            ] {
                out.extend_from_slice(name);
                json::integer(out, number);
            }
            out.extend_from_slice(b",\"format\":\"text\"}");
            self.columns.push(Column { key, shape });
        }
        self.out.extend_from_slice(b"],\"rows\":[");
        self.rows = Some(0);
        Ok(Progress::Written)
    }

    fn open(&mut self) {
        if self.batch == Batch::Many && self.statement > 0 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"{\"fields\":[");
    }

    fn array_rows(&self) -> bool {
        self.array_rows.get(self.statement).copied().unwrap_or_default()
    }

    fn row(&mut self, body: &[u8]) -> Result<(), Error> {
        let values = Values::new(body)?;
        let (found, expected) = (usize::from(values.remaining()), self.columns.len());
        let Some(rows) = self.rows.filter(|_| found == expected) else {
            return Err(Error::malformed(0, "a DataRow does not fit its columns"));
        };
        let array = self.array_rows();
        let out = &mut self.out;
        if rows > 0 {
            out.push(b',');
        }
        self.rows = Some(rows + 1);
        out.push(if array { b'[' } else { b'{' });
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if !array {
                out.extend_from_slice(&column.key);
            }
            match value? {
                None => out.extend_from_slice(b"null"),
                Some(text) => column.shape.write(text, out),
            }
        }
        out.push(if array { b']' } else { b'}' });
        Ok(())
    }

    fn complete(&mut self, command: &str, rows: Option<u64>) {
        if self.rows.take().is_none() {
            self.open();
            self.out.extend_from_slice(b"],\"rows\":[");
        }
        let array = self.array_rows();
        let out = &mut self.out;
        out.extend_from_slice(b"],\"command\":");
        json::string(out, command.as_bytes());
        out.extend_from_slice(b",\"rowCount\":");
        match rows {
            None => out.extend_from_slice(b"null"),
            Some(rows) => out.extend_from_slice(rows.to_string().as_bytes()),
        }
        out.extend_from_slice(if array { b",\"rowAsArray\":true}" } else { b",\"rowAsArray\":false}" });
        self.statement += 1;
    }
}

/// The number that a command tag ends with: `SELECT 5`, `INSERT 0 1`.
fn rows(tag: &str) -> Option<u64> {
    tag.rsplit(' ').next()?.parse().ok()
}
