//! PostgreSQL's ISO text of timestamps into milliseconds since 1970. PostgreSQL manual, "Date/Time Output".

/// The largest magnitude that a JavaScript Date holds, in milliseconds (ECMA-262, "Time Values and Time Range").
const DATE_LIMIT_MS: i64 = 8_640_000_000_000_000;

/// Reads `2024-02-29 12:34:56.789012+05:30`, with a year of four digits or more, with or without fraction, offset and
/// ` BC`. `None`: another style, or outside what a JavaScript Date holds.
pub(super) fn milliseconds(text: &[u8]) -> Option<f64> {
    match text {
        b"infinity" => return Some(f64::INFINITY),
        b"-infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let (text, before_christ) = match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut rest = text;
    let year = digits(&mut rest, 4, 6)?;
    let year = if before_christ { 1 - year } else { year };
    let &[b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', i1, i2, b':', s1, s2, ref tail @ ..] = rest else {
        return None;
    };
    rest = tail;
    let month = two(m1, m2)?;
    let day = two(d1, d2)?;
    let (hour, minute, second) = (two(h1, h2)?, two(i1, i2)?, two(s1, s2)?);
    let fraction_ms = fraction(&mut rest)?;
    let offset = offset_seconds(&mut rest)?;
    if !rest.is_empty()
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 24
        || minute > 59
        || second > 60
    {
        return None;
    }
    let seconds_of_day = (hour * 60 + minute) * 60 + second - offset;
    let milliseconds = (i64::from(days(year, month, day)) * 86_400 + i64::from(seconds_of_day)) * 1000
        + i64::from(fraction_ms);
    #[allow(clippy::cast_precision_loss, reason = "8.64e15 is below 2^53")]
    (-DATE_LIMIT_MS..=DATE_LIMIT_MS).contains(&milliseconds).then_some(milliseconds as f64)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years count astronomically (1 BC is 0).
// In 32 bits, because wasm divides 64 by a constant many times slower.
fn days(year: i32, month: i32, day: i32) -> i32 {
    // The year starts in March, so that the day that may be missing is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A number of two digits.
fn two(tens: u8, ones: u8) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i32::from(tens) * 10 + i32::from(ones))
}

/// A number of `least` to `most` digits.
fn digits(rest: &mut &[u8], least: usize, most: usize) -> Option<i32> {
    let len = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if len < least {
        return None;
    }
    let (number, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(number.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0')))
}

/// A separator and two digits.
fn after(rest: &mut &[u8], separator: u8) -> Option<i32> {
    let (&[found, tens, ones], tail) = rest.split_first_chunk()?;
    *rest = tail;
    (found == separator).then(|| two(tens, ones))?
}

/// `.` and up to six digits, as whole milliseconds: the rest is cut, which rounds towards minus infinity because the
/// fraction always counts upwards.
fn fraction(rest: &mut &[u8]) -> Option<i32> {
    let Some(tail) = rest.strip_prefix(b".") else { return Some(0) };
    let len = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    if number.is_empty() {
        return None;
    }
    Some(
        (0..3).fold(0, |value, place| {
            value * 10 + number.get(place).map_or(0, |digit| i32::from(digit - b'0'))
        }),
    )
}

/// `+05`, `-03:30` or `+00:19:32`; nothing is 0.
fn offset_seconds(rest: &mut &[u8]) -> Option<i32> {
    let sign = match rest.split_first() {
        None => return Some(0),
        Some((b'+', tail)) => {
            *rest = tail;
            1
        }
        Some((b'-', tail)) => {
            *rest = tail;
            -1
        }
        Some(_) => return None,
    };
    let mut seconds = digits(rest, 2, 2)? * 3600;
    for unit in [60, 1] {
        if rest.starts_with(b":") {
            seconds += after(rest, b':')? * unit;
        }
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn reads_what_postgresql_writes() {
        for (text, expected) in [
            ("1970-01-01 00:00:00", 0.0),
            ("1970-01-01 00:00:00+00", 0.0),
            ("1969-12-31 23:59:59.999999", -1.0),
            ("1969-12-31 23:59:59.0005", -1000.0),
            ("2024-02-29 12:34:56.789012+05:30", 1_709_190_296_789.0),
            ("2000-01-01 00:00:00-08", 946_713_600_000.0),
            ("1883-11-18 12:03:57+00:19:32", -2_717_669_735_000.0),
            ("0001-01-01 00:00:00", -62_135_596_800_000.0),
            ("0001-12-31 00:00:00 BC", -62_135_683_200_000.0),
            ("4714-11-24 00:00:00+00 BC", -210_866_803_200_000.0),
            ("10000-01-01 00:00:00", 253_402_300_800_000.0),
            ("275760-09-13 00:00:00", 8.64e15),
            ("infinity", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(milliseconds(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_other_styles_and_what_no_date_holds() {
        for text in [
            "",
            "Sun Feb 29 12:34:56 2024",
            "02/29/2024 12:34:56 UTC",
            "2024-02-29",
            "2024-02-29 12:34",
            "2024-02-29 12:34:56.",
            "2024-02-29 12:34:56+5",
            "2024-02-29 12:34:56 AD",
            "2024-13-01 00:00:00",
            "275760-09-13 00:00:00.001",
            "294276-12-31 23:59:59.999999",
        ] {
            assert_eq!(milliseconds(text.as_bytes()), None, "{text}");
        }
    }
}
