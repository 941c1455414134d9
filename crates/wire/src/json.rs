//! Results as typed JSON (PROTOCOL.md section 5), and the few JSON tokens that this crate writes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::backend::{self, CommandTag, ErrorResponse, Field, TransactionStatus, Values, tag};
use crate::encoder::Batch;
use crate::frame::Frame;
use crate::representation::{JsonOptions, JsonResult, Rows};
use crate::{Error, oid};

/// Writes one answer as one JSON object, row by row.
pub struct JsonEncoder {
    options: JsonOptions,
    batch: Batch,
    columns: Vec<Column>,
    state: State,
    results: usize,
    statement: u64,
    error: Option<Vec<u8>>,
}

struct Column {
    // `"name":`, as it stands before each value of an object.
    key: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Bool,
    Json,
    String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of the current result is written.
    Between,
    /// The fields are written, and the start of the rows.
    Rows { first: bool },
}

impl JsonEncoder {
    /// Starts an answer.
    pub fn new(options: JsonOptions, batch: Batch) -> JsonEncoder {
        let columns = Vec::new();
        JsonEncoder { options, batch, columns, state: State::Between, results: 0, statement: 0, error: None }
    }

    /// Takes the next frame of the answer and appends what is ready to `out`.
    ///
    /// # Errors
    /// When the frame is not what the protocol says, or a column comes in binary format; the offset is in the body.
    pub fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match frame.tag {
            tag::ROW_DESCRIPTION => self.fields(&backend::row_description(frame.body)?, out)?,
            tag::DATA_ROW => self.row(frame.body, out)?,
            tag::COMMAND_COMPLETE => {
                let command = CommandTag::parse(frame.body)?;
                self.complete(command.command(), command.rows(), out);
            }
            tag::EMPTY_QUERY => self.complete("", None, out),
            tag::ERROR => self.fail(error_object(&ErrorResponse::parse(frame.body)?, self.statement)),
            tag::COPY_OUT => {
                self.fail(own_error("0A000", "COPY TO STDOUT has no form in JSON", self.statement))
            }
            tag::READY if TransactionStatus::parse(frame.body)? != TransactionStatus::Idle => {
                let message = "the request left a transaction open; it was rolled back";
                self.fail(own_error("25000", message, self.statement));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the answer after its last frame.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_bare() {
            return self.finish_bare(out);
        }
        if self.state != State::Between {
            // A result that an error has cut off.
            out.push(b']');
            if self.batch == Batch::Many {
                out.push(b'}');
            }
        }
        let nothing = self.results == 0;
        match (self.batch, nothing) {
            (Batch::Many, true) => out.extend_from_slice(b"{\"results\":["),
            (Batch::Single, true) => out.push(b'{'),
            _ => {}
        }
        if self.batch == Batch::Many {
            out.push(b']');
        }
        if let Some(error) = self.error.take() {
            if self.batch == Batch::Many || !nothing {
                out.push(b',');
            }
            out.extend_from_slice(b"\"error\":");
            out.extend_from_slice(&error);
        }
        out.extend_from_slice(b"}\n");
    }

    fn is_bare(&self) -> bool {
        self.options.result == JsonResult::Rows
    }

    /// An error behind rows that are given out already makes the body no JSON, so that nobody takes them for all.
    fn finish_bare(&mut self, out: &mut Vec<u8>) {
        if let Some(error) = self.error.take() {
            if self.results > 0 {
                out.push(b'\n');
            }
            out.extend_from_slice(b"{\"error\":");
            out.extend_from_slice(&error);
            out.push(b'}');
        }
        out.push(b'\n');
    }

    fn fail(&mut self, error: Vec<u8>) {
        self.error.get_or_insert(error);
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(match (self.batch, self.results) {
            (Batch::Single, _) => b"{".as_slice(),
            (Batch::Many, 0) => b"{\"results\":[{",
            (Batch::Many, _) => b",{",
        });
        self.results += 1;
    }

    fn fields(&mut self, fields: &[Field], out: &mut Vec<u8>) -> Result<(), Error> {
        if fields.iter().any(|field| field.format != 0) {
            return Err(Error::malformed(0, "typed JSON is made of results in text format"));
        }
        self.columns.clear();
        self.columns.extend(fields.iter().map(|field| {
            let mut key = Vec::new();
            string(&mut key, field.name.as_bytes());
            key.push(b':');
            Column { key, kind: kind(field.type_oid) }
        }));
        // Bare rows begin with the first of them: before it an error can still be the whole answer.
        if !self.is_bare() {
            self.open(out);
            out.extend_from_slice(b"\"fields\":[");
            for (index, (field, column)) in fields.iter().zip(&self.columns).enumerate() {
                out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
                out.extend_from_slice(column.key.strip_suffix(b":").unwrap_or_default());
                out.extend_from_slice(b",\"type_oid\":");
                integer(out, i64::from(field.type_oid));
                out.push(b'}');
            }
            out.extend_from_slice(b"],\"rows\":[");
        }
        self.state = State::Rows { first: true };
        Ok(())
    }

    fn row(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut values = Values::new(body)?;
        let (found, expected) = (usize::from(values.remaining()), self.columns.len());
        if found != expected || self.state == State::Between {
            return Err(Error::malformed(
                0,
                format_args!("a DataRow of {found} values under {expected} columns"),
            ));
        }
        if self.state != (State::Rows { first: true }) {
            out.push(b',');
        } else if self.is_bare() {
            out.push(b'[');
            self.results += 1;
        }
        self.state = State::Rows { first: false };
        let (open, close) = match self.options.rows {
            Rows::Object => (b'{', b'}'),
            Rows::Array => (b'[', b']'),
        };
        out.push(open);
        for (index, (column, value)) in self.columns.iter().zip(values.by_ref()).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if self.options.rows == Rows::Object {
                out.extend_from_slice(&column.key);
            }
            match value? {
                None => out.extend_from_slice(b"null"),
                Some(text) => column.kind.write(text, out),
            }
        }
        out.push(close);
        values.end()
    }

    fn complete(&mut self, command: &str, rows: Option<u64>, out: &mut Vec<u8>) {
        if self.is_bare() {
            out.extend_from_slice(if self.results == 0 { b"[]" } else { b"]" });
            self.results = 1;
            self.statement += 1;
            return;
        }
        if self.state == State::Between {
            self.open(out);
            out.extend_from_slice(b"\"fields\":[],\"rows\":[");
        }
        out.extend_from_slice(b"],\"command\":");
        string(out, command.as_bytes());
        out.extend_from_slice(b",\"row_count\":");
        match rows {
            None => out.extend_from_slice(b"null"),
            Some(rows) => out.extend_from_slice(rows.to_string().as_bytes()),
        }
        if self.batch == Batch::Many {
            out.push(b'}');
        }
        self.state = State::Between;
        self.statement += 1;
    }
}

impl Kind {
    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        match (self, text) {
            (Kind::Bool, b"t") => out.extend_from_slice(b"true"),
            (Kind::Bool, b"f") => out.extend_from_slice(b"false"),
            // `NaN` and the infinities are no JSON numbers.
            (Kind::Number, text) if text.last().is_some_and(u8::is_ascii_digit) => {
                out.extend_from_slice(text)
            }
            (Kind::Json, text) => out.extend_from_slice(String::from_utf8_lossy(text).as_bytes()),
            (_, text) => string(out, text),
        }
    }
}

fn kind(type_oid: u32) -> Kind {
    match type_oid {
        oid::BOOL => Kind::Bool,
        oid::INT2 | oid::INT4 | oid::OID | oid::FLOAT4 | oid::FLOAT8 => Kind::Number,
        oid::JSON | oid::JSONB => Kind::Json,
        _ => Kind::String,
    }
}

fn own_error(code: &str, message: &str, statement: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    backend::write_error(&mut frame, code, message, None);
    let body = frame.get(crate::frame::HEADER_LEN..).unwrap_or_default();
    let error = ErrorResponse::parse(body).expect("this crate writes errors that it can read");
    error_object(&error, statement)
}

fn error_object(error: &ErrorResponse, statement: u64) -> Vec<u8> {
    let texts = [
        ("severity", Some(error.severity())),
        ("code", Some(error.code())),
        ("message", Some(error.message())),
        ("detail", error.detail()),
        ("hint", error.hint()),
        ("internal_query", error.internal_query()),
        ("where", error.context()),
        ("schema", error.schema()),
        ("table", error.table()),
        ("column", error.column()),
        ("data_type", error.data_type()),
        ("constraint", error.constraint()),
        ("file", error.file()),
        ("routine", error.routine()),
    ];
    let numbers = [
        ("position", error.position()),
        ("internal_position", error.internal_position()),
        ("line", error.line()),
    ];
    let mut out = b"{".to_vec();
    for (name, text) in texts {
        let Some(text) = text else { continue };
        string(&mut out, name.as_bytes());
        out.push(b':');
        string(&mut out, text.as_bytes());
        out.push(b',');
    }
    for (name, number) in numbers {
        let Some(number) = number else { continue };
        string(&mut out, name.as_bytes());
        out.push(b':');
        integer(&mut out, i64::from(number));
        out.push(b',');
    }
    out.extend_from_slice(b"\"statement\":");
    out.extend_from_slice(statement.to_string().as_bytes());
    out.push(b'}');
    out
}

/// Appends a JSON string; bytes that are not UTF-8 become U+FFFD.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = String::from_utf8_lossy(text);
    out.push(b'"');
    for part in text.as_bytes().split_inclusive(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let Some((&last, plain)) = part.split_last() else { continue };
        out.extend_from_slice(plain);
        match last {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(last >> 4), digit(last & 15)]);
            }
            _ => out.push(last),
        }
    }
    out.push(b'"');
}

/// Appends a whole number.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    let start = out.len();
    let mut rest = number.unsigned_abs();
    loop {
        out.push(b'0' + u8::try_from(rest % 10).expect("a digit"));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.get_mut(start..).unwrap_or_default().reverse();
}
