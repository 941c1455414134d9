//! Exact decimals: PostgreSQL's `numeric`, as its digits.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A `numeric`, exact to the last digit, as the text that PostgreSQL writes: `-12.50`, `NaN`, `Infinity`.
///
/// It is for keeping, showing and passing on; for arithmetic parse it into a decimal type of your choice. Equality is that
/// of the text: `1.5` is not `1.50`.
///
/// # Examples
/// ```
/// let price: onetrip::Numeric = "12.50".parse()?;
/// assert_eq!(price.as_str(), "12.50");
/// assert!("12,50".parse::<onetrip::Numeric>().is_err());
/// # Ok::<(), onetrip::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Numeric(String);

impl Numeric {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Numeric {
    type Err = crate::Error;

    /// Takes digits with an optional sign, point and exponent, or `NaN`, `Infinity`, `-Infinity`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage) for all else.
    fn from_str(text: &str) -> Result<Numeric, crate::Error> {
        let is_number = || {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
                Some((digits, exponent)) => {
                    (digits, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
                }
                None => (unsigned, None),
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            !(whole.is_empty() && fraction.is_empty())
                && are_digits(whole)
                && are_digits(fraction)
                && exponent.is_none_or(|exponent| !exponent.is_empty() && are_digits(exponent))
        };
        if matches!(text, "NaN" | "Infinity" | "-Infinity") || is_number() {
            return Ok(Numeric(text.to_owned()));
        }
        Err(crate::Error::usage(
            "the text is no decimal number: write it as -12.50, NaN, Infinity or -Infinity",
        ))
    }
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        binary(&self.0, out).ok_or("the number has more digits than a numeric can")?;
        Ok(IsNull::No)
    }

    fn accepts(type_: &Type) -> bool {
        *type_ == Type::NUMERIC
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Numeric, Box<dyn Error + Sync + Send>> {
        Ok(Numeric(text(raw).ok_or("the numeric is corrupt")?))
    }

    fn accepts(type_: &Type) -> bool {
        *type_ == Type::NUMERIC
    }
}

/// PostgreSQL's binary form (`numeric_send`) as `numeric_out` writes it: a count of base-10,000 digits, the weight of the
/// first, the sign, the number of decimals, and the digits, 2 bytes each.
pub(crate) fn text(raw: &[u8]) -> Option<String> {
    let (header, digits) = raw.split_first_chunk::<8>()?;
    let &[n0, n1, w0, w1, s0, s1, d0, d1] = header;
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    let weight = i32::from(i16::from_be_bytes([w0, w1]));
    let decimals = usize::from(u16::from_be_bytes([d0, d1]));
    if digits.len() != count * 2 {
        return None;
    }
    let negative = match u16::from_be_bytes([s0, s1]) {
        0x0000 => false,
        0x4000 => true,
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    // The digit for 10,000 to the power of `power`; beyond those sent all are 0.
    let digit = |power: i32| -> Option<u16> {
        let Some(at) = usize::try_from(weight - power).ok().filter(|&at| at < count) else { return Some(0) };
        let digit = u16::from_be_bytes(*digits.get(at * 2..)?.first_chunk()?);
        (digit < 10_000).then_some(digit)
    };

    let mut text = String::new();
    if negative {
        text.push('-');
    }
    text.push_str(&digit(weight.max(0))?.to_string());
    for power in (0..weight.max(0)).rev() {
        text.push_str(&format!("{:04}", digit(power)?));
    }
    if decimals > 0 {
        text.push('.');
        let start = text.len();
        let mut power = -1;
        while text.len() < start + decimals {
            text.push_str(&format!("{:04}", digit(power)?));
            power -= 1;
        }
        text.truncate(start + decimals);
    }
    Some(text)
}

/// Appends PostgreSQL's binary form of a text that [`Numeric::from_str`] took; `None` where it has no room.
pub(crate) fn binary(text: &str, out: &mut BytesMut) -> Option<()> {
    let special = match text {
        "NaN" => Some(0xc000_u16),
        "Infinity" => Some(0xd000),
        "-Infinity" => Some(0xf000),
        _ => None,
    };
    if let Some(sign) = special {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        return Some(());
    }
    let sign: u16 = if text.starts_with('-') { 0x4000 } else { 0 };
    let unsigned = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The value is 0.DIGITS times 10 to the power of `point`.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let decimals = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?.max(0);
    let decimals = u16::try_from(decimals).ok().filter(|&decimals| decimals <= 16_383)?;

    // Zeros in front so that the point falls between two groups of four.
    let padding = usize::try_from(point.checked_neg()?.rem_euclid(4)).ok()?;
    let zeros = std::iter::repeat_n(b'0', padding);
    let digits: Vec<u8> = zeros.chain(whole.bytes()).chain(fraction.bytes()).collect();
    let mut groups: Vec<u16> = digits
        .chunks(4)
        .map(|chunk| {
            (0..4).fold(0, |sum, at| sum * 10 + u16::from(chunk.get(at).map_or(0, |digit| digit - b'0')))
        })
        .collect();
    let mut weight = (point + i32::try_from(padding).ok()?) / 4 - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|&&group| group == 0).count();
    groups.drain(..leading);
    weight -= i32::try_from(leading).ok()?;
    let (weight, sign) = if groups.is_empty() { (0, 0) } else { (i16::try_from(weight).ok()?, sign) };

    out.extend_from_slice(&u16::try_from(groups.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&decimals.to_be_bytes());
    groups.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
    Some(())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
mod tests {
    use super::*;

    /// Header and digits as `numeric_send` writes them.
    fn sent(weight: i16, sign: u16, decimals: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap();
        let mut raw = Vec::new();
        raw.extend_from_slice(&count.to_be_bytes());
        raw.extend_from_slice(&weight.to_be_bytes());
        raw.extend_from_slice(&sign.to_be_bytes());
        raw.extend_from_slice(&decimals.to_be_bytes());
        raw.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
        raw
    }

    #[test]
    fn binary_numerics_read_as_postgresql_writes_them() {
        for (raw, expected) in [
            (sent(0, 0, 0, &[]), "0"),
            (sent(0, 0, 3, &[]), "0.000"),
            (sent(0, 0, 0, &[7]), "7"),
            (sent(0, 0x4000, 2, &[12, 5000]), "-12.50"),
            (sent(1, 0, 0, &[1]), "10000"),
            (sent(2, 0, 0, &[1]), "100000000"),
            (sent(1, 0, 4, &[1, 2, 3]), "10002.0003"),
            (sent(-1, 0, 4, &[1]), "0.0001"),
            (sent(-2, 0x4000, 8, &[1]), "-0.00000001"),
            (sent(-5, 0, 20, &[1]), "0.00000000000000000001"),
            (sent(0, 0, 1, &[1, 5000]), "1.5"),
            (sent(0, 0xc000, 0, &[]), "NaN"),
            (sent(0, 0xd000, 32, &[]), "Infinity"),
            (sent(0, 0xf000, 32, &[]), "-Infinity"),
        ] {
            assert_eq!(text(&raw).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_text_becomes_what_postgresql_would_send_back() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.000", "0.000"),
            ("-12.50", "-12.50"),
            ("+7", "7"),
            ("0001.5", "1.5"),
            ("10000", "10000"),
            ("9999.9999", "9999.9999"),
            (
                "12345678901234567890.123456789012345678901234567890",
                "12345678901234567890.123456789012345678901234567890",
            ),
            ("-0.00000001", "-0.00000001"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e10", "10000000000"),
            ("1.5E-3", "0.0015"),
            ("1.25e1", "12.5"),
            ("1.25e2", "125"),
            ("1.25e3", "1250"),
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
            ("-Infinity", "-Infinity"),
        ] {
            let numeric: Numeric = text.parse().unwrap();
            let mut raw = BytesMut::new();
            numeric.to_sql(&Type::NUMERIC, &mut raw).unwrap();
            assert_eq!(super::text(&raw).as_deref(), Some(expected), "{text}");
        }
        for large in ["1e200000", "1e-20000", "1e99999999999"] {
            let numeric: Numeric = large.parse().unwrap();
            assert!(numeric.to_sql(&Type::NUMERIC, &mut BytesMut::new()).is_err(), "{large}");
        }
    }

    #[test]
    fn a_corrupt_numeric_is_an_error() {
        let whole = sent(1, 0, 4, &[1, 2, 3]);
        for len in 0..whole.len() {
            assert_eq!(text(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(text(&sent(0, 0x1234, 0, &[1])), None);
        assert_eq!(text(&sent(0, 0, 0, &[10_000])), None);
    }

    #[test]
    fn only_numbers_are_taken() {
        for good in ["0", "-1", "+1.5", ".5", "5.", "1e10", "1.5E-3", "NaN", "Infinity", "-Infinity"] {
            assert!(good.parse::<Numeric>().is_ok(), "{good}");
        }
        for bad in ["", "-", ".", "1,5", "1e", "1e+", "0x1", "nan", "1 ", "١"] {
            assert!(bad.parse::<Numeric>().is_err(), "{bad}");
        }
    }
}
