//! Which web pages may use the endpoint from a browser. Fetch standard, "CORS protocol".

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;

use crate::codec::neon;
use crate::config::AllowedOrigins;

/// What a page may send. `idempotency-key` and `traceparent` are reserved by the protocol, and tracing tools add the
/// latter by themselves.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept, onetrip-deadline, idempotency-key, traceparent, tracestate",
);

/// What a page may read of a response.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "onetrip-request-id, onetrip-sqlstate, onetrip-statement, server-timing, retry-after, www-authenticate, allow",
);

/// Adds what the origin of the request may know to a response.
pub(super) fn allow(allowed: &AllowedOrigins, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
    if let AllowedOrigins::List(list) = allowed
        && !list.is_empty()
    {
        // Caches must not show one origin's response to another.
        response.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(value) = allowed_origin(allowed, origin) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        // Without it a browser shows a page no Server-Timing of another origin.
        if let Some(origin) = response.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned() {
            response.insert("timing-allow-origin", origin);
        }
    }
}

/// Adds what a preflight asks for.
pub(super) fn preflight(allowed: &AllowedOrigins, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
    if allowed_origin(allowed, origin).is_some() {
        response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
        response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
}

/// Answers an OPTIONS request for `/sql`.
pub(super) fn sql_preflight(allowed: &AllowedOrigins, request: &Parts, response: &mut HeaderMap) {
    response.insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    if allowed_origin(allowed, request.headers.get(header::ORIGIN)).is_some() {
        response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        response
            .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(neon::ALLOWED_HEADERS));
        response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
}

/// Whether a request is a preflight.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(header::ORIGIN)
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether an origin is the known one, whose port may be `*`: any, and the scheme's own that is left out.
fn matches(known: &[u8], origin: &[u8]) -> bool {
    let Some(host) = known.strip_suffix(b":*") else { return known == origin };
    origin.strip_prefix(host).is_some_and(|port| match port {
        [] => true,
        [b':', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    })
}

fn allowed_origin(allowed: &AllowedOrigins, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    match allowed {
        AllowedOrigins::Any => Some(HeaderValue::from_static("*")),
        AllowedOrigins::List(list) => {
            list.iter().any(|known| matches(known.as_bytes(), origin.as_bytes())).then(|| origin.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_port_and_nothing_else() {
        for (known, origin, expected) in [
            ("http://localhost:*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "http://localhost:", false),
            ("http://localhost:*", "http://localhost.evil.example", false),
            ("http://localhost:*", "http://localhost:1.evil.example", false),
            ("http://localhost:*", "https://localhost:3000", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://localhost:3000", "http://localhost:30000", false),
        ] {
            assert_eq!(matches(known.as_bytes(), origin.as_bytes()), expected, "{known} {origin}");
        }
    }
}
