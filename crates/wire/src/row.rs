//! A row that owns its bytes. PostgreSQL manual, "Message Formats", DataRow.

use core::fmt;

use bytes::Bytes;

use crate::Error;
use crate::frame::Reader;

/// A DataRow that owns its bytes, checked once and walked for each value: nothing is allocated for a row.
#[derive(Clone)]
pub struct DataRow {
    body: Bytes,
}

impl DataRow {
    /// Reads a DataRow body; the values stay where they are.
    ///
    /// # Errors
    /// When the body is not a DataRow.
    pub fn parse(body: Bytes) -> Result<DataRow, Error> {
        match is_whole(&body) {
            Some(true) => Ok(DataRow { body }),
            _ => Err(refused(&body)),
        }
    }

    /// How many values the row has.
    pub fn len(&self) -> usize {
        self.body.first_chunk().map_or(0, |count| u16::from_be_bytes(*count).into())
    }

    /// Whether the row has no values, as that of `select` without columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a value: `None` beyond the last column, `Some(None)` for NULL. It passes over the values before it.
    pub fn value(&self, index: usize) -> Option<Option<&[u8]>> {
        self.values().nth(index)
    }

    /// The values in order, each `None` for NULL.
    pub fn values(&self) -> RowValues<'_> {
        RowValues { rest: self.body.get(2..).unwrap_or_default() }
    }

    /// The body that the values lie in.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Whether the body holds as many values as it says and nothing else. Each row passes here: no words are made.
fn is_whole(body: &[u8]) -> Option<bool> {
    let (count, mut rest) = body.split_first_chunk()?;
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, value) = rest.split_first_chunk()?;
        rest = match i32::from_be_bytes(*len) {
            -1 => value,
            len => value.get(usize::try_from(len).ok()?..)?,
        };
    }
    Some(rest.is_empty())
}

/// What is wrong with a body that is not whole, and where.
#[cold]
fn refused(body: &[u8]) -> Error {
    let mut reader = Reader::new(body);
    let mut read = || {
        for _ in 0..reader.u16("the number of values")? {
            reader.value("a value")?;
        }
        reader.end("DataRow")
    };
    read().err().unwrap_or_else(|| Error::malformed(0, "it is no DataRow"))
}

impl fmt::Debug for DataRow {
    /// Shows no value: they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DataRow({} values, {} bytes)", self.len(), self.body.len())
    }
}

/// The values of a [`DataRow`] that were not passed yet, in order.
#[derive(Clone)]
pub struct RowValues<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RowValues<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (len, rest) = self.rest.split_first_chunk()?;
        // What is no length is -1: the row was checked.
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            self.rest = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(Some(value))
    }
}

impl fmt::Debug for RowValues<'_> {
    /// Shows no value: they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RowValues({} bytes)", self.rest.len())
    }
}
