//! Reading a pipeline on the endpoint's side: only what PROTOCOL.md section 1.1 allows gets through.
//!
//! What passes can be forwarded to PostgreSQL byte for byte: no named statement or portal, no open copy, no function
//! call, no password message, and every group ends with its Sync.

use alloc::vec::Vec;
use core::ops::Range;

use crate::frame::{self, HEADER_LEN, Limits, Reader};
use crate::frontend::Format;
use crate::{Error, Frame};

/// What a request asks of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Groups of statements, each group one transaction.
    Pipeline(Vec<Group>),
    /// A script: one Query frame.
    Script,
}

/// The statements before one Sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// At least one.
    pub statements: Vec<StatementFrames>,
}

/// Where the frames of one statement lie in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementFrames {
    /// The Parse frame.
    pub parse: Range<usize>,
    /// The Bind frame.
    pub bind: Range<usize>,
    /// Describe and Execute.
    pub describe_execute: Range<usize>,
    /// The SQL text, without its zero byte.
    pub sql: Range<usize>,
    /// The declared parameter types, 4 bytes each.
    pub parameter_types: Range<usize>,
    /// The formats of the results that Bind asks for.
    pub result_formats: ResultFormats,
}

/// The formats of the results that a Bind asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultFormats {
    /// All columns in one format.
    All(Format),
    /// One code for each column.
    Each(Vec<Format>),
}

impl Request {
    /// Reads a whole body.
    ///
    /// # Errors
    /// When the body is not a pipeline or a script as PROTOCOL.md section 1.1 defines them; the offset is in the body.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Request, Error> {
        let mut frames = Frames { body, at: 0, limits };
        let Some(first) = frames.next()? else { return Err(Error::malformed(0, "the body is empty")) };
        if first.frame.tag == b'Q' {
            return script(&mut frames, &first);
        }
        let mut groups = Vec::new();
        let mut statements = Vec::new();
        let mut next = Some(first);
        while let Some(located) = next {
            match located.frame.tag {
                b'P' => statements.push(statement(&mut frames, &located)?),
                b'S' if statements.is_empty() => {
                    return Err(Error::malformed(located.start, "a Sync without a statement before it"));
                }
                b'S' => {
                    located.reader().end("Sync").map_err(|error| error.shifted(located.body_start()))?;
                    groups.push(Group { statements: core::mem::take(&mut statements) });
                }
                tag => return Err(unexpected(&located, "Parse ('P') or Sync ('S')", tag)),
            }
            next = frames.next()?;
        }
        if !statements.is_empty() {
            return Err(Error::malformed(body.len(), "the last group has no Sync ('S')"));
        }
        Ok(Request::Pipeline(groups))
    }

    /// How many ReadyForQuery end the answer: one for each Sync, one for a script.
    pub fn ready_count(&self) -> usize {
        match self {
            Request::Pipeline(groups) => groups.len(),
            Request::Script => 1,
        }
    }
}

fn script(frames: &mut Frames<'_>, query: &Located<'_>) -> Result<Request, Error> {
    let mut reader = query.reader();
    let read = reader.string("the script").and_then(|_| reader.end("the script"));
    read.map_err(|error| error.shifted(query.body_start()))?;
    match frames.next()? {
        None => Ok(Request::Script),
        Some(more) => Err(Error::malformed(more.start, "a Query ('Q') stands alone in its request")),
    }
}

fn statement(frames: &mut Frames<'_>, parse: &Located<'_>) -> Result<StatementFrames, Error> {
    let (sql, parameter_types) = parse_body(parse).map_err(|error| error.shifted(parse.body_start()))?;
    let bind = frames.expect(b'B', "Bind ('B')")?;
    let result_formats = bind_body(&bind).map_err(|error| error.shifted(bind.body_start()))?;
    let describe = frames.expect(b'D', "Describe ('D')")?;
    if describe.frame.body != b"P\0" {
        return Err(Error::malformed(describe.start, "Describe must describe the unnamed portal"));
    }
    let execute = frames.expect(b'E', "Execute ('E')")?;
    if execute.frame.body != [0; 5] {
        return Err(Error::malformed(
            execute.start,
            "Execute must run the unnamed portal without a row limit",
        ));
    }
    let place =
        |range: Range<usize>| range.start + parse.start + HEADER_LEN..range.end + parse.start + HEADER_LEN;
    Ok(StatementFrames {
        parse: parse.range(),
        bind: bind.range(),
        describe_execute: describe.start..execute.range().end,
        sql: place(sql),
        parameter_types: place(parameter_types),
        result_formats,
    })
}

fn parse_body(parse: &Located<'_>) -> Result<(Range<usize>, Range<usize>), Error> {
    let mut reader = parse.reader();
    unnamed(reader.string("the statement name")?, "statement")?;
    let start = reader.at();
    let sql = reader.string("the SQL")?;
    let sql = start..start + sql.len();
    let count = reader.u16("the number of parameter types")?;
    let start = reader.at();
    let types = reader.bytes(usize::from(count) * 4, "the parameter types")?;
    reader.end("Parse")?;
    Ok((sql, start..start + types.len()))
}

fn bind_body(bind: &Located<'_>) -> Result<ResultFormats, Error> {
    let mut reader = bind.reader();
    unnamed(reader.string("the portal name")?, "portal")?;
    unnamed(reader.string("the statement name")?, "statement")?;
    let formats = reader.u16("the number of parameter formats")?;
    for _ in 0..formats {
        format(&mut reader, "a parameter format")?;
    }
    let start = reader.at();
    let values = reader.u16("the number of parameters")?;
    if formats > 1 && formats != values {
        return Err(Error::malformed(
            start,
            format_args!("{formats} parameter formats for {values} parameters"),
        ));
    }
    for _ in 0..values {
        reader.value("a parameter")?;
    }
    let results = reader.u16("the number of result formats")?;
    let result_formats = match results {
        0 => ResultFormats::All(Format::Text),
        1 => ResultFormats::All(format(&mut reader, "the result format")?),
        _ => ResultFormats::Each(
            (0..results).map(|_| format(&mut reader, "a result format")).collect::<Result<_, _>>()?,
        ),
    };
    reader.end("Bind")?;
    Ok(result_formats)
}

fn format(reader: &mut Reader<'_>, what: &str) -> Result<Format, Error> {
    let at = reader.at();
    match reader.u16(what)? {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        code => Err(Error::malformed(at, format_args!("{what} is 0 or 1, not {code}"))),
    }
}

fn unnamed(name: &str, what: &str) -> Result<(), Error> {
    if name.is_empty() {
        Ok(())
    } else {
        Err(Error::malformed(0, format_args!("a named {what} is not allowed")))
    }
}

fn unexpected(located: &Located<'_>, expected: &str, tag: u8) -> Error {
    Error::malformed(located.start, format_args!("{expected} expected, found {:?}", char::from(tag)))
}

/// A frame and where it starts in the body.
struct Located<'a> {
    start: usize,
    frame: Frame<'a>,
}

impl<'a> Located<'a> {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.frame.frame_len()
    }

    fn body_start(&self) -> u64 {
        (self.start + HEADER_LEN) as u64
    }

    fn reader(&self) -> Reader<'a> {
        Reader::new(self.frame.body)
    }
}

struct Frames<'a> {
    body: &'a [u8],
    at: usize,
    limits: &'a Limits,
}

impl<'a> Frames<'a> {
    fn next(&mut self) -> Result<Option<Located<'a>>, Error> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        let frame = frame::first(rest, self.limits).map_err(|error| error.shifted(start as u64))?;
        let Some(frame) = frame else {
            return Err(Error::malformed(start, "the last frame is longer than the body"));
        };
        self.at += frame.frame_len();
        Ok(Some(Located { start, frame }))
    }

    fn expect(&mut self, tag: u8, what: &str) -> Result<Located<'a>, Error> {
        match self.next()? {
            Some(located) if located.frame.tag == tag => Ok(located),
            Some(located) => Err(unexpected(&located, what, located.frame.tag)),
            None => {
                Err(Error::malformed(self.at, format_args!("{what} expected, found the end of the body")))
            }
        }
    }
}
