//! Reading single values: durations, sizes, numbers, addresses, lists.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

impl Value {
    pub(crate) fn text(&self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text.clone()),
            _ => Err("a text in quotes is expected".to_owned()),
        }
    }

    /// A list of texts; from the environment separated by commas.
    pub(crate) fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Value::List(list) => Ok(list.clone()),
            Value::Text(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()),
            _ => Err("a list of texts is expected, for example [\"https://app.example\"]".to_owned()),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool, String> {
        match self {
            Value::Boolean(value) => Ok(*value),
            Value::Text(text) if text == "true" => Ok(true),
            Value::Text(text) if text == "false" => Ok(false),
            _ => Err("true or false is expected".to_owned()),
        }
    }

    pub(crate) fn number(&self, range: RangeInclusive<u32>) -> Result<u32, String> {
        let number = match self {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number =
            number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a whole number from {} to {} is expected", range.start(), range.end()))
    }

    pub(crate) fn address(&self) -> Result<SocketAddr, String> {
        let expected = || {
            "an IP address and a port are expected, for example \"127.0.0.1:5480\", \"0.0.0.0:5480\" for all \
             interfaces, or \"[::1]:5480\""
                .to_owned()
        };
        let text = self.text().map_err(|_| expected())?;
        let text = text.strip_prefix("localhost:").map_or(text.clone(), |port| format!("127.0.0.1:{port}"));
        text.parse().map_err(|_| expected())
    }

    /// A duration with its unit: `"500ms"`, `"5s"`, `"2m"`, `"1h"`.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, String> {
        let parsed = match self {
            Value::Text(text) => split_unit(text).and_then(|(number, unit)| {
                let unit_ms = match unit {
                    "ms" => 1,
                    "s" => 1000,
                    "m" | "min" => 60_000,
                    "h" => 3_600_000,
                    _ => return None,
                };
                number.checked_mul(unit_ms).map(Duration::from_millis)
            }),
            _ => None,
        };
        parsed.filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (low, high) = (spelled(*range.start()), spelled(*range.end()));
            format!("a duration from {low} to {high} with its unit is expected, for example \"500ms\", \"5s\", \"2m\"")
        })
    }

    /// A size in bytes: a number, or a number with its unit, `"16 MiB"`.
    pub(crate) fn bytes(&self, range: RangeInclusive<u64>) -> Result<usize, String> {
        let parsed = match self {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => split_unit(text).and_then(|(number, unit)| {
                let factor: u64 = match unit {
                    "" | "B" => 1,
                    "kB" => 1000,
                    "KiB" => 1 << 10,
                    "MB" => 1_000_000,
                    "MiB" => 1 << 20,
                    "GB" => 1_000_000_000,
                    "GiB" => 1 << 30,
                    _ => return None,
                };
                number.checked_mul(factor)
            }),
            _ => None,
        };
        let parsed =
            parsed.filter(|bytes| range.contains(bytes)).and_then(|bytes| usize::try_from(bytes).ok());
        parsed.ok_or_else(|| {
            format!(
                "a size from {} to {} bytes is expected, as a number or with its unit (KiB, MiB, GiB), for example \
                 \"16 MiB\"",
                range.start(),
                range.end()
            )
        })
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// A duration in the largest unit that fits.
fn spelled(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        _ if ms > 0 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms > 0 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn durations_need_a_unit_and_stay_in_their_range() {
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        for (written, ms) in [("500ms", 500), ("5s", 5000), ("2 m", 120_000), ("1h", 3_600_000)] {
            let expected = Duration::from_millis(ms);
            assert_eq!(text(written).duration(range.clone()), Ok(expected), "{written}");
        }
        for value in [text("5"), text("0s"), text("2h"), text("soon"), text("-1s"), Value::Integer(5)] {
            let error = value.duration(range.clone()).expect_err("a wrong duration");
            assert!(error.contains("from 1ms to 1h"), "{error}");
        }
    }

    #[test]
    fn sizes_are_numbers_or_have_a_unit() {
        for (value, bytes) in [
            (Value::Integer(1024), 1024),
            (text("1024"), 1024),
            (text("16 MiB"), 16 << 20),
            (text("64KiB"), 64 << 10),
            (text("1MB"), 1_000_000),
        ] {
            assert_eq!(value.bytes(1..=1 << 30), Ok(bytes), "{value:?}");
        }
        for value in
            [text("16 MIB"), text(""), text("99999999999999999999"), Value::Integer(-1), text("2 GiB")]
        {
            assert!(value.bytes(1..=1 << 30).is_err(), "{value:?}");
        }
    }

    #[test]
    fn addresses_are_an_ip_address_and_a_port() {
        for good in ["127.0.0.1:0", "[::1]:5480", "localhost:5480", "0.0.0.0:80"] {
            assert!(text(good).address().is_ok(), "{good}");
        }
        for bad in ["5480", "127.0.0.1", "127.0.0.1:70000", "example.com:80", ""] {
            assert!(text(bad).address().unwrap_err().contains("127.0.0.1:5480"), "{bad}");
        }
    }
}
