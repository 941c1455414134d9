//! A text value in the encoding that was asked for: UTF-8 as it came, or UTF-16.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::representation::Strings;

/// Appends the text of a value and says how many units of UTF-16 it has. A database of encoding SQL_ASCII may hold bytes
/// that are not UTF-8; they become U+FFFD.
pub(super) fn append(out: &mut Vec<u8>, value: &[u8], strings: Strings) -> usize {
    match strings {
        Strings::Utf8 => {
            let text = decoded(value);
            out.extend_from_slice(text.as_bytes());
            // Each character has one first byte, and two units if it has four bytes.
            let units = |byte: &u8| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0);
            text.as_bytes().iter().map(units).sum()
        }
        _ => {
            let before = out.len();
            if !utf16(out, value) {
                let well_formed = utf16(out, String::from_utf8_lossy(value).as_bytes());
                debug_assert!(well_formed, "a String is UTF-8");
            }
            (out.len() - before) / 2
        }
    }
}

fn decoded(value: &[u8]) -> Cow<'_, str> {
    #[cfg(not(target_arch = "wasm32"))]
    if let Ok(text) = simdutf8::basic::from_utf8(value) {
        return Cow::Borrowed(text);
    }
    String::from_utf8_lossy(value)
}

/// Appends UTF-8 as UTF-16 in little-endian order and says whether it was UTF-8; if not, nothing is appended.
///
/// Checked and translated in one go.
fn utf16(out: &mut Vec<u8>, value: &[u8]) -> bool {
    let start = out.len();
    // A character takes at most as many units as bytes. Filling what is there is faster than pushing.
    out.resize(start + 2 * value.len(), 0);
    let mut places = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>().0.iter_mut();
    let mut push = |unit: u32| {
        if let Some(place) = places.next() {
            let [low, high, ..] = unit.to_le_bytes();
            *place = [low, high];
        }
    };
    let mut rest = value;
    loop {
        let (character, after) = match rest {
            [] => break,
            [a @ 0..0x80, after @ ..] => (u32::from(*a), after),
            [a @ 0xc2..0xe0, b @ 0x80..0xc0, after @ ..] => (bits(*a, 0x1f) << 6 | bits(*b, 0x3f), after),
            [a @ 0xe0..0xf0, b @ 0x80..0xc0, c @ 0x80..0xc0, after @ ..] => {
                let unit = bits(*a, 0x0f) << 12 | bits(*b, 0x3f) << 6 | bits(*c, 0x3f);
                // Longer than it need be, or one half of a pair: of a kind that is refused below.
                (if unit < 0x800 || unit & 0xf800 == 0xd800 { u32::MAX } else { unit }, after)
            }
            [a @ 0xf0..=0xff, b @ 0x80..0xc0, c @ 0x80..0xc0, d @ 0x80..0xc0, after @ ..] => {
                let character =
                    bits(*a, 0x0f) << 18 | bits(*b, 0x3f) << 12 | bits(*c, 0x3f) << 6 | bits(*d, 0x3f);
                (if character < 0x1_0000 { u32::MAX } else { character }, after)
            }
            _ => (u32::MAX, rest),
        };
        rest = after;
        let mut unit = character;
        if character > 0xffff {
            if character > 0x10_ffff {
                out.truncate(start);
                return false;
            }
            push(0xd7c0 + (character >> 10));
            unit = 0xdc00 | character & 0x3ff;
        }
        push(unit);
    }
    let left = places.len();
    out.truncate(out.len() - 2 * left);
    true
}

fn bits(byte: u8, mask: u8) -> u32 {
    u32::from(byte & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let expected: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut out = b"before".to_vec();
        assert_eq!(append(&mut out, value, Strings::Utf16), expected.len() / 2, "{value:x?}");
        assert_eq!(out, [b"before", expected.as_slice()].concat(), "{value:x?}");
        let mut out = Vec::new();
        assert_eq!(append(&mut out, value, Strings::Utf8), expected.len() / 2, "{value:x?}");
        assert_eq!(out, text.as_bytes(), "{value:x?}");
    }

    #[test]
    fn every_character_is_translated_alone_and_between_others() {
        let mut text = String::new();
        for character in '\0'..=char::MAX {
            text.extend([character, 'a', character, 'é', '€', '😀', character]);
        }
        let expected: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut out = Vec::new();
        append(&mut out, text.as_bytes(), Strings::Utf16);
        assert!(
            out == expected,
            "they differ at {:?}",
            out.iter().zip(&expected).position(|(one, other)| one != other)
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_become_replacement_characters() {
        // Every pair of bytes behind every kind of lead, and cut off at each place.
        let leads: [&[u8]; 14] = [
            b"",
            b"a",
            b"\xc3",
            b"\xe0",
            b"\xe0\xa0",
            b"\xe2",
            b"\xe2\x82",
            b"\xed",
            b"\xef",
            b"\xf0",
            b"\xf0\x9f",
            b"\xf0\x9f\x98",
            b"\xf4",
            b"\xf8",
        ];
        for lead in leads {
            for a in (0..=255).step_by(5).chain([0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2])
            {
                for b in [0, 0x41, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe2, 0xf0, 0xf4, 0xff] {
                    check(&[lead, &[a, b]].concat());
                    check(&[lead, &[a, b], b"z\xc3\xa9"].concat());
                }
            }
        }
    }
}
