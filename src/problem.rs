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
pub(crate) fn refusal(response: &Response, body: &[u8], database: &str) -> Error {
    let status = response.status;
    let content_type = response.header("content-type");
    let is_problem = media_type(content_type).eq_ignore_ascii_case("application/problem+json");
    let mut problem = Problem::default();
    let is_read = is_problem && problem.read(body).is_some();
    let Problem { texts: [code, title, detail, sqlstate, request_id], retryable } = problem;
    let Some(code) = code.filter(|_| is_read) else {
        return foreign(status, content_type);
    };

    let what = detail.or(title).unwrap_or_else(|| format!("HTTP status {status}"));
    let (what, advice) = (shown(&what, SHOWN_BYTES), advice(&code));
    let mut message = format!("the endpoint refused the request ({code}): {what}{advice}");
    if code == "unknown_database" {
        message = format!("{message} (it was asked for \"{database}\")");
    }
    let retry_after_ms = ascii::number(response.header("retry-after").trim_ascii())
        .and_then(|seconds| u32::try_from(seconds).ok())
        .map(|seconds| seconds.saturating_mul(1_000));
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
        .refusal_is(status, Some(code), sqlstate)
        .request_id_is(request_id.as_deref().unwrap_or_default())
}

/// An answer that no onetrip endpoint gives.
pub(crate) fn foreign(status: u16, content_type: &str) -> Error {
    let media_type = match media_type(content_type) {
        "" => "no content type",
        text if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => shown(text, 60),
        _ => "no readable content type",
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
fn shown(text: &str, limit_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(limit_bytes)).unwrap_or_default()
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

/// The members of a problem that are looked at.
#[derive(Default)]
struct Problem {
    texts: [Option<String>; NAMES.len()],
    retryable: bool,
}

/// The names of those that are text.
const NAMES: [&str; 5] = ["code", "title", "detail", "sqlstate", "request_id"];

impl Problem {
    /// Reads one flat JSON object; `None` where it is none.
    fn read(&mut self, json: &[u8]) -> Option<()> {
        let mut json = Json { rest: json.iter() };
        let mut before = json.token().filter(|&byte| byte == b'{')?;
        while before != b'}' {
            before = match (json.token()?, before) {
                (b'"', _) => self.member(&mut json)?,
                (end @ b'}', b'{') => end,
                _ => return None,
            };
        }
        json.token().is_none().then_some(())
    }

    /// Reads a member, whose name has begun; what stands behind it.
    fn member(&mut self, json: &mut Json<'_>) -> Option<u8> {
        let name = json.string()?;
        json.token().filter(|&byte| byte == b':')?;
        let mut byte = json.token()?;
        if byte == b'"' {
            let text = json.string()?;
            let place = NAMES.iter().position(|known| *known == name).and_then(|at| self.texts.get_mut(at));
            if let Some(place) = place {
                *place = Some(text);
            }
            byte = json.token()?;
        } else if !matches!(byte, b',' | b'}') {
            // Words and numbers end where something follows.
            self.retryable |= name == "retryable" && byte == b't' && json.rest.as_slice().starts_with(b"rue");
            while !matches!(byte, b',' | b'}' | b'{' | b'[' | b'"') {
                byte = json.token()?;
            }
        } else {
            return None;
        }
        Some(byte).filter(|byte| matches!(byte, b',' | b'}'))
    }
}

struct Json<'a> {
    rest: std::slice::Iter<'a, u8>,
}

impl Json<'_> {
    /// The next byte that is no white space.
    fn token(&mut self) -> Option<u8> {
        self.rest.find(|byte| !byte.is_ascii_whitespace()).copied()
    }

    /// The rest of a string that has begun.
    fn string(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            let byte = match *self.rest.next()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => match *self.rest.next()? {
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

    /// The character of an escape, whose surrogates are two of them.
    fn unicode(&mut self) -> Option<char> {
        let mut code = ascii::hex(&mut self.rest, 4)?;
        if (0xd800..0xdc00).contains(&code) {
            if (self.rest.next()?, self.rest.next()?) != (&b'\\', &b'u') {
                return None;
            }
            let low = ascii::hex(&mut self.rest, 4)?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
            code = 0x1_0000 + ((code - 0xd800) << 10) + low;
        }
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, content_type: &str, retry_after: Option<&str>, body: &[u8]) -> Error {
        let mut headers = vec![("content-type", content_type.to_owned())];
        headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_owned())));
        super::refusal(&Response::whole(status, headers, Vec::new()), body, "shop")
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
            ("{}", Some((None, false))),
            (r#"{"retryable":true}"#, Some((None, true))),
            (r#"{"retryable": false , "other":true}"#, Some((None, false))),
            (r#"{"detail" "b"}"#, None),
            (r#"{"other":[true]}"#, None),
            ("{,}", None),
            (r#"{"other":1"detail":"b"}"#, None),
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
            let mut problem = Problem::default();
            let is_read = problem.read(json.as_bytes()).is_some();
            let [_, _, detail, _, _] = problem.texts;
            assert_eq!(is_read.then_some((detail, problem.retryable)), expected, "{json}");
        }
    }
}
