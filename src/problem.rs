//! Reading the endpoint's refusals: problem details (PROTOCOL.md section 4), without a JSON library.
//!
//! A problem is one flat object. What is not one (an error page of something in between) gives no members, and the
//! status has to speak for itself.

use onetrip_wire::ascii;

use crate::policy;
use crate::transport::Response;
use crate::{Error, Kind, Outcome};

/// The longest part of a text of the endpoint that an error shows, in bytes.
const SHOWN_BYTES: usize = 500;

/// The error of an answer whose status is not 200.
pub(crate) fn refusal(response: &Response, body: &[u8]) -> Error {
    let status = response.status;
    let content_type = response.header("content-type").unwrap_or_default();
    let media_type = media_type(content_type);
    let is_problem = media_type.eq_ignore_ascii_case("application/problem+json");
    let problem = Some(body).filter(|_| is_problem).and_then(Problem::read).unwrap_or_default();
    let Some(code) = problem.code else {
        return foreign(status, content_type);
    };

    let what = problem.detail.or(problem.title).unwrap_or_else(|| format!("HTTP status {status}"));
    let (what, advice) = (shown(&what), advice(&code));
    let message = format!("the endpoint refused the request ({code}): {what}{advice}");
    let retry_after_ms = response
        .header("retry-after")
        .and_then(|seconds| ascii::number(seconds.trim_ascii()))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .map(|seconds| seconds.saturating_mul(1_000));
    let retryable = problem.retryable;
    let (kind, outcome, retry) = match code.as_str() {
        "connection_lost" => (Kind::Lost, Outcome::Unknown, policy::Outcome::Lost),
        "internal" => (Kind::Refused, Outcome::Unknown, policy::Outcome::Lost),
        // It was cancelled while PostgreSQL worked on it, and would be again.
        "deadline_exceeded" => (Kind::Refused, Outcome::Unknown, policy::Outcome::Failed),
        _ => (Kind::Refused, Outcome::NotExecuted, policy::Outcome::Refused { retryable, retry_after_ms }),
    };
    Error::new(kind, message)
        .outcome_is(outcome)
        .retry_is(retry)
        .refusal_is(status, Some(code), problem.sqlstate)
        .request_id_is(problem.request_id.as_deref())
}

/// An answer that no onetrip endpoint gives.
pub(crate) fn foreign(status: u16, content_type: &str) -> Error {
    let media_type: String = match media_type(content_type) {
        "" => "no content type".to_owned(),
        media_type => {
            let is_shown = |byte: &u8| byte.is_ascii() && !byte.is_ascii_control();
            media_type.bytes().filter(is_shown).take(60).map(char::from).collect()
        }
    };
    let message = match status {
        0 | 300..=399 => format!(
            "the endpoint answered with a redirect (status {status}), which is not followed because it would carry \
             credentials elsewhere; give the URL that it leads to"
        ),
        _ => format!(
            "the answer (status {status}, {media_type}) is not onetrip's; is the URL's host an onetrip endpoint?"
        ),
    };
    let (kind, outcome) = match status {
        // What stands in between gives these when it did not get through, or when the endpoint did not answer in time.
        500.. => (Kind::Lost, Outcome::Unknown),
        // It may have changed an answer on its way.
        200..=299 => (Kind::Protocol, Outcome::Unknown),
        _ => (Kind::Protocol, Outcome::NotExecuted),
    };
    Error::new(kind, message).outcome_is(outcome).refusal_is(status, None, None)
}

pub(crate) fn media_type(content_type: &str) -> &str {
    ascii::split(content_type, b';').map_or(content_type, |(media_type, _)| media_type).trim_ascii()
}

/// As much of a text as an error shows.
fn shown(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or_default()
}

/// What to do about a refusal, where its detail cannot know it.
fn advice(code: &str) -> &'static str {
    match code {
        "invalid_credentials" => "; check the role and the password in the URL",
        "unknown_database" => "; check the database in the URL: it is a name in the endpoint's configuration",
        "not_found" => "; the URL's path is only the name of the database",
        "request_too_large" => "; send less at once, or raise the endpoint's limit",
        _ => "",
    }
}

/// What a problem says, as far as it is of use here.
#[derive(Debug, Default, PartialEq)]
struct Problem {
    code: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    sqlstate: Option<String>,
    request_id: Option<String>,
    retryable: bool,
}

impl Problem {
    /// Reads a flat JSON object; `None` where the bytes are none.
    fn read(json: &[u8]) -> Option<Problem> {
        let mut json = Json { rest: json };
        let mut problem = Problem::default();
        json.expect(b'{')?;
        let mut end = json.expect(b'}');
        while end.is_none() {
            problem.member(&mut json)?;
            if json.expect(b',').is_none() {
                end = Some(json.expect(b'}')?);
            }
        }
        json.peek().is_none().then_some(problem)
    }

    fn member(&mut self, json: &mut Json<'_>) -> Option<()> {
        let name = json.string()?;
        json.expect(b':')?;
        match json.peek()? {
            b'"' => {
                let text = json.string()?;
                let place = match name.as_str() {
                    "code" => &mut self.code,
                    "title" => &mut self.title,
                    "detail" => &mut self.detail,
                    "sqlstate" => &mut self.sqlstate,
                    "request_id" => &mut self.request_id,
                    _ => return Some(()),
                };
                *place = Some(text);
            }
            b'{' | b'[' => return None,
            _ => {
                let word = json.word();
                if word.is_empty() {
                    return None;
                }
                self.retryable |= name == "retryable" && word == b"true";
            }
        }
        Some(())
    }
}

/// JSON byte by byte, for the sake of wasm's size.
struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.next().map(drop)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        word
    }

    fn string(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            let byte = match self.next()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\' | b'/') => escaped,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        text.extend_from_slice(self.unicode()?.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => return None,
                },
                byte => byte,
            };
            text.push(byte);
        }
    }

    /// The four digits after `\u`, and those of the second half of a surrogate pair.
    fn unicode(&mut self) -> Option<char> {
        let mut code = self.unit()?;
        if (0xd800..0xdc00).contains(&code) {
            if (self.next()?, self.next()?) != (b'\\', b'u') {
                return None;
            }
            let low = self.unit()?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
            code = 0x1_0000 + ((code - 0xd800) << 10) + low;
        }
        char::from_u32(code)
    }

    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, content_type: &str, retry_after: Option<&str>, body: &[u8]) -> Error {
        let mut headers = vec![("content-type", content_type.to_owned())];
        headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_owned())));
        super::refusal(&Response::whole(status, headers, Vec::new()), body)
    }

    #[test]
    fn a_problem_gives_its_code_and_its_detail_and_what_to_do() {
        let body = br#"{"type":"about:blank","title":"The credentials are missing or wrong","status":401,
            "detail":"password authentication failed for this role","code":"invalid_credentials","sqlstate":"28P01",
            "retryable":false,"request_id":"r-7"}"#;
        let error = refusal(401, "application/problem+json; charset=utf-8", None, body);
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(error.outcome(), Outcome::NotExecuted);
        assert_eq!(
            (error.status(), error.refusal(), error.code(), error.request_id(), error.is_retryable()),
            (Some(401), Some("invalid_credentials"), Some("28P01"), Some("r-7"), false)
        );
        let text = error.to_string();
        assert!(text.contains("password authentication failed") && text.contains("check the role"), "{text}");
    }

    #[test]
    fn a_refusal_that_passes_says_so() {
        let body = br#"{"code":"pool_timeout","retryable":true,"detail":"no connection became free in 5 s"}"#;
        let error = refusal(503, "application/problem+json", Some("2"), body);
        assert!(error.is_retryable());
        assert_eq!(error.retry(), policy::Outcome::Refused { retryable: true, retry_after_ms: Some(2_000) });
        let lost = refusal(
            502,
            "application/problem+json",
            None,
            br#"{"code":"connection_lost","retryable":false}"#,
        );
        assert_eq!((lost.kind(), lost.outcome(), lost.is_retryable()), (Kind::Lost, Outcome::Unknown, false));
    }

    #[test]
    fn what_may_have_taken_effect_says_so() {
        for code in ["connection_lost", "deadline_exceeded", "internal"] {
            let body = format!(r#"{{"code":"{code}","retryable":false,"detail":"it failed"}}"#);
            let error = refusal(500, "application/problem+json", None, body.as_bytes());
            assert_eq!((error.outcome(), error.is_retryable()), (Outcome::Unknown, false), "{code}");
            assert!(error.to_string().contains("look before you send it again"), "{error}");
        }
    }

    #[test]
    fn what_is_no_problem_is_not_taken_for_one() {
        for (status, media_type, body, kind, part) in [
            (404, "text/html", "<h1>nothing</h1>", Kind::Protocol, "is the URL's host an onetrip endpoint?"),
            (502, "text/html", "<h1>bad gateway</h1>", Kind::Lost, "status 502"),
            (301, "", "", Kind::Protocol, "redirect"),
            (0, "", "", Kind::Protocol, "redirect"),
            (400, "application/problem+json", "{", Kind::Protocol, "status 400"),
            (400, "application/problem+json", r#"{"code": ["x"]}"#, Kind::Protocol, "status 400"),
            (400, "text/plain", r#"{"code": "x"}"#, Kind::Protocol, "text/plain"),
        ] {
            let error = refusal(status, media_type, None, body.as_bytes());
            assert_eq!(error.kind(), kind, "{body}");
            assert!(error.to_string().contains(part), "{body}: {error}");
        }
    }

    #[test]
    fn members_are_read_with_every_escape_and_refused_where_they_are_none() {
        let text = |detail: &str| Some((Some(detail.to_owned()), false));
        for (json, expected) in [
            (r#"{"detail":"b"}"#, text("b")),
            (r#" { "detail" : "\"\\\/\b\f\n\r\t" } "#, text("\"\\/\u{8}\u{c}\n\r\t")),
            (r#"{"detail":"\u00fc\ud83d\ude80"}"#, text("ü🚀")),
            (r#"{"retryable":true}"#, Some((None, true))),
            (r#"{"detail":null, "b": 1.5}"#, Some((None, false))),
            (r#"{"detail":"\ud83d"}"#, None),
            (r#"{"detail":"\ud83d\u0041"}"#, None),
            (r#"{"detail":"\u00f"}"#, None),
            (r#"{"detail":"\x"}"#, None),
            (r#"{"detail":"b"} x"#, None),
            (r#"{"detail":"b",}"#, None),
            (r#"{"detail":{}}"#, None),
            (r#"{"detail":}"#, None),
            (r#"{a:"b"}"#, None),
            (r#"["a"]"#, None),
            ("", None),
            (r#"{"detail":"\ud83dx\u0041"}"#, None),
            (r#"{"detail":"\u+0fc"}"#, None),
            (r#"{"detail":"b"}}"#, None),
            (r#"{"detail":"b"#, None),
        ] {
            let found = Problem::read(json.as_bytes()).map(|problem| (problem.detail, problem.retryable));
            assert_eq!(found, expected, "{json}");
        }
        assert_eq!(Problem::read(b"{}"), Some(Problem::default()));
    }
}
