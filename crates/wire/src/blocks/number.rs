//! PostgreSQL's text of numbers into integers and doubles.

/// Reads a whole number that an i64 holds.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = signed(text);
    // 19 digits are below 2^64.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { value.try_into().ok() }
}

/// Reads the nearest double. Without the feature `floats` there is no answer for numbers with an exponent and for the
/// few with more than 19 digits.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let decimal = decimal(text);
            let short = decimal.as_ref().and_then(Decimal::short);
            // core's parser reads everything, and the long ones faster than a long division; its tables are 19 KB.
            short.or_else(|| match decimal {
                _ if cfg!(feature = "floats") => core::str::from_utf8(text).ok()?.parse().ok(),
                Some(decimal) => Some(decimal.long()),
                None => None,
            })
        }
    }
}

/// `digits / 10^places`, which is what PostgreSQL prints of most floats.
#[derive(Debug, PartialEq)]
struct Decimal {
    negative: bool,
    digits: u64,
    places: usize,
}

/// Reads at most 19 digits with at most one point among them. PostgreSQL prints the shortest text that reads back as the
/// same double, 17 digits at most, so that is all it prints without an exponent.
fn decimal(text: &[u8]) -> Option<Decimal> {
    let (negative, rest) = signed(text);
    let (mut digits, mut point) = (0u64, None);
    for (at, &byte) in rest.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            // It overflows with the twentieth digit at the earliest, which is refused below.
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let count = rest.len() - usize::from(point.is_some());
    let places = point.map_or(0, |at| rest.len() - at - 1);
    (1..=19).contains(&count).then_some(Decimal { negative, digits, places })
}

impl Decimal {
    /// The nearest double, where that takes one rounding: two doubles without an error have a quotient with one (Clinger,
    /// "How to Read Floating Point Numbers Accurately", 1990).
    fn short(&self) -> Option<f64> {
        const POWERS: [f64; 20] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18, 1e19,
        ];
        if self.digits >= 1 << 53 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "it is below 2^53")]
        let value = self.digits as f64 / POWERS.get(self.places)?;
        Some(self.signed(value))
    }

    /// The nearest double by long division of integers: 64 bits of the quotient, the last of them set if anything is
    /// left, round as the whole quotient does. The digits must not be 0.
    fn long(&self) -> f64 {
        let power = (0..self.places).fold(1u64, |power, _| power.wrapping_mul(10));
        let divisor = power << power.leading_zeros();
        let dividend = self.digits << self.digits.leading_zeros();
        // Both have their highest bit set; half the dividend is below the divisor, so that 64 bits hold the quotient.
        let (high, low, halved) =
            if dividend >= divisor { (dividend >> 1, dividend << 63, 1) } else { (dividend, 0, 0) };
        let (quotient, remainder) = divide(high, low, divisor);
        let rounded = quotient | u64::from(remainder != 0);
        // `rounded` times two to this power is the value.
        let exponent =
            i64::from(power.leading_zeros()) - i64::from(self.digits.leading_zeros()) + halved - 64;
        let scale = f64::from_bits((1023 + exponent).cast_unsigned() << 52);
        #[allow(clippy::cast_precision_loss, reason = "this is where it is rounded")]
        let value = rounded as f64 * scale;
        self.signed(value)
    }

    fn signed(&self, value: f64) -> f64 {
        if self.negative { -value } else { value }
    }
}

/// Divides `high` · 2⁶⁴ + `low` by a divisor that is above `high` and has its highest bit set, by digits of 32 bits (Knuth,
/// "The Art of Computer Programming", volume 2, algorithm 4.3.1D). Ten times as fast in wasm as a division of 128 bits.
fn divide(high: u64, low: u64, divisor: u64) -> (u64, u64) {
    const HALF: u64 = 1 << 32;
    let (first, second) = (divisor >> 32, divisor & (HALF - 1));
    let digit = |rest: u64, next: u64| {
        let mut quotient = rest / first;
        let mut remainder = rest % first;
        while quotient >= HALF || quotient * second > (remainder << 32 | next) {
            quotient -= 1;
            remainder += first;
            if remainder >= HALF {
                break;
            }
        }
        let left = (rest << 32 | next).wrapping_sub(quotient.wrapping_mul(divisor));
        (quotient, left)
    };
    let (upper, rest) = digit(high, low >> 32);
    let (lower, rest) = digit(rest, low & (HALF - 1));
    (upper << 32 | lower, rest)
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::prelude::rust_2024::*;

    use super::{Decimal, decimal, float, integer};

    /// Both ways to read a decimal give what core's parser gives.
    fn check(text: &str) {
        let expected: f64 = text.parse().unwrap();
        let decimal = decimal(text.as_bytes()).unwrap();
        let short = decimal.short();
        assert_eq!(short.unwrap_or(expected).to_bits(), expected.to_bits(), "{text}");
        assert_eq!(short.is_some(), decimal.digits < 1 << 53, "{text}");
        if decimal.digits != 0 {
            assert_eq!(decimal.long().to_bits(), expected.to_bits(), "{text}");
        }
    }

    #[test]
    fn integers_reach_both_ends_and_refuse_the_rest() {
        for value in [0, 7, -7, 1_000_000_007, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        for text in
            ["", "-", "+1", "1a", " 1", "9223372036854775808", "-9223372036854775809", "99999999999999999999"]
        {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_the_nearest_doubles() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 1
        };
        for _ in 0..200_000 {
            // From 1 to 19 digits, the point anywhere.
            let len = 1 + usize::try_from(next() % 19).unwrap();
            let mut text = format!("{:019}", next() % 10_000_000_000_000_000_000);
            text.truncate(len);
            let point = usize::try_from(next()).unwrap() % (len + 1);
            if point < len {
                text.insert(point, '.');
            }
            if next() % 2 == 0 {
                text.insert(0, '-');
            }
            check(&text);
        }
    }

    #[test]
    fn halfway_cases_round_to_even() {
        for text in [
            "9007199254740993",
            "9007199254740995",
            "9007199254740992.5",
            "9007199254740993.0",
            "900719925474099.35",
            "4503599627370496.5",
            "4503599627370497.5",
            "0.9007199254740993",
            "18446744073709551.61",
            "9999999999999999999",
            "0.000000000000000001",
            ".9999999999999999999",
            "-0",
            "0.0",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_and_what_is_none_in_decimal_is_named() {
        assert_eq!(decimal(b"00000000000000000001"), None::<Decimal>);
        for text in ["", "-", ".", "-.", "1.2.3", "1,5", "0x10", " 1", "1 ", "infinit"] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
        assert!(float(b"NaN").unwrap().is_nan());
        assert_eq!(float(b"Infinity"), Some(f64::INFINITY));
        assert_eq!(float(b"-Infinity"), Some(f64::NEG_INFINITY));
    }
}
