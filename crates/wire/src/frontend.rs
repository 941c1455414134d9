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
    no_zero(sql)?;
    let count = u16::try_from(parameters.len()).map_err(|_| {
        let count = parameters.len();
        Error::malformed(
            0,
            format_args!("{count} parameters; one statement takes at most {PARAMETERS_LIMIT}"),
        )
    })?;
    let values: usize = parameters.iter().map(|parameter| parameter.value.map_or(0, <[u8]>::len) + 10).sum();
    if sql.len().saturating_add(values) > MESSAGE_LIMIT_BYTES {
        let size = sql.len().saturating_add(values);
        return Err(Error::too_large(0, "a statement with its parameters", size, MESSAGE_LIMIT_BYTES));
    }

    frame::write(out, b'P', |out| {
        out.push(0);
        string(out, sql);
        put_u16(out, count);
        for parameter in parameters {
            put_u32(out, parameter.type_oid);
        }
    });
    frame::write(out, b'B', |out| {
        put_u16(out, 0);
        if parameters.iter().all(|parameter| parameter.format == Format::Text) {
            put_u16(out, 0);
        } else {
            put_u16(out, count);
            for parameter in parameters {
                put_u16(out, parameter.format.code());
            }
        }
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
        put_u16(out, 1);
        put_u16(out, result_format.code());
    });
    out.extend_from_slice(b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0");
    Ok(())
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
