//! A plain reader of column blocks, written from PROTOCOL.md alone: what the encoder is checked against.

use onetrip_wire::frame::{self, Limits};

/// A value as a block gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Milliseconds since 1970.
    Timestamp(f64),
    /// An element of a JSON array, or an object whose members were columns, as text.
    Json(String),
    Bytes(Vec<u8>),
}

/// The rows of all blocks of an answer, and the tags of all its messages.
pub fn read(answer: &[u8]) -> (Vec<Vec<Value>>, Vec<u8>) {
    let (mut rows, mut tags, mut columns, mut rest) = (Vec::new(), Vec::new(), 0, answer);
    while let Some(message) = frame::first(rest, &Limits::default()).unwrap() {
        tags.push(message.tag);
        match message.tag {
            b'F' => {
                let fields: serde_json::Value = serde_json::from_slice(message.body).unwrap();
                columns = fields.as_array().unwrap().len();
            }
            b'B' => rows.extend(block(message.body, columns)),
            _ => {}
        }
        rest = &rest[message.frame_len()..];
    }
    assert!(rest.is_empty(), "{} bytes are no message", rest.len());
    (rows, tags)
}

fn block(body: &[u8], columns: usize) -> Vec<Vec<Value>> {
    let mut at = Cursor { rest: body };
    let rows = at.u32() as usize;
    let (ascii_len, wide_len, encoding) = (at.u32() as usize, at.u32() as usize, at.u8());
    let ascii = String::from_utf8(at.take(ascii_len).to_vec()).unwrap();
    assert!(ascii.is_ascii());
    let wide: Vec<u16> = text(encoding, at.take(wide_len)).encode_utf16().collect();
    let mut arenas = Arenas { ascii: &ascii, wide: &wide };
    let mut table = vec![Vec::with_capacity(columns); rows];
    for _ in 0..columns {
        for (row, value) in column(&mut at, rows, &mut arenas).into_iter().enumerate() {
            table[row].push(value);
        }
    }
    assert!(
        at.rest.is_empty() && arenas.ascii.is_empty() && arenas.wide.is_empty(),
        "a block leaves nothing over"
    );
    table
}

struct Arenas<'a> {
    ascii: &'a str,
    wide: &'a [u16],
}

impl Arenas<'_> {
    fn ascii(&mut self, len: usize) -> String {
        let (value, rest) = self.ascii.split_at(len);
        self.ascii = rest;
        value.to_owned()
    }
}

fn column(at: &mut Cursor<'_>, rows: usize, arenas: &mut Arenas<'_>) -> Vec<Value> {
    match at.u8() {
        0 => at.take(rows).iter().map(|&code| string(code, at, arenas)).collect(),
        1 => at
            .take(rows)
            .iter()
            .map(|&code| [Value::Bool(false), Value::Bool(true), Value::Null][code as usize].clone())
            .collect(),
        2 => at.numbers(rows, |bytes| Value::Integer(i32::from_le_bytes(bytes).into())),
        3 => at.numbers(rows, |bytes| Value::Integer(u32::from_le_bytes(bytes).into())),
        4 => at.numbers(rows, |bytes| Value::Float(f64::from_le_bytes(bytes))),
        5 => (0..rows)
            .map(|_| f64::from_le_bytes(at.take(8).try_into().unwrap()))
            .map(
                |milliseconds| {
                    if milliseconds.is_nan() { Value::Null } else { Value::Timestamp(milliseconds) }
                },
            )
            .collect(),
        6 => {
            let (encoding, len) = (at.u8(), at.u32() as usize);
            let array: Vec<Box<serde_json::value::RawValue>> =
                serde_json::from_str(&alone(encoding, at.take(len))).unwrap();
            array.iter().map(|element| Value::Json(element.get().to_owned())).collect()
        }
        7 => {
            let lengths: Vec<Option<usize>> =
                (0..rows).map(|_| at.u32().cast_signed().try_into().ok()).collect();
            let bytes =
                |len: Option<usize>| len.map_or(Value::Null, |len| Value::Bytes(at.take(len).to_vec()));
            lengths.into_iter().map(bytes).collect()
        }
        8 => at.numbers(rows, |bytes| Value::Integer(i64::from_le_bytes(bytes))),
        9 => {
            let nulls = if at.u8() == 1 { at.take(rows) } else { &[] };
            let len = at.u32() as usize;
            let keys: Vec<String> = serde_json::from_slice(at.take(len)).unwrap();
            let members: Vec<Vec<Value>> = keys.iter().map(|_| column(at, rows, arenas)).collect();
            let object = |row: usize| {
                let members = keys.iter().zip(&members).map(|(key, values)| {
                    format!("{}:{}", serde_json::to_string(key).unwrap(), json(&values[row]))
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            };
            let value = |row: usize| if nulls.get(row) == Some(&1) { "null".to_owned() } else { object(row) };
            (0..rows).map(|row| Value::Json(value(row))).collect()
        }
        kind => panic!("kind {kind}"),
    }
}

/// JSON as JavaScript has it: all numbers are doubles.
#[allow(dead_code, reason = "not every test that shares this file has JSON to compare")]
pub fn parse(text: &str) -> serde_json::Value {
    fn doubles(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => number.as_f64().into(),
            serde_json::Value::Array(values) => values.into_iter().map(doubles).collect(),
            serde_json::Value::Object(members) => {
                members.into_iter().map(|(key, value)| (key, doubles(value))).collect()
            }
            value => value,
        }
    }
    doubles(serde_json::from_str(text).unwrap())
}

/// A member of an object as JSON text.
fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => serde_json::to_string(text).unwrap(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => serde_json::to_string(value).unwrap(),
        Value::Json(text) => text.clone(),
        value => panic!("{value:?} is no member"),
    }
}

fn string(code: u8, at: &mut Cursor<'_>, arenas: &mut Arenas<'_>) -> Value {
    Value::Text(match code {
        255 => return Value::Null,
        254 => {
            let (encoding, len) = (at.u8(), at.u32() as usize);
            alone(encoding, at.take(len))
        }
        252 => arenas.ascii(at.u16() as usize),
        253 => {
            let units = at.u16() as usize;
            let (value, rest) = arenas.wide.split_at(units);
            arenas.wide = rest;
            String::from_utf16(value).unwrap()
        }
        len => arenas.ascii(len as usize),
    })
}

/// What is decoded alone, in UTF-8 as it came.
fn alone(encoding: u8, bytes: &[u8]) -> String {
    if encoding == 0 { String::from_utf8_lossy(bytes).into_owned() } else { text(encoding, bytes) }
}

/// What is well-formed, as an arena always is.
fn text(encoding: u8, bytes: &[u8]) -> String {
    match encoding {
        0 => String::from_utf8(bytes.to_vec()).unwrap(),
        1 => {
            let units: Vec<u16> =
                bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair)).collect();
            String::from_utf16(&units).unwrap()
        }
        _ => panic!("encoding {encoding}"),
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn numbers<const N: usize>(&mut self, rows: usize, read: impl Fn([u8; N]) -> Value) -> Vec<Value> {
        let nulls = if self.u8() == 1 { self.take(rows) } else { &[] };
        let values: Vec<Value> = (0..rows).map(|_| read(self.take(N).try_into().unwrap())).collect();
        values
            .into_iter()
            .enumerate()
            .map(|(row, value)| if nulls.get(row) == Some(&1) { Value::Null } else { value })
            .collect()
    }
}
