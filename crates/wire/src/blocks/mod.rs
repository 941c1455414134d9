//! Rows as column blocks (PROTOCOL.md section 3): the one encoder, in the gateway and in wasm.
//!
//! Rows are collected as they came and encoded column by column when a block is full, so that a column's kind is
//! chosen knowing all its values: a value that does not fit the kind makes that column text, in that block alone.

mod column;
mod fields;
mod timestamp;

use crate::backend::{self, Values, tag};
use crate::encoder::copy;
use crate::frame::{self, Frame};
use crate::representation::BlockOptions;
use crate::{Error, oid};

use column::{Arenas, Kind};

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
    kinds: Vec<Kind>,
    // The bytes of the values of the rows that wait, one after another.
    values: Vec<u8>,
    // Where each value ends in `values`, row by row; NULL is marked in the highest bit.
    ends: Vec<u32>,
    rows: u32,
    scratch: Scratch,
}

/// What one block needs while it is written; kept for the next one.
#[derive(Default)]
struct Scratch {
    arenas: Arenas,
    columns: Vec<u8>,
}

/// Marks NULL in `ends`; a block's values are far below 2 GiB except for one row that is larger alone.
const NULL: u32 = 1 << 31;

impl BlockEncoder {
    /// Starts an answer.
    pub fn new(options: BlockOptions) -> BlockEncoder {
        let (kinds, values, ends) = (Vec::new(), Vec::new(), Vec::new());
        BlockEncoder { options, kinds, values, ends, rows: 0, scratch: Scratch::default() }
    }

    /// Takes the next frame of the answer and appends what is ready to `out`.
    ///
    /// # Errors
    /// When the frame is not what the protocol says, or a column comes in binary format; the offset is in the body.
    pub fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match frame.tag {
            tag::DATA_ROW => {
                self.row(frame.body)?;
                if self.values.len() + self.ends.len() * 4 >= BLOCK_BYTES || self.rows == ROWS_LIMIT {
                    self.flush(out);
                }
            }
            tag::ROW_DESCRIPTION => {
                self.flush(out);
                let fields = backend::row_description(frame.body)?;
                if fields.iter().any(|field| field.format != 0) {
                    return Err(Error::malformed(0, "column blocks are made of results in text format"));
                }
                self.kinds.clear();
                self.kinds.extend(fields.iter().map(|field| self.options.kind(field.type_oid)));
                fields::write(&fields, out);
            }
            _ => {
                self.flush(out);
                copy(frame, out);
            }
        }
        Ok(())
    }

    fn row(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut values = Values::new(body)?;
        let (found, expected) = (usize::from(values.remaining()), self.kinds.len());
        if found != expected {
            return Err(Error::malformed(0, format!("a DataRow of {found} values under {expected} columns")));
        }
        if self.values.len() + body.len() >= NULL as usize {
            return Err(Error::too_large(0, "a row", body.len(), NULL as usize - BLOCK_BYTES));
        }
        for value in values.by_ref() {
            let mark = match value? {
                None => NULL,
                Some(value) => {
                    self.values.extend_from_slice(value);
                    0
                }
            };
            self.ends
                .push(u32::try_from(self.values.len()).expect("it was checked to be under 2 GiB") | mark);
        }
        values.end()?;
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
            let column = Column { values: &self.values, ends: &self.ends, index, width: self.kinds.len() };
            column::write(kind, &column, self.options.strings, arenas, columns);
        }
        frame::write(out, BLOCK, |out| {
            out.extend_from_slice(&self.rows.to_le_bytes());
            arenas.write(out);
            out.extend_from_slice(columns);
        });
        self.values.clear();
        self.ends.clear();
        self.rows = 0;
        // One row that was larger than a block must not pin its memory.
        self.values.shrink_to(4 * BLOCK_BYTES);
        self.scratch.columns.shrink_to(4 * BLOCK_BYTES);
        self.scratch.arenas.shrink_to(4 * BLOCK_BYTES);
    }
}

impl BlockOptions {
    fn kind(&self, type_oid: u32) -> Kind {
        use crate::representation::{Int8, Json, Timestamps};
        match type_oid {
            oid::BOOL => Kind::Bool,
            oid::INT2 | oid::INT4 => Kind::Int32,
            oid::OID => Kind::Uint32,
            oid::FLOAT4 | oid::FLOAT8 => Kind::Float64,
            oid::BYTEA => Kind::Bytea,
            oid::INT8 if self.int8 == Int8::Binary => Kind::Int64,
            oid::TIMESTAMP | oid::TIMESTAMPTZ if self.timestamps == Timestamps::Milliseconds => {
                Kind::Timestamp
            }
            oid::JSON | oid::JSONB if self.json == Json::Parsed => Kind::Json,
            _ => Kind::Text,
        }
    }
}

/// One column of the rows that wait.
pub(crate) struct Column<'a> {
    values: &'a [u8],
    ends: &'a [u32],
    index: usize,
    width: usize,
}

impl<'a> Column<'a> {
    /// The values in row order.
    fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let (values, index) = (self.values, self.index);
        let mut before = 0;
        self.ends.chunks_exact(self.width).map(move |row| {
            // A value starts where the one before it ends: in this row, or the last of the row before.
            let start = if index == 0 { before } else { row.get(index - 1).map_or(0, |end| end & !NULL) };
            before = row.last().map_or(0, |end| end & !NULL);
            let &end = row.get(index)?;
            if end & NULL != 0 { None } else { values.get(start as usize..end as usize) }
        })
    }

    fn rows(&self) -> usize {
        self.ends.len() / self.width
    }
}
