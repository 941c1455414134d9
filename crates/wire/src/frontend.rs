//! Writing a pipeline: the frames that a client sends. PostgreSQL manual, "Extended Query".

use alloc::vec::Vec;

use crate::{Error, frame};

/// The format in which a parameter is sent or a result is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// PostgreSQL's text format: what `psql` shows.
    Text,
    /// The type's binary format, as its `send` and `recv` functions define it.
    Binary,
}

impl Format {
    /// The code on the wire.
    pub fn code(self) -> u16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// A parameter of a statement, already in PostgreSQL's format.
#[derive(Clone, Copy)]
pub struct Parameter<'a> {
    /// The OID of the declared type; 0 leaves it to PostgreSQL.
    pub type_oid: u32,
    /// The format of `value`.
    pub format: Format,
    /// The bytes of the value, or `None` for NULL.
    pub value: Option<&'a [u8]>,
}

/// One statement of a pipeline.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    /// One SQL statement, without zero bytes.
    pub sql: &'a str,
    /// Its parameters `$1`, `$2`, …; at most 65,535.
    pub parameters: &'a [Parameter<'a>],
    /// The format of all result columns.
    pub result_format: Format,
}

/// The most parameters that one statement can have: the protocol counts them with 16 bits.
pub const PARAMETERS_LIMIT: usize = u16::MAX as usize;

/// The largest message that PostgreSQL accepts, in bytes (its `MaxAllocSize`, a byte less than 1 GiB), less our headers.
const MESSAGE_LIMIT_BYTES: usize = 0x3fff_ffff - 64;

/// Appends Parse, Bind, Describe and Execute for `statement`, on the unnamed statement and portal.
///
/// # Errors
/// When the SQL holds a zero byte, when there are more than [`PARAMETERS_LIMIT`] parameters, or when SQL and values
/// together are over 1 GiB, which PostgreSQL would not read. `out` is left as it was.
///
/// # Examples
/// ```
/// use onetrip_wire::frontend::{self, Format, Statement};
/// let mut pipeline = Vec::new();
/// let statement = Statement { sql: "select 1", parameters: &[], result_format: Format::Text };
/// frontend::statement(&mut pipeline, &statement)?;
/// frontend::sync(&mut pipeline);
/// # Ok::<(), onetrip_wire::Error>(())
/// ```
pub fn statement(out: &mut Vec<u8>, statement: &Statement<'_>) -> Result<(), Error> {
    let Statement { sql, parameters, result_format } = *statement;
    let values: usize = parameters.iter().map(|parameter| parameter.value.map_or(0, <[u8]>::len) + 4).sum();
    let count = check(sql, parameters.len(), values)?;
    let types = parameters.iter().map(|parameter| parameter.type_oid);
    let formats = parameters.iter().map(|parameter| parameter.format.code());
    let all_text = formats.clone().all(|format| format == 0);

    let parse = begin_parse(out, sql, count);
    types.for_each(|type_oid| put_u32(out, type_oid));
    frame::end(out, parse);
    let bind = begin_bind(out, if all_text { 0 } else { count });
    formats.filter(|_| !all_text).for_each(|format| put_u16(out, format));
    put_u16(out, count);
    for parameter in parameters {
        match parameter.value {
            // A length of -1.
            None => put_u32(out, u32::MAX),
            Some(value) => {
                put_u32(out, u32::try_from(value.len()).expect("the sum was checked above"));
                out.extend_from_slice(value);
            }
        }
    }
    end_statement(out, bind, result_format);
    Ok(())
}

/// The parameters of a statement as they stand in its frames, for who encodes one after the other.
#[derive(Default)]
pub struct Encoded {
    types: Vec<u8>,
    formats: Vec<u8>,
}

impl Encoded {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.formats.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.formats.is_empty()
    }

    /// Adds one whose value stands behind those before.
    pub fn push(&mut self, type_oid: u32, format: Format) {
        put_u32(&mut self.types, type_oid);
        put_u16(&mut self.formats, format.code());
    }

    /// As [`statement`], with results in binary format. `values` are as many as were pushed, one after the other, before each
    /// its length in 4 bytes, −1 for NULL.
    ///
    /// # Errors
    /// As [`statement`].
    pub fn write(&self, out: &mut Vec<u8>, sql: &str, values: &[u8]) -> Result<(), Error> {
        let count = check(sql, self.len(), values.len())?;
        let parse = begin_parse(out, sql, count);
        out.extend_from_slice(&self.types);
        frame::end(out, parse);
        let bind = begin_bind(out, count);
        out.extend_from_slice(&self.formats);
        put_u16(out, count);
        out.extend_from_slice(values);
        end_statement(out, bind, Format::Binary);
        Ok(())
    }
}

/// The number of parameters, whose values with their lengths have so many bytes.
fn check(sql: &str, count: usize, values: usize) -> Result<u16, Error> {
    no_zero(sql)?;
    let size = sql.len().saturating_add(values).saturating_add(count.saturating_mul(6));
    match u16::try_from(count) {
        Ok(_) if size > MESSAGE_LIMIT_BYTES => {
            Err(Error::too_large(0, "a statement with its parameters", size, MESSAGE_LIMIT_BYTES))
        }
        Ok(count) => Ok(count),
        Err(_) => Err(Error::malformed(
            0,
            format_args!("{count} parameters; one statement takes at most {PARAMETERS_LIMIT}"),
        )),
    }
}

fn begin_parse(out: &mut Vec<u8>, sql: &str, count: u16) -> usize {
    let parse = frame::begin(out, b'P');
    out.push(0);
    string(out, sql);
    put_u16(out, count);
    parse
}

fn begin_bind(out: &mut Vec<u8>, formats: u16) -> usize {
    let bind = frame::begin(out, b'B');
    put_u16(out, 0);
    put_u16(out, formats);
    bind
}

fn end_statement(out: &mut Vec<u8>, bind: usize, result_format: Format) {
    put_u16(out, 1);
    put_u16(out, result_format.code());
    frame::end(out, bind);
    out.extend_from_slice(b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0");
}

/// Appends Sync: the end of a group, which is one transaction.
pub fn sync(out: &mut Vec<u8>) {
    out.extend_from_slice(b"S\0\0\0\x04");
}

/// Appends Query: a script of any number of statements, without parameters, results in text format.
///
/// # Errors
/// When the script holds a zero byte, or is over 1 GiB.
pub fn query(out: &mut Vec<u8>, sql: &str) -> Result<(), Error> {
    no_zero(sql)?;
    if sql.len() > MESSAGE_LIMIT_BYTES {
        return Err(Error::too_large(0, "a script", sql.len(), MESSAGE_LIMIT_BYTES));
    }
    frame::write(out, b'Q', |out| string(out, sql));
    Ok(())
}

fn no_zero(sql: &str) -> Result<(), Error> {
    match sql.bytes().position(|byte| byte == 0) {
        None => Ok(()),
        Some(at) => Err(Error::malformed(at, "the SQL holds a zero byte, which PostgreSQL cannot take")),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}
