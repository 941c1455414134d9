//! Rows as column blocks (PROTOCOL.md section 3): the one encoder, in the gateway and in wasm.
//!
//! Rows are collected as they came and encoded column by column when a block is full, so that a column's kind is
//! chosen knowing all its values: a value that does not fit the kind makes that column text, in that block alone.

mod column;
mod fields;
mod number;
mod objects;
mod text;
mod timestamp;

use alloc::vec::Vec;

use crate::backend::tag;
use crate::encoder::copy;
use crate::frame::{self, Frame};
use crate::representation::BlockOptions;
use crate::{Error, oid};

use column::{Arenas, Kind, Output};

/// The row data after which a block is written, in bytes. Larger blocks make engines fault on allocation and let a
/// kept substring pin more; smaller ones cost more calls (docs/decisions, measured at 5 times on long text).
const BLOCK_BYTES: usize = 64 << 10;

/// The most rows of a block. Only rows without columns reach it; it bounds what a reader believes.
pub const ROWS_LIMIT: u32 = 65_536;

/// The tag of a fields message.
pub const FIELDS: u8 = b'F';
/// The tag of a block message.
pub const BLOCK: u8 = b'B';

/// Replaces RowDescription by fields and DataRows by blocks; passes every other frame on.
pub struct BlockEncoder {
    options: BlockOptions,
    // The last RowDescription and the message made of it: answers to the same statement have the same.
    description: Vec<u8>,
    fields: Vec<u8>,
    kinds: Vec<Kind>,
    // The bodies of the rows that wait, one after another, without their counts.
    values: Vec<u8>,
    // Where each value lies in `values`, row by row.
    spans: Vec<Span>,
    rows: u32,
    scratch: Scratch,
}

/// What one block needs while it is written; kept for the next one.
#[derive(Default)]
struct Scratch {
    arenas: Arenas,
    columns: Vec<u8>,
}

/// Where a value lies; a length of −1 is NULL.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: i32,
}

impl Span {
    const NULL: Span = Span { start: 0, len: -1 };

    fn of(self, values: &[u8]) -> Option<&[u8]> {
        let len = usize::try_from(self.len).ok()?;
        values.get(self.start as usize..self.start as usize + len)
    }
}

impl BlockEncoder {
    /// Starts an answer.
    pub fn new(options: BlockOptions) -> BlockEncoder {
        BlockEncoder {
            options,
            description: Vec::new(),
            fields: Vec::new(),
            kinds: Vec::new(),
            values: Vec::new(),
            spans: Vec::new(),
            rows: 0,
            scratch: Scratch::default(),
        }
    }

    /// Starts another answer, whatever became of the one before. Cheaper than a new encoder, for the memory is kept, and
    /// what is known of the columns.
    pub fn restart(&mut self, options: BlockOptions) {
        if self.options != options {
            self.options = options;
            self.description.clear();
        }
        self.clear();
    }

    /// Takes the next frame of the answer and appends what is ready to `out`.
    ///
    /// # Errors
    /// When the frame is not what the protocol says, or a column comes in binary format; the offset is in the body.
    pub fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match frame.tag {
            tag::DATA_ROW => {
                self.row(frame.body)?;
                if self.values.len() >= BLOCK_BYTES || self.rows == ROWS_LIMIT {
                    self.flush(out);
                }
            }
            tag::ROW_DESCRIPTION => {
                self.flush(out);
                self.describe(frame.body)?;
                out.extend_from_slice(&self.fields);
            }
            _ => {
                self.flush(out);
                copy(frame, out);
            }
        }
        Ok(())
    }

    /// Makes `fields` and `kinds` those of a RowDescription body.
    fn describe(&mut self, body: &[u8]) -> Result<(), Error> {
        if self.description == body {
            return Ok(());
        }
        self.description.clear();
        self.fields.clear();
        self.kinds.clear();
        fields::write(body, &mut self.fields, |field| {
            if field.format != 0 {
                return Err(Error::malformed(0, "column blocks are made of results in text format"));
            }
            self.kinds.push(self.options.kind(field.type_oid));
            Ok(())
        })?;
        self.description.extend_from_slice(body);
        Ok(())
    }

    fn row(&mut self, body: &[u8]) -> Result<(), Error> {
        let Some((count, rest)) = body.split_first_chunk::<2>() else {
            return Err(Error::malformed(0, "a DataRow ends before the number of its values"));
        };
        let (found, expected) = (usize::from(u16::from_be_bytes(*count)), self.kinds.len());
        if found != expected {
            return Err(Error::malformed(
                0,
                format_args!("a DataRow of {found} values under {expected} columns"),
            ));
        }
        let base = self.values.len();
        if base + body.len() > i32::MAX as usize {
            return Err(Error::too_large(0, "a row", body.len(), i32::MAX as usize - BLOCK_BYTES));
        }
        // One copy for the whole row; the spans say where its values lie.
        self.values.extend_from_slice(rest);
        let mut at = 0;
        for _ in 0..found {
            let Some(len) = rest.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Err(Error::malformed(at + 2, "a DataRow ends before the length of a value"));
            };
            let len = i32::from_be_bytes(*len);
            at += 4;
            // −1 is NULL and takes no bytes.
            let taken = usize::try_from(len).unwrap_or(0);
            if len < -1 || taken > rest.len() - at {
                return Err(Error::malformed(
                    at - 2,
                    format_args!("a value of {len} bytes does not fit its DataRow"),
                ));
            }
            let start = u32::try_from(base + at).expect("it was checked to be under 2 GiB");
            self.spans.push(Span { start, len });
            at += taken;
        }
        if at != rest.len() {
            return Err(Error::malformed(at + 2, "bytes are left after the last value of a DataRow"));
        }
        self.rows += 1;
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.rows == 0 {
            return;
        }
        let Scratch { arenas, columns } = &mut self.scratch;
        arenas.start(self.options.strings);
        columns.clear();
        for (index, &kind) in self.kinds.iter().enumerate() {
            let column = Column { values: &self.values, spans: &self.spans, index, width: self.kinds.len() };
            let kinds = match kind {
                Kind::Objects => [Kind::Objects, Kind::Json],
                kind => [kind, Kind::Text],
            };
            let strings = self.options.strings;
            column::write(&kinds, &column, &mut Output { arenas, columns, strings }, 0);
        }
        frame::write(out, BLOCK, |out| {
            out.extend_from_slice(&self.rows.to_le_bytes());
            arenas.write(out);
            out.extend_from_slice(columns);
        });
        self.clear();
        // One row that was larger than a block must not pin its memory.
        self.values.shrink_to(4 * BLOCK_BYTES);
        self.scratch.columns.shrink_to(4 * BLOCK_BYTES);
        self.scratch.arenas.shrink_to(4 * BLOCK_BYTES);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.spans.clear();
        self.rows = 0;
    }
}

impl BlockOptions {
    fn kind(&self, type_oid: u32) -> Kind {
        use crate::representation::{Int8, Json, Timestamps, Values};
        match type_oid {
            _ if self.values == Values::Text => Kind::Text,
            oid::BOOL => Kind::Bool,
            oid::INT2 | oid::INT4 => Kind::Int32,
            oid::OID => Kind::Uint32,
            oid::FLOAT4 | oid::FLOAT8 => Kind::Float64,
            oid::BYTEA => Kind::Bytea,
            oid::INT8 if self.int8 == Int8::Binary => Kind::Int64,
            oid::TIMESTAMP | oid::TIMESTAMPTZ if self.timestamps == Timestamps::Milliseconds => {
                Kind::Timestamp
            }
            oid::JSON | oid::JSONB if self.json == Json::Parsed => Kind::Objects,
            _ => Kind::Text,
        }
    }
}

/// One column of the rows that wait.
pub(crate) struct Column<'a> {
    values: &'a [u8],
    spans: &'a [Span],
    index: usize,
    width: usize,
}

impl<'a> Column<'a> {
    /// The values in row order.
    fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + Clone + use<'a> {
        let values = self.values;
        self.spans().map(move |span| span.of(values))
    }

    /// Where the values lie, in row order.
    fn spans(&self) -> Spans<'a> {
        Spans { rest: self.spans.get(self.index..).unwrap_or_default(), width: self.width }
    }

    fn value(&self, span: Span) -> Option<&'a [u8]> {
        span.of(self.values)
    }

    fn rows(&self) -> usize {
        self.spans.len() / self.width
    }
}

/// Each span that begins `width` after the one before. Half the code of the standard library's, and as fast.
#[derive(Clone)]
struct Spans<'a> {
    rest: &'a [Span],
    width: usize,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        let span = *self.rest.first()?;
        self.rest = self.rest.get(self.width..).unwrap_or_default();
        Some(span)
    }
}
