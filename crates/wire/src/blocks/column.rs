//! One column of one block: its kind and its values.

use alloc::vec::Vec;

use super::number::{float, integer};
use super::{Column, objects, text, timestamp};
use crate::representation::Strings;

/// How a column is written, with its number on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text = 0,
    Bool = 1,
    Int32 = 2,
    Uint32 = 3,
    Float64 = 4,
    Timestamp = 5,
    Json = 6,
    Bytea = 7,
    Int64 = 8,
    Objects = 9,
}

/// The codes of texts; below them are the lengths of short ones in the ASCII arena.
const ASCII: u8 = 252;
const WIDE: u8 = 253;
const LONG: u8 = 254;
const NULL: u8 = 255;
/// As many units of an arena as an extra can say; a text has at most one for each byte.
const MANY: usize = u16::MAX as usize;

/// The strings of a block that are decoded together.
#[derive(Default)]
pub(super) struct Arenas {
    ascii: Vec<u8>,
    wide: Vec<u8>,
    encoding: u8,
}

impl Arenas {
    /// Whether a long text may go into an arena: who keeps a value keeps all text of its arena. Without `joined` this is the
    /// npm package's wasm, where a byte costs more than the rare row whose texts are many and long.
    fn has_room(&self, value: &[u8]) -> bool {
        value.len() <= MANY
            && (cfg!(not(feature = "joined")) || self.ascii.len().max(self.wide.len() / 2) <= MANY)
    }

    pub(super) fn start(&mut self, strings: Strings) {
        self.ascii.clear();
        self.wide.clear();
        self.encoding = code(strings);
    }

    /// Appends the lengths and bytes of both arenas.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        length(out, self.ascii.len());
        length(out, self.wide.len());
        out.push(self.encoding);
        out.extend_from_slice(&self.ascii);
        out.extend_from_slice(&self.wide);
    }

    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.ascii.shrink_to(bytes);
        self.wide.shrink_to(bytes);
    }
}

/// What a column is written to.
pub(super) struct Output<'a> {
    pub(super) arenas: &'a mut Arenas,
    pub(super) columns: &'a mut Vec<u8>,
    pub(super) strings: Strings,
}

/// Appends a column as the first of `kinds` that fits all its values; every value fits text, and those of json fit json.
pub(super) fn write(kinds: &[Kind], column: &Column<'_>, output: &mut Output<'_>, depth: usize) {
    let start = output.columns.len();
    for &kind in kinds {
        output.columns.push(kind as u8);
        let Output { arenas, columns, strings } = output;
        let out = &mut **columns;
        let fits = match kind {
            Kind::Text => {
                text(column, *strings, arenas, out);
                Some(())
            }
            Kind::Bool => bools(column, out),
            Kind::Int32 => numbers(column, out, |text| integer(text)?.try_into().ok().map(i32::to_le_bytes)),
            Kind::Uint32 => numbers(column, out, |text| integer(text)?.try_into().ok().map(u32::to_le_bytes)),
            Kind::Int64 => numbers(column, out, |text| integer(text).map(i64::to_le_bytes)),
            Kind::Float64 => numbers(column, out, |text| float(text).map(f64::to_le_bytes)),
            Kind::Timestamp => timestamps(column, out),
            Kind::Json => {
                json(column, *strings, out);
                Some(())
            }
            Kind::Bytea => bytea(column, out),
            Kind::Objects if cfg!(feature = "objects") => objects::write(column, output, depth),
            Kind::Objects => None,
        };
        if fits.is_some() {
            return;
        }
        output.columns.truncate(start);
    }
}

fn text(column: &Column<'_>, strings: Strings, arenas: &mut Arenas, out: &mut Vec<u8>) {
    let codes = out.len();
    out.resize(codes + column.rows(), NULL);
    for (row, value) in column.iter().enumerate() {
        let Some(value) = value else { continue };
        let short = u8::try_from(value.len()).ok().filter(|&len| len < ASCII);
        let code = match short {
            Some(len) if append_ascii(&mut arenas.ascii, value) => len,
            // What is decoded with others is decoded several times faster; in UTF-8 its units have to be counted.
            _ if short.is_some()
                || strings != Strings::Utf8 && arenas.has_room(value) && !value.is_ascii() =>
            {
                let units = u16::try_from(text::append(&mut arenas.wide, value, strings))
                    .expect("there are no more units than bytes");
                out.extend_from_slice(&units.to_le_bytes());
                WIDE
            }
            // It is ASCII, or it would be in the other arena.
            #[cfg(feature = "joined")]
            _ if strings == Strings::Utf16Joined && arenas.has_room(value) => {
                arenas.ascii.extend_from_slice(value);
                let units = u16::try_from(value.len()).expect("it has at most MANY bytes");
                out.extend_from_slice(&units.to_le_bytes());
                ASCII
            }
            _ => {
                long(value, strings, out);
                LONG
            }
        };
        if let Some(place) = out.get_mut(codes + row) {
            *place = code;
        }
    }
}

/// Appends the text if it is ASCII. Looking and copying in one go: in wasm a call of memory.copy costs more than that for
/// short texts.
fn append_ascii(arena: &mut Vec<u8>, text: &[u8]) -> bool {
    let before = arena.len();
    arena.reserve(text.len());
    let (words, rest) = text.as_chunks::<8>();
    let mut seen = 0;
    for word in words {
        seen |= u64::from_ne_bytes(*word);
        arena.extend_from_slice(word);
    }
    for &byte in rest {
        seen |= u64::from(byte);
        arena.push(byte);
    }
    let ascii = seen & 0x8080_8080_8080_8080 == 0;
    if !ascii {
        arena.truncate(before);
    }
    ascii
}

/// Appends an encoding, a length and text of any length that is decoded alone.
fn long(value: &[u8], strings: Strings, out: &mut Vec<u8>) {
    // ASCII is shorter in UTF-8, and decodes fast everywhere. Readers replace what is not UTF-8, so that nobody looks twice.
    if strings == Strings::Utf8 || value.is_ascii() {
        out.push(code(Strings::Utf8));
        length(out, value.len());
        out.extend_from_slice(value);
        return;
    }
    out.push(code(strings));
    let place = out.len();
    length(out, 0);
    text::append(out, value, strings);
    let len = u32::try_from(out.len() - place - 4).expect("a row is under 2 GiB");
    if let Some(place) = out.get_mut(place..place + 4) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

fn bools(column: &Column<'_>, out: &mut Vec<u8>) -> Option<()> {
    for value in column.iter() {
        out.push(match value {
            Some(b"f") => 0,
            Some(b"t") => 1,
            None => 2,
            Some(_) => return None,
        });
    }
    Some(())
}

fn numbers<const N: usize>(
    column: &Column<'_>,
    out: &mut Vec<u8>,
    read: impl Fn(&[u8]) -> Option<[u8; N]>,
) -> Option<()> {
    nulls(column.iter().map(|value| value.is_none()), out);
    out.reserve(column.rows() * N);
    for value in column.iter() {
        out.extend_from_slice(&match value {
            None => [0; N],
            Some(value) => read(value)?,
        });
    }
    Some(())
}

/// Appends which values are NULL, if any is.
pub(super) fn nulls(values: impl Iterator<Item = bool> + Clone, out: &mut Vec<u8>) {
    let has_nulls = values.clone().any(|null| null);
    out.push(u8::from(has_nulls));
    if has_nulls {
        out.extend(values.map(u8::from));
    }
}

fn timestamps(column: &Column<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.reserve(column.rows() * 8);
    for value in column.iter() {
        let value = match value {
            None => f64::NAN,
            Some(text) => timestamp::milliseconds(text)?,
        };
        out.extend_from_slice(&value.to_le_bytes());
    }
    Some(())
}

fn json(column: &Column<'_>, strings: Strings, out: &mut Vec<u8>) {
    let len = column.iter().map(|value| value.map_or(4, <[u8]>::len) + 1).sum::<usize>();
    let mut array = Vec::with_capacity(len + 1);
    let mut separator = b'[';
    for value in column.iter() {
        array.push(separator);
        array.extend_from_slice(value.unwrap_or(b"null"));
        separator = b',';
    }
    array.push(b']');
    long(&array, strings, out);
}

fn bytea(column: &Column<'_>, out: &mut Vec<u8>) -> Option<()> {
    let lengths = out.len();
    out.resize(lengths + 4 * column.rows(), 0xff);
    for (row, value) in column.iter().enumerate() {
        let Some(value) = value else { continue };
        let start = out.len();
        unescape(value, out)?;
        let len = u32::try_from(out.len() - start).expect("a row is under 2 GiB");
        let place = lengths + 4 * row;
        if let Some(place) = out.get_mut(place..place + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
    }
    Some(())
}

/// Reads both of PostgreSQL's output formats of bytea, hex and escape (manual, "Binary Data Types").
fn unescape(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if let Some(hex) = text.strip_prefix(b"\\x") {
        if hex.len() % 2 != 0 {
            return None;
        }
        for pair in hex.as_chunks::<2>().0 {
            out.push(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
        }
        return Some(());
    }
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => return None,
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    Some(())
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn code(strings: Strings) -> u8 {
    u8::from(strings != Strings::Utf8)
}

pub(super) fn length(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a row is under 2 GiB");
    out.extend_from_slice(&len.to_le_bytes());
}
