//! A json column of objects that all have the same keys: each key becomes a column (PROTOCOL.md section 3.2).
//!
//! A reader builds such objects as it builds rows, several times faster than by parsing JSON. Nothing is taken apart
//! that would not come out of `JSON.parse` the same: what is unusual is left to it.

use alloc::vec;
use alloc::vec::Vec;

use super::column::{self, Kind, Output};
use super::{Column, Span};

/// Fewer objects are parsed faster than their keys are looked up.
const ROWS_AT_LEAST: usize = 8;
const KEYS_AT_MOST: usize = 64;
/// Reading objects apart costs by their bytes and gains by their members that are no objects or arrays. Over so many bytes
/// for each of these it does not pay.
const BYTES_PER_MEMBER: usize = 128;
/// How deep objects in objects are taken apart; a reader recurses as deep.
const DEPTH_AT_MOST: usize = 4;

/// Appends the column, `depth` objects deep, if it is one of such objects.
#[inline(never)]
pub(super) fn write(column: &Column<'_>, output: &mut Output<'_>, depth: usize) -> Option<()> {
    if column.rows() < ROWS_AT_LEAST || depth == DEPTH_AT_MOST {
        return None;
    }
    let mut objects = Objects::read(column)?;
    let width = objects.members.len();
    column::nulls(column.iter().map(|value| value.is_none_or(|text| text == b"null")), output.columns);
    column::length(output.columns, objects.keys.len());
    output.columns.extend_from_slice(&objects.keys);
    for (index, member) in objects.members.iter().enumerate() {
        let written = objects.spans.iter_mut().skip(index).step_by(width).filter(|span| span.len >= 0);
        let kinds: &[Kind] = match member {
            Member { others: true, .. } => &[Kind::Objects, Kind::Json],
            Member { strings: true, booleans: false, integers: false, fractions: false, .. } => {
                // Between the quotes.
                written.for_each(|span| {
                    span.start += 1;
                    span.len -= 2;
                });
                &[Kind::Text]
            }
            Member { strings: false, booleans: true, integers: false, fractions: false, .. } => {
                // PostgreSQL's text of a boolean is the first letter of JSON's.
                written.for_each(|span| span.len = 1);
                &[Kind::Bool]
            }
            Member { strings: false, booleans: false, fractions: false, .. } => {
                &[Kind::Int32, Kind::Float64, Kind::Json]
            }
            Member { strings: false, booleans: false, .. } => &[Kind::Float64, Kind::Json],
            _ => &[Kind::Json],
        };
        let column = Column { values: column.values, spans: &objects.spans, index, width };
        column::write(kinds, &column, output, depth + 1);
    }
    Some(())
}

/// The members of all objects of a column.
struct Objects {
    /// JSON text of an array of the keys.
    keys: Vec<u8>,
    members: Vec<Member>,
    /// Where each member's value lies, object by object.
    spans: Vec<Span>,
}

/// What the values of one key are, all of them.
#[derive(Clone, Copy, Default)]
struct Member {
    strings: bool,
    booleans: bool,
    integers: bool,
    fractions: bool,
    /// Objects, arrays, and strings with escapes.
    others: bool,
}

impl Objects {
    fn read(column: &Column<'_>) -> Option<Objects> {
        let first = column.iter().flatten().find(|text| *text != b"null")?;
        let (keys, simple) = keys(first)?;
        if first.len() > simple * BYTES_PER_MEMBER {
            return None;
        }
        let mut members = vec![Member::default(); keys.len()];
        let mut spans = Vec::with_capacity(column.rows() * keys.len());
        for span in column.spans() {
            match column.value(span) {
                None | Some(b"null") => spans.extend(keys.iter().map(|_| Span::NULL)),
                Some(text) => {
                    let mut scanner = Scanner { text, at: 0 };
                    scanner.expect(b'{')?;
                    for (index, (key, member)) in keys.iter().zip(&mut members).enumerate() {
                        if index > 0 {
                            scanner.expect(b',')?;
                        }
                        scanner.key(key)?;
                        spans.push(scanner.value(member, span.start)?);
                    }
                    scanner.expect(b'}')?;
                }
            }
        }
        let mut names = vec![b'['];
        names.extend(keys.join(&b','));
        names.push(b']');
        Some(Objects { keys: names, members, spans })
    }
}

/// The keys of an object as they are written, in quotes, and how many of its values are simple. `None`: it is none, has no key, too many, one with an escape or
/// one twice.
fn keys(text: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.expect(b'{')?;
    let (mut keys, mut simple) = (Vec::new(), 0);
    loop {
        scanner.space();
        let (start, escaped) = (scanner.at, scanner.string()?);
        let key = text.get(start..scanner.at)?;
        if escaped || keys.len() == KEYS_AT_MOST || keys.contains(&key) || core::str::from_utf8(key).is_err()
        {
            return None;
        }
        keys.push(key);
        scanner.expect(b':')?;
        let mut member = Member::default();
        scanner.value(&mut member, 0)?;
        simple += usize::from(!member.others);
        scanner.space();
        match scanner.next()? {
            b',' => {}
            b'}' => return Some((keys, simple)),
            _ => return None,
        }
    }
}

/// Reads JSON text that PostgreSQL has checked. It finds where values end, and believes nothing else.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn space(&mut self) {
        // None or one is what jsonb has.
        while self.peek().is_some_and(|byte| byte <= b' ') {
            self.at += 1;
        }
    }

    /// Goes behind this byte and the space before it.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.next()? == byte).then_some(())
    }

    /// Goes behind this key and its colon.
    fn key(&mut self, key: &[u8]) -> Option<()> {
        self.space();
        self.text.get(self.at..)?.starts_with(key).then_some(())?;
        self.at += key.len();
        self.expect(b':')
    }

    /// Goes behind a string and says whether it has an escape.
    #[inline(never)]
    fn string(&mut self) -> Option<bool> {
        (self.next()? == b'"').then_some(())?;
        let mut escaped = false;
        loop {
            match self.next()? {
                b'"' => return Some(escaped),
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                }
                _ => {}
            }
        }
    }

    /// Goes behind a value, notes what it is, and returns where it lies if the text starts at `base`.
    #[inline(never)]
    fn value(&mut self, member: &mut Member, base: u32) -> Option<Span> {
        self.space();
        let start = self.at;
        match self.peek()? {
            b'"' => {
                if self.string()? {
                    member.others = true;
                } else {
                    member.strings = true;
                }
            }
            b'{' | b'[' => {
                self.compound()?;
                member.others = true;
            }
            b't' => {
                self.word(b"true")?;
                member.booleans = true;
            }
            b'f' => {
                self.word(b"false")?;
                member.booleans = true;
            }
            b'n' => {
                self.word(b"null")?;
                return Some(Span::NULL);
            }
            _ => {
                let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let rest = self.text.get(self.at..)?;
                let len = rest.iter().take_while(|byte| digits(byte)).count();
                let number = rest.get(..len)?;
                // −0 is no integer in JavaScript.
                let integer = number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-')) && number != b"-0";
                if integer {
                    member.integers = true;
                } else {
                    member.fractions = true;
                }
                (len > 0).then_some(())?;
                self.at += len;
            }
        }
        Some(Span {
            start: base.checked_add(u32::try_from(start).ok()?)?,
            len: i32::try_from(self.at - start).ok()?,
        })
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    /// Goes behind an object or array, whatever is in it.
    #[inline(never)]
    fn compound(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}
