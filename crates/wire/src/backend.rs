//! PostgreSQL's answers: what the bodies of its frames say. PostgreSQL manual, "Message Formats", "Error Fields".

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::frame::Reader;
pub use crate::row::{DataRow, RowValues};
use crate::{Error, ascii};

/// The tags of backend frames that a pipeline can bring.
pub mod tag {
    /// ParseComplete.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// BindComplete.
    pub const BIND_COMPLETE: u8 = b'2';
    /// CloseComplete.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// NotificationResponse.
    pub const NOTIFICATION: u8 = b'A';
    /// CommandComplete.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// DataRow.
    pub const DATA_ROW: u8 = b'D';
    /// ErrorResponse.
    pub const ERROR: u8 = b'E';
    /// CopyInResponse.
    pub const COPY_IN: u8 = b'G';
    /// CopyOutResponse.
    pub const COPY_OUT: u8 = b'H';
    /// EmptyQueryResponse.
    pub const EMPTY_QUERY: u8 = b'I';
    /// BackendKeyData.
    pub const BACKEND_KEY: u8 = b'K';
    /// NoticeResponse.
    pub const NOTICE: u8 = b'N';
    /// ParameterStatus.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// RowDescription.
    pub const ROW_DESCRIPTION: u8 = b'T';
    /// CopyBothResponse.
    pub const COPY_BOTH: u8 = b'W';
    /// ReadyForQuery.
    pub const READY: u8 = b'Z';
    /// CopyDone.
    pub const COPY_DONE: u8 = b'c';
    /// CopyData.
    pub const COPY_DATA: u8 = b'd';
    /// NoData.
    pub const NO_DATA: u8 = b'n';
    /// PortalSuspended.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// ParameterDescription.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
}

/// One column of a result, as RowDescription gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<Name = String> {
    /// The name; not unique within a result.
    pub name: Name,
    /// The OID of the table, or 0 where the column is none of a table.
    pub table_oid: u32,
    /// The number of the column in its table, from 1, or 0.
    pub column: i16,
    /// The OID of the type; for a domain that of its base type.
    pub type_oid: u32,
    /// The size of the type in bytes; −1 varying, −2 a C string.
    pub type_size: i16,
    /// The type modifier, −1 where there is none.
    pub type_modifier: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// Reads a RowDescription body.
///
/// # Errors
/// When the body is not one.
pub fn row_description(body: &[u8]) -> Result<Vec<Field>, Error> {
    let fields = Fields::new(body)?;
    // A field takes 19 bytes at least.
    let mut all = Vec::with_capacity(usize::from(fields.left).min(body.len() / 19));
    for field in fields {
        all.push(field?.to_field());
    }
    Ok(all)
}

/// A [`Field`] whose name is borrowed.
pub type FieldRef<'a> = Field<&'a str>;

impl FieldRef<'_> {
    /// The same with a name of its own.
    pub fn to_field(&self) -> Field {
        let Field { name, table_oid, column, type_oid, type_size, type_modifier, format } = *self;
        Field { name: name.to_owned(), table_oid, column, type_oid, type_size, type_modifier, format }
    }
}

/// The columns of a RowDescription body, in order.
pub struct Fields<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Fields<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// When the body does not say how many columns there are.
    pub fn new(body: &'a [u8]) -> Result<Fields<'a>, Error> {
        let mut reader = Reader::new(body);
        let left = reader.u16("the number of columns")?;
        Ok(Fields { reader, left })
    }

    fn field(&mut self) -> Result<FieldRef<'a>, Error> {
        let reader = &mut self.reader;
        let name = reader.string("a column name")?;
        // Two OIDs, the number in the table between them, the type's size and modifier, the format.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = *reader.array("a column")?;
        Ok(FieldRef {
            name,
            table_oid: u32::from_be_bytes([a, b, c, d]),
            column: i16::from_be_bytes([e, f]),
            type_oid: u32::from_be_bytes([g, h, i, j]),
            type_size: i16::from_be_bytes([k, l]),
            type_modifier: i32::from_be_bytes([m, n, o, p]),
            format: i16::from_be_bytes([q, r]),
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<FieldRef<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.field()
            }
            None => Err(self.reader.end("RowDescription").err()?),
        };
        if field.is_err() {
            // Nothing follows.
            *self = Fields { reader: Reader::new(&[]), left: 0 };
        }
        Some(field)
    }
}

/// The values of a DataRow body, in order; each is `None` for NULL.
#[derive(Clone)]
pub struct Values<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Values<'a> {
    /// Starts reading a DataRow body.
    ///
    /// # Errors
    /// When the body is too short to hold its count.
    pub fn new(body: &'a [u8]) -> Result<Values<'a>, Error> {
        let mut reader = Reader::new(body);
        let left = reader.u16("the number of values")?;
        Ok(Values { reader, left })
    }

    /// How many values are left.
    pub fn remaining(&self) -> u16 {
        self.left
    }

    /// Nothing may follow the last value.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.reader.end("DataRow")
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Option<&'a [u8]>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.reader.value("a value");
        if value.is_err() {
            self.left = 0;
        }
        Some(value)
    }
}

/// A command tag, as CommandComplete gives it: `SELECT 5`, `INSERT 0 1`, `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTag(String);

impl CommandTag {
    /// Reads a CommandComplete body.
    ///
    /// # Errors
    /// When the body is not one.
    pub fn parse(body: &[u8]) -> Result<CommandTag, Error> {
        let mut reader = Reader::new(body);
        let text = reader.string("the command tag")?;
        reader.end("CommandComplete")?;
        Ok(CommandTag(text.to_owned()))
    }

    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The command without its numbers: `SELECT`, `INSERT`, `CREATE TABLE`.
    pub fn command(&self) -> &str {
        let end = self.0.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default().trim_ascii_end()
    }

    /// The rows selected, inserted, updated, deleted, merged, moved, fetched or copied; `None` for other commands.
    pub fn rows(&self) -> Option<u64> {
        let (_, last) = ascii::split_last(&self.0, b' ')?;
        ascii::number(last)
    }
}

/// The transaction status of a ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: in no transaction.
    Idle,
    /// `T`: in a transaction block.
    Transaction,
    /// `E`: in a failed transaction block.
    Failed,
}

impl TransactionStatus {
    /// Reads a ReadyForQuery body.
    ///
    /// # Errors
    /// When the body is not one.
    pub fn parse(body: &[u8]) -> Result<TransactionStatus, Error> {
        match body {
            b"I" => Ok(TransactionStatus::Idle),
            b"T" => Ok(TransactionStatus::Transaction),
            b"E" => Ok(TransactionStatus::Failed),
            _ => Err(Error::malformed(0, "ReadyForQuery says neither I nor T nor E")),
        }
    }
}

/// An ErrorResponse or NoticeResponse with every field that PostgreSQL sent.
///
/// `Display` shows severity, message and SQLSTATE: no detail, which may quote values.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    // As PostgreSQL sent them: each a code, its text and a zero byte; at the end a zero byte alone.
    fields: Vec<u8>,
}

macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident $code:literal;)*) => {
        $($(#[$doc])* pub fn $name(&self) -> Option<&str> { self.field($code) })*
    };
}

impl ErrorResponse {
    /// Reads an ErrorResponse or NoticeResponse body.
    ///
    /// # Errors
    /// When the body is not one.
    pub fn parse(body: &[u8]) -> Result<ErrorResponse, Error> {
        let mut reader = Reader::new(body);
        while reader.u8("a field code")? != 0 {
            reader.string("an error field")?;
        }
        reader.end("ErrorResponse")?;
        Ok(ErrorResponse { fields: body.to_vec() })
    }

    /// A field by its code (PostgreSQL manual, "Error and Notice Message Fields").
    pub fn field(&self, code: u8) -> Option<&str> {
        self.fields().find(|(found, _)| *found == code).map(|(_, text)| text)
    }

    /// All fields with their codes, as PostgreSQL sent them.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &str)> {
        let mut reader = Reader::new(&self.fields);
        // They were read before: the first code that is none ends them.
        core::iter::from_fn(move || match reader.u8("").ok()? {
            0 => None,
            code => Some((code, reader.string("").ok()?)),
        })
    }

    /// `ERROR`, `FATAL`, `PANIC`, or of a notice `WARNING`, `NOTICE`, …; never translated.
    pub fn severity(&self) -> &str {
        self.field(b'V').or_else(|| self.field(b'S')).unwrap_or("ERROR")
    }

    /// The SQLSTATE, five characters; `XX000` where the server sent none.
    pub fn code(&self) -> &str {
        self.field(b'C').unwrap_or("XX000")
    }

    /// The message, one line as a rule.
    pub fn message(&self) -> &str {
        self.field(b'M').unwrap_or("PostgreSQL sent an error without a message")
    }

    text_fields! {
        /// More about the problem; may quote values.
        detail b'D';
        /// What to do about it.
        hint b'H';
        /// The text of a command that the server generated.
        internal_query b'q';
        /// Where it happened, one line a call.
        context b'W';
        /// The schema that the error is about.
        schema b's';
        /// The table that the error is about.
        table b't';
        /// The column that the error is about.
        column b'c';
        /// The data type that the error is about.
        data_type b'd';
        /// The constraint that was violated.
        constraint b'n';
        /// The file of PostgreSQL's source that reported it.
        file b'F';
        /// The routine of PostgreSQL's source that reported it.
        routine b'R';
    }

    /// The position in the statement, in characters, from 1.
    pub fn position(&self) -> Option<u32> {
        self.number(b'P')
    }

    /// The position in [`internal_query`](Self::internal_query), in characters, from 1.
    pub fn internal_position(&self) -> Option<u32> {
        self.number(b'p')
    }

    /// The line of [`file`](Self::file).
    pub fn line(&self) -> Option<u32> {
        self.number(b'L')
    }

    fn number(&self, code: u8) -> Option<u32> {
        u32::try_from(ascii::number(self.field(code)?)?).ok()
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} (SQLSTATE {})", self.severity(), self.message(), self.code())
    }
}

impl fmt::Debug for ErrorResponse {
    /// As `Display`: a detail may quote values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ErrorResponse({self})")
    }
}

impl core::error::Error for ErrorResponse {}

/// Appends an ErrorResponse frame of the endpoint's own, for an error that PostgreSQL did not send.
pub fn write_error(out: &mut Vec<u8>, sqlstate: &str, message: &str, hint: Option<&str>) {
    crate::frame::write(out, tag::ERROR, |out| {
        let hint = hint.map(|hint| (b'H', hint));
        let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate), (b'M', message)];
        for (code, text) in fields.into_iter().chain(hint) {
            out.push(code);
            // A zero byte would end the field early.
            out.extend(text.bytes().filter(|&byte| byte != 0));
            out.push(0);
        }
        out.push(0);
    });
}
