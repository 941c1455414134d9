//! Values in text format as their binary format.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use postgres_types::{Kind, Type};

use super::calendar::{DAY_US, days};
use super::{delimiter, is_verbatim};
use crate::numeric;

/// Arrays are at most as deep as PostgreSQL's.
const DIMENSIONS_LIMIT: usize = 6;

/// The binary form of a text that PostgreSQL wrote with `DateStyle` ISO and `IntervalStyle` postgres, which are its
/// defaults. `None` where it is none of the type, or where the type is not known here.
pub(crate) fn binary(type_: &Type, text: &str) -> Option<BytesMut> {
    let mut out = BytesMut::with_capacity(text.len());
    read(&mut out, type_, text)?;
    Some(out)
}

fn read(out: &mut BytesMut, type_: &Type, text: &str) -> Option<()> {
    match type_.kind() {
        Kind::Array(element) => return array(out, element, text),
        Kind::Range(element) => {
            let rest = range(out, element, text)?;
            return rest.is_empty().then_some(());
        }
        Kind::Multirange(inner) => return multirange(out, inner, text),
        _ => {}
    }
    match *type_ {
        _ if is_verbatim(type_) => out.extend_from_slice(text.as_bytes()),
        Type::BOOL => out.put_u8(match text {
            "t" | "true" => 1,
            "f" | "false" => 0,
            _ => return None,
        }),
        Type::BYTEA => bytea(out, text)?,
        Type::CHAR => out.put_u8(match text.as_bytes() {
            [] => 0,
            [byte] => *byte,
            [b'\\', digits @ ..] if digits.len() == 3 => octal(digits)?,
            _ => return None,
        }),
        Type::INT2 => out.put_i16(text.parse().ok()?),
        Type::INT4 => out.put_i32(text.parse().ok()?),
        Type::INT8 => out.put_i64(text.parse().ok()?),
        Type::OID | Type::XID | Type::CID => out.put_u32(text.parse().ok()?),
        Type::XID8 => out.put_u64(text.parse().ok()?),
        Type::FLOAT4 => out.put_f32(text.parse().ok()?),
        Type::FLOAT8 => out.put_f64(text.parse().ok()?),
        Type::NUMERIC => {
            let number: crate::Numeric = text.parse().ok()?;
            numeric::binary(number.as_str(), out)?;
        }
        Type::DATE => out.put_i32(match text {
            "infinity" => i32::MAX,
            "-infinity" => i32::MIN,
            _ => i32::try_from(date(text)?).ok()?,
        }),
        Type::TIME => out.put_i64(clock(text)?),
        Type::TIMETZ => {
            let at = text.find(['+', '-'])?;
            let (time, offset) = text.split_at_checked(at)?;
            out.put_i64(clock(time)?);
            out.put_i32(i32::try_from(-zone(offset)?).ok()?);
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => out.put_i64(moment(text, *type_ == Type::TIMESTAMPTZ)?),
        Type::INTERVAL => interval(out, text)?,
        Type::UUID => {
            let digits: String = text.chars().filter(|character| *character != '-').collect();
            hexadecimal(out, &digits)?;
            (out.len() == 16).then_some(())?;
        }
        Type::JSONB | Type::JSONPATH => {
            out.put_u8(1);
            out.extend_from_slice(text.as_bytes());
        }
        Type::INET | Type::CIDR => inet(out, text, *type_ == Type::CIDR)?,
        Type::MACADDR | Type::MACADDR8 => {
            let digits: String = text.chars().filter(|character| *character != ':').collect();
            hexadecimal(out, &digits)?;
            (out.len() == if *type_ == Type::MACADDR { 6 } else { 8 }).then_some(())?;
        }
        Type::BIT | Type::VARBIT => bits(out, text)?,
        Type::PG_LSN => {
            let (high, low) = text.split_once('/')?;
            out.put_u32(u32::from_str_radix(high, 16).ok()?);
            out.put_u32(u32::from_str_radix(low, 16).ok()?);
        }
        Type::POINT => numbers(out, text, Some(2)).map(drop)?,
        Type::BOX | Type::LSEG => numbers(out, text, Some(4)).map(drop)?,
        Type::LINE | Type::CIRCLE => numbers(out, text, Some(3)).map(drop)?,
        Type::PATH => {
            out.put_u8(u8::from(!text.starts_with('[')));
            counted_points(out, text)?;
        }
        Type::POLYGON => counted_points(out, text)?,
        _ => return None,
    }
    Some(())
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

fn hexadecimal(out: &mut BytesMut, digits: &str) -> Option<()> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    for &[high, low] in pairs {
        let digit = |character| char::from(character).to_digit(16);
        out.put_u8(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
    }
    odd.is_empty().then_some(())
}

/// Both of PostgreSQL's formats: `\x00ff`, and the older one with `\\` and `\ooo` for what is not printable.
fn bytea(out: &mut BytesMut, text: &str) -> Option<()> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hexadecimal(out, digits);
    }
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.put_u8(b'\\');
                after
            }
            (b'\\', _) => {
                let (digits, after) = after.split_at_checked(3)?;
                out.put_u8(octal(digits)?);
                after
            }
            _ => {
                out.put_u8(byte);
                after
            }
        };
    }
    Some(())
}

fn bits(out: &mut BytesMut, text: &str) -> Option<()> {
    out.put_i32(i32::try_from(text.len()).ok()?);
    for chunk in text.as_bytes().chunks(8) {
        let mut byte = 0;
        for (index, digit) in chunk.iter().enumerate() {
            match digit {
                b'0' => {}
                b'1' => byte |= 0x80 >> index,
                _ => return None,
            }
        }
        out.put_u8(byte);
    }
    Some(())
}

fn inet(out: &mut BytesMut, text: &str, is_cidr: bool) -> Option<()> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let (family, octets, whole) = match address.parse().ok()? {
        IpAddr::V4(address) => (2, address.octets().to_vec(), 32),
        IpAddr::V6(address) => (3, address.octets().to_vec(), 128),
    };
    let bits: u8 = bits.map_or(Ok(whole), str::parse).ok().filter(|&bits| bits <= whole)?;
    out.extend_from_slice(&[family, bits, u8::from(is_cidr), u8::try_from(octets.len()).ok()?]);
    out.extend_from_slice(&octets);
    Some(())
}

/// The numbers of a geometric value, whatever stands between them, and how many they are.
fn numbers(out: &mut BytesMut, text: &str, expected: Option<usize>) -> Option<usize> {
    let mut count = 0;
    let parts = text.split(['(', ')', '[', ']', '{', '}', '<', '>', ',']);
    for part in parts.filter(|part| !part.is_empty()) {
        out.put_f64(part.parse().ok()?);
        count += 1;
    }
    expected.is_none_or(|expected| expected == count).then_some(count)
}

fn counted_points(out: &mut BytesMut, text: &str) -> Option<()> {
    let mut points = BytesMut::new();
    let count = numbers(&mut points, text, None)?;
    out.put_i32(i32::try_from(count / 2).ok()?);
    out.extend_from_slice(&points);
    (count % 2 == 0).then_some(())
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `2024-02-29`, `0044-03-15 BC`.
fn date(text: &str) -> Option<i64> {
    let (text, is_bc) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    let year = if is_bc { 1 - year } else { year };
    parts.next().is_none().then(|| days(year, month, day))?
}

/// `12:34:56.789012`; also `24:00:00`, and more hours in an interval.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (digits(parts.next()?)?, digits(parts.next()?)?, parts.next()?);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let decimals = u32::try_from(fraction.len()).ok().filter(|&decimals| decimals <= 6)?;
    let fraction = digits(fraction)? * 10_i64.pow(6 - decimals);
    let seconds = digits(whole)?;
    if minutes > 59 || seconds > 60 || parts.next().is_some() {
        return None;
    }
    let seconds = hours.checked_mul(3_600)?.checked_add(minutes * 60 + seconds)?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// An offset as `+05:30` or `-00:00:30`, in seconds to the east.
fn zone(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let mut seconds = 0;
    let mut unit = 3_600;
    for part in text.split(':') {
        seconds += digits(part).filter(|part| *part < 100)? * unit;
        unit /= 60;
    }
    Some(sign * seconds)
}

/// `2024-02-29 12:34:56.789012+00`, `-infinity`, `0044-03-15 12:00:00 BC`, in microseconds since 2000.
fn moment(text: &str, has_zone: bool) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (rest, is_bc) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let (day, time) = rest.split_once([' ', 'T'])?;
    let (time, offset) = match time.find(['+', '-']).filter(|_| has_zone) {
        Some(at) => time.split_at_checked(at).map(|(time, offset)| Some((time, zone(offset)?)))??,
        None if has_zone => return None,
        None => (time, 0),
    };
    let day = if is_bc { date(&format!("{day} BC"))? } else { date(day)? };
    let microseconds = day.checked_mul(DAY_US)?.checked_add(clock(time)?)?;
    microseconds.checked_sub(offset * 1_000_000)
}

/// `1 year 2 mons -3 days 04:05:06.789`, each part where it is not 0.
fn interval(out: &mut BytesMut, text: &str) -> Option<()> {
    let (mut microseconds, mut day_count, mut months) = (0_i64, 0_i32, 0_i32);
    match text {
        "infinity" => (microseconds, day_count, months) = (i64::MAX, i32::MAX, i32::MAX),
        "-infinity" => (microseconds, day_count, months) = (i64::MIN, i32::MIN, i32::MIN),
        _ => {
            let mut words = text.split(' ');
            while let Some(word) = words.next() {
                if word.contains(':') {
                    let (sign, time) = match word.strip_prefix('-') {
                        Some(time) => (-1, time),
                        None => (1, word.strip_prefix('+').unwrap_or(word)),
                    };
                    microseconds = clock(time)?.checked_mul(sign)?;
                    continue;
                }
                let number: i32 = word.parse().ok()?;
                match words.next()? {
                    "year" | "years" => months = months.checked_add(number.checked_mul(12)?)?,
                    "mon" | "mons" => months = months.checked_add(number)?,
                    "day" | "days" => day_count = number,
                    _ => return None,
                }
            }
        }
    }
    out.put_i64(microseconds);
    out.put_i32(day_count);
    out.put_i32(months);
    Some(())
}

/// Appends a value with its length of 4 bytes in front.
fn value(out: &mut BytesMut, type_: &Type, text: &str) -> Option<()> {
    let binary = binary(type_, text)?;
    out.put_i32(i32::try_from(binary.len()).ok()?);
    out.extend_from_slice(&binary);
    Some(())
}

/// `{1,NULL,"a \"b\""}`, `[0:1]={…}`, `{{1,2},{3,4}}`.
fn array(out: &mut BytesMut, element: &Type, text: &str) -> Option<()> {
    let mut lowers = Vec::new();
    let mut rest = text;
    if text.starts_with('[') {
        let (bounds, literal) = text.split_once('=')?;
        rest = literal;
        for bound in bounds.split('[').skip(1) {
            let (lower, _) = bound.strip_suffix(']')?.split_once(':')?;
            lowers.push(lower.parse::<i32>().ok()?);
        }
    }
    let mut literal = Literal { rest, delimiter: delimiter(element), lens: Vec::new(), items: Vec::new() };
    literal.level(0)?;
    if !literal.rest.is_empty() || !(lowers.is_empty() || lowers.len() == literal.lens.len()) {
        return None;
    }
    let dimensions = if literal.items.is_empty() { 0 } else { literal.lens.len() };
    out.put_i32(i32::try_from(dimensions).ok()?);
    out.put_i32(i32::from(literal.items.iter().any(Option::is_none)));
    out.put_u32(element.oid());
    for (index, len) in literal.lens.iter().take(dimensions).enumerate() {
        out.put_i32(i32::try_from((*len)?).ok()?);
        out.put_i32(lowers.get(index).copied().unwrap_or(1));
    }
    for item in &literal.items {
        match item {
            None => out.put_i32(-1),
            Some(item) => value(out, element, item)?,
        }
    }
    Some(())
}

/// An array literal that is being read.
struct Literal<'a> {
    rest: &'a str,
    delimiter: char,
    // The length of each dimension, once one of its arrays has ended.
    lens: Vec<Option<usize>>,
    items: Vec<Option<String>>,
}

impl Literal<'_> {
    fn level(&mut self, depth: usize) -> Option<()> {
        self.rest = self.rest.strip_prefix('{')?;
        if self.lens.len() == depth {
            self.lens.push(None);
        }
        if depth >= DIMENSIONS_LIMIT {
            return None;
        }
        let mut len = 0;
        if let Some(rest) = self.rest.strip_prefix('}') {
            self.rest = rest;
        } else {
            let has_arrays = self.rest.starts_with('{');
            loop {
                // Items are in the innermost arrays only.
                if has_arrays {
                    self.level(depth + 1)?;
                } else {
                    (depth + 1 == self.lens.len()).then_some(())?;
                    let item = self.item()?;
                    self.items.push(item);
                }
                len += 1;
                let mut characters = self.rest.chars();
                let next = characters.next()?;
                self.rest = characters.as_str();
                if next == '}' {
                    break;
                }
                (next == self.delimiter).then_some(())?;
            }
        }
        let known = self.lens.get_mut(depth)?;
        (*known.get_or_insert(len) == len).then_some(())
    }

    fn item(&mut self) -> Option<Option<String>> {
        if self.rest.starts_with('"') {
            return quoted(&mut self.rest).map(Some);
        }
        let mut item = String::new();
        let mut was_escaped = false;
        loop {
            let mut characters = self.rest.chars();
            let next = characters.next()?;
            if next == self.delimiter || next == '}' {
                break;
            }
            self.rest = characters.as_str();
            match next {
                '\\' => {
                    was_escaped = true;
                    item.push(characters.next()?);
                    self.rest = characters.as_str();
                }
                '"' | '{' => return None,
                _ => item.push(next),
            }
        }
        let is_null = item.eq_ignore_ascii_case("null") && !was_escaped;
        (!item.is_empty()).then(|| (!is_null).then_some(item))
    }
}

/// A text in quotes: `\"` and, in ranges, `""` stand for a quote.
fn quoted(rest: &mut &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = rest.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '\\' => text.push(characters.next()?),
            '"' => match characters.as_str().strip_prefix('"') {
                Some(after) => {
                    text.push('"');
                    characters = after.chars();
                }
                None => break,
            },
            other => text.push(other),
        }
    }
    *rest = characters.as_str();
    Some(text)
}

/// `[1,5)`, `(,"2024-01-01 00:00:00"]`, `empty`; gives what follows.
fn range<'a>(out: &mut BytesMut, element: &Type, text: &'a str) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix("empty") {
        out.put_u8(0x01);
        return Some(rest);
    }
    let (includes_lower, mut rest) = match text.strip_prefix('[') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('(')?),
    };
    let lower = bound(&mut rest)?;
    rest = rest.strip_prefix(',')?;
    let upper = bound(&mut rest)?;
    let (includes_upper, rest) = match rest.strip_prefix(']') {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(')')?),
    };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.put_u8(
        flag(includes_lower && lower.is_some(), 0x02)
            | flag(includes_upper && upper.is_some(), 0x04)
            | flag(lower.is_none(), 0x08)
            | flag(upper.is_none(), 0x10),
    );
    for bound in [lower, upper].into_iter().flatten() {
        value(out, element, &bound)?;
    }
    Some(rest)
}

/// A bound; `Some(None)` where there is none.
fn bound(rest: &mut &str) -> Option<Option<String>> {
    if rest.starts_with('"') {
        return quoted(rest).map(Some);
    }
    let end = rest.find([',', ')', ']'])?;
    let (bound, after) = rest.split_at_checked(end)?;
    *rest = after;
    Some((!bound.is_empty()).then(|| bound.to_owned()))
}

fn multirange(out: &mut BytesMut, inner: &Type, text: &str) -> Option<()> {
    let element = match inner.kind() {
        Kind::Range(element) => element,
        // Of a multirange some know the type of its elements rather than that of its ranges.
        _ => inner,
    };
    let mut rest = text.strip_prefix('{')?;
    let (mut count, mut ranges) = (0, BytesMut::new());
    if let Some(after) = rest.strip_prefix('}') {
        rest = after;
    } else {
        loop {
            let mut one = BytesMut::new();
            rest = range(&mut one, element, rest)?;
            ranges.put_i32(i32::try_from(one.len()).ok()?);
            ranges.extend_from_slice(&one);
            count += 1;
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',')?;
        }
    }
    out.put_i32(count);
    out.extend_from_slice(&ranges);
    rest.is_empty().then_some(())
}
