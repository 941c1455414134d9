//! Text cut at ASCII characters and read as numbers, byte by byte: core's searches and parsers are several kilobytes of wasm.
//! For onetrip's own crates.

/// What is before and behind the first `mark`, an ASCII character.
pub fn split(text: &str, mark: u8) -> Option<(&str, &str)> {
    around(text, text.bytes().position(|byte| byte == mark)?)
}

/// What is before and behind the last `mark`, an ASCII character.
pub fn split_last(text: &str, mark: u8) -> Option<(&str, &str)> {
    around(text, text.bytes().rposition(|byte| byte == mark)?)
}

fn around(text: &str, place: usize) -> Option<(&str, &str)> {
    let (before, behind) = text.split_at_checked(place)?;
    Some((before, behind.get(1..)?))
}

/// A whole number of digits alone.
pub fn number(text: &str) -> Option<u64> {
    let mut number = None;
    for byte in text.bytes() {
        let digit = Some(byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)?;
        let tens = number.unwrap_or(0u64);
        if tens > u64::MAX / 10 {
            return None;
        }
        number = Some((tens * 10).checked_add(digit.into())?);
    }
    number
}

/// The number of so many hexadecimal digits.
pub fn hex(bytes: &mut core::slice::Iter<'_, u8>, digits: usize) -> Option<u32> {
    let mut number = 0;
    for _ in 0..digits {
        number = number * 16 + char::from(*bytes.next()?).to_digit(16)?;
    }
    Some(number)
}

/// The statement without the white space before it.
pub fn trim_start(sql: &str) -> &str {
    // PostgreSQL's white space is ASCII's; what other control characters stand there it refuses.
    let start = sql.bytes().position(|byte| byte > b' ').unwrap_or(sql.len());
    sql.get(start..).unwrap_or_default()
}

/// The letters that a text begins with.
pub fn first_word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_the_first_or_the_last_mark() {
        for (text, first, last) in [
            ("a:b:c", Some(("a", "b:c")), Some(("a:b", "c"))),
            (":", Some(("", "")), Some(("", ""))),
            ("größe:ü", Some(("größe", "ü")), Some(("größe", "ü"))),
            ("none", None, None),
            ("", None, None),
        ] {
            assert_eq!((split(text, b':'), split_last(text, b':')), (first, last), "{text}");
        }
    }

    #[test]
    fn a_number_is_digits_alone_and_fits_64_bits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0012", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("1:", None),
            ("1/", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn a_statement_begins_behind_its_white_space() {
        for (sql, word) in [
            ("select 1", "select"),
            (" \t\r\n\u{b}\u{c}call p()", "call"),
            ("", ""),
            ("  ", ""),
            ("ß", ""),
            ("a_b", "a"),
        ] {
            assert_eq!(first_word(trim_start(sql)), word, "{sql}");
        }
    }
}
