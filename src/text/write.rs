//! Values in binary format as text.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use postgres_types::{Kind, Type};

use super::calendar::{DAY_US, date};
use super::{delimiter, is_verbatim};
use crate::column::check_array;
use crate::numeric;

/// The text of a value, which PostgreSQL reads as the same value; moments as ISO 8601 with a `T`. `None` where the bytes are
/// none of the type, or where the type is not known here.
pub(crate) fn text(type_: &Type, raw: &[u8]) -> Option<String> {
    let mut out = String::new();
    write(&mut out, type_, raw)?;
    Some(out)
}

fn write(out: &mut String, type_: &Type, raw: &[u8]) -> Option<()> {
    match type_.kind() {
        Kind::Array(element) => return array(out, element, raw),
        Kind::Range(element) => return range(out, element, raw),
        Kind::Multirange(range_type) => return multirange(out, range_type, raw),
        Kind::Domain(base) => return write(out, base, raw),
        _ => {}
    }
    let mut raw = Raw(raw);
    match *type_ {
        _ if is_verbatim(type_) || matches!(type_.kind(), Kind::Enum(_)) => {
            out.push_str(std::str::from_utf8(raw.rest()).ok()?)
        }
        Type::BOOL => out.push_str(if raw.byte()? == 0 { "f" } else { "t" }),
        Type::BYTEA => {
            out.push_str("\\x");
            hexadecimal(out, raw.rest());
        }
        Type::CHAR => {
            let byte = raw.byte()?;
            match byte {
                0 => {}
                1..128 => out.push(char::from(byte)),
                _ => write!(out, "\\{byte:03o}").ok()?,
            }
        }
        Type::INT2 => write!(out, "{}", i16::from_be_bytes(raw.take()?)).ok()?,
        Type::INT4 => write!(out, "{}", raw.i32()?).ok()?,
        Type::INT8 => write!(out, "{}", raw.i64()?).ok()?,
        Type::OID | Type::XID | Type::CID => write!(out, "{}", u32::from_be_bytes(raw.take()?)).ok()?,
        Type::XID8 => write!(out, "{}", u64::from_be_bytes(raw.take()?)).ok()?,
        Type::FLOAT4 => {
            let number = f32::from_be_bytes(raw.take()?);
            if number.is_finite() { write!(out, "{number:?}").ok()? } else { float(out, number.into()) }
        }
        Type::FLOAT8 => float(out, raw.f64()?),
        Type::NUMERIC => out.push_str(&numeric::text(raw.rest())?),
        Type::DATE => day(out, raw.i32()?)?,
        Type::TIME => clock(out, raw.i64()?)?,
        Type::TIMETZ => {
            clock(out, raw.i64()?)?;
            zone(out, raw.i32()?)?;
        }
        Type::TIMESTAMP => moment(out, raw.i64()?, "")?,
        Type::TIMESTAMPTZ => moment(out, raw.i64()?, "+00:00")?,
        Type::INTERVAL => interval(out, raw.i64()?, raw.i32()?, raw.i32()?)?,
        Type::UUID => {
            let bytes: [u8; 16] = raw.take()?;
            for (index, byte) in bytes.into_iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    out.push('-');
                }
                hexadecimal(out, &[byte]);
            }
        }
        Type::JSONB | Type::JSONPATH => {
            if raw.byte()? != 1 {
                return None;
            }
            out.push_str(std::str::from_utf8(raw.rest()).ok()?);
        }
        Type::INET | Type::CIDR => {
            let [family, bits, is_cidr, len] = raw.take()?;
            let whole = match (family, len) {
                (2, 4) => {
                    write!(out, "{}", Ipv4Addr::from(raw.take::<4>()?)).ok()?;
                    32
                }
                (3, 16) => {
                    write!(out, "{}", Ipv6Addr::from(raw.take::<16>()?)).ok()?;
                    128
                }
                _ => return None,
            };
            if bits != whole || is_cidr != 0 {
                write!(out, "/{bits}").ok()?;
            }
        }
        Type::MACADDR => colons(out, &raw.take::<6>()?),
        Type::MACADDR8 => colons(out, &raw.take::<8>()?),
        Type::BIT | Type::VARBIT => {
            let len = usize::try_from(raw.i32()?).ok()?;
            let bytes = raw.rest();
            if bytes.len() != len.div_ceil(8) {
                return None;
            }
            for index in 0..len {
                let byte = bytes.get(index / 8)?;
                out.push(if byte & (0x80 >> (index % 8)) == 0 { '0' } else { '1' });
            }
        }
        Type::PG_LSN => {
            let lsn = u64::from_be_bytes(raw.take()?);
            write!(out, "{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff).ok()?;
        }
        Type::POINT => points(out, &mut raw, 1)?,
        Type::BOX => points(out, &mut raw, 2)?,
        Type::LSEG => {
            out.push('[');
            points(out, &mut raw, 2)?;
            out.push(']');
        }
        Type::LINE => {
            let numbers = [raw.f64()?, raw.f64()?, raw.f64()?];
            out.push('{');
            for (index, number) in numbers.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                float(out, number);
            }
            out.push('}');
        }
        Type::PATH => {
            let is_closed = raw.byte()? != 0;
            out.push(if is_closed { '(' } else { '[' });
            let count = raw.i32()?;
            points(out, &mut raw, count)?;
            out.push(if is_closed { ')' } else { ']' });
        }
        Type::POLYGON => {
            out.push('(');
            let count = raw.i32()?;
            points(out, &mut raw, count)?;
            out.push(')');
        }
        Type::CIRCLE => {
            out.push('<');
            points(out, &mut raw, 1)?;
            out.push(',');
            float(out, raw.f64()?);
            out.push('>');
        }
        _ => return None,
    }
    raw.0.is_empty().then_some(())
}

/// The part of a value that is still to be read.
struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_be_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A length of 4 bytes and so many bytes; −1 is NULL.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let Ok(len) = usize::try_from(self.i32()?) else { return Some(None) };
        let (value, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(Some(value))
    }
}

fn hexadecimal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

fn colons(out: &mut String, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(':');
        }
        hexadecimal(out, &[*byte]);
    }
}

fn float(out: &mut String, number: f64) {
    let written = match number {
        _ if number.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "Infinity"),
        f64::NEG_INFINITY => write!(out, "-Infinity"),
        // The shortest text that reads as the same number.
        _ => write!(out, "{number:?}"),
    };
    written.expect("a String takes everything");
}

fn points(out: &mut String, raw: &mut Raw<'_>, count: i32) -> Option<()> {
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        let (x, y) = (raw.f64()?, raw.f64()?);
        out.push('(');
        float(out, x);
        out.push(',');
        float(out, y);
        out.push(')');
    }
    Some(())
}

fn day(out: &mut String, days: i32) -> Option<()> {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        _ => {
            let (year, month, day) = date(days.into());
            let shown = if year > 0 { year } else { 1 - year };
            write!(out, "{shown:04}-{month:02}-{day:02}{}", if year > 0 { "" } else { " BC" }).ok()?;
        }
    }
    Some(())
}

fn moment(out: &mut String, microseconds: i64, zone: &str) -> Option<()> {
    match microseconds {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => {
            let (year, month, day) = date(microseconds.div_euclid(DAY_US));
            let shown = if year > 0 { year } else { 1 - year };
            write!(out, "{shown:04}-{month:02}-{day:02}T").ok()?;
            clock(out, microseconds.rem_euclid(DAY_US))?;
            out.push_str(zone);
            out.push_str(if year > 0 { "" } else { " BC" });
        }
    }
    Some(())
}

/// A time of a day; also 24:00:00.
fn clock(out: &mut String, microseconds: i64) -> Option<()> {
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60).ok()?;
    if fraction != 0 {
        write!(out, ".{fraction:06}").ok()?;
    }
    (microseconds >= 0).then_some(())
}

/// An offset in seconds, positive to the west, as PostgreSQL keeps it.
fn zone(out: &mut String, west: i32) -> Option<()> {
    out.push(if west > 0 { '-' } else { '+' });
    let seconds = west.unsigned_abs();
    write!(out, "{:02}:{:02}", seconds / 3_600, seconds / 60 % 60).ok()?;
    if !seconds.is_multiple_of(60) {
        write!(out, ":{:02}", seconds % 60).ok()?;
    }
    Some(())
}

fn interval(out: &mut String, microseconds: i64, days: i32, months: i32) -> Option<()> {
    match (microseconds, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => out.push_str("infinity"),
        (i64::MIN, i32::MIN, i32::MIN) => out.push_str("-infinity"),
        _ => {
            write!(out, "{months} mons {days} days ").ok()?;
            let whole = microseconds.unsigned_abs();
            let (seconds, fraction) = (whole / 1_000_000, whole % 1_000_000);
            let sign = if microseconds < 0 { "-" } else { "" };
            write!(
                out,
                "{sign}{:02}:{:02}:{:02}.{fraction:06}",
                seconds / 3_600,
                seconds / 60 % 60,
                seconds % 60
            )
            .ok()?;
        }
    }
    Some(())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn array(out: &mut String, element: &Type, whole: &[u8]) -> Option<()> {
    check_array(whole)?;
    let mut raw = Raw(whole);
    let dimensions = raw.i32()?;
    raw.take::<8>()?;
    if dimensions == 0 {
        out.push_str("{}");
        return Some(());
    }
    let mut lens = Vec::new();
    let mut bounds = String::new();
    let mut is_plain = true;
    for _ in 0..dimensions {
        let (len, lower) = (raw.i32()?, raw.i32()?);
        is_plain &= lower == 1;
        write!(bounds, "[{lower}:{}]", lower.checked_add(len)?.checked_sub(1)?).ok()?;
        lens.push(len);
    }
    if !is_plain {
        out.push_str(&bounds);
        out.push('=');
    }
    elements(out, element, &lens, &mut raw)?;
    raw.0.is_empty().then_some(())
}

fn elements(out: &mut String, element: &Type, lens: &[i32], raw: &mut Raw<'_>) -> Option<()> {
    let (len, inner) = lens.split_first()?;
    out.push('{');
    for index in 0..*len {
        if index > 0 {
            out.push(delimiter(element));
        }
        if !inner.is_empty() {
            elements(out, element, inner, raw)?;
        } else if let Some(value) = raw.value()? {
            quoted(out, &text(element, value)?);
        } else {
            out.push_str("NULL");
        }
    }
    out.push('}');
    Some(())
}

fn range(out: &mut String, element: &Type, raw: &[u8]) -> Option<()> {
    let mut raw = Raw(raw);
    let flags = raw.byte()?;
    let is = |flag: u8| flags & flag != 0;
    if is(0x01) {
        out.push_str("empty");
        return Some(());
    }
    out.push(if is(0x02) { '[' } else { '(' });
    if !is(0x08) {
        quoted(out, &text(element, raw.value()??)?);
    }
    out.push(',');
    if !is(0x10) {
        quoted(out, &text(element, raw.value()??)?);
    }
    out.push(if is(0x04) { ']' } else { ')' });
    raw.0.is_empty().then_some(())
}

fn multirange(out: &mut String, range_type: &Type, raw: &[u8]) -> Option<()> {
    let mut raw = Raw(raw);
    let count = raw.i32()?;
    out.push('{');
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        let value = raw.value()??;
        match range_type.kind() {
            Kind::Range(element) => range(out, element, value)?,
            // Of a multirange some know the type of its elements rather than that of its ranges.
            _ => range(out, range_type, value)?,
        }
    }
    out.push('}');
    raw.0.is_empty().then_some(())
}
