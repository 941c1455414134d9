//! What a path means.

use hyper::Method;
use hyper::http::request::Parts;
use onetrip_wire::problem::Code;
use percent_encoding::percent_decode_str;

use crate::failure::Failure;

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `POST /v1/{database}/pipeline`.
    Pipeline { database: String },
}

impl Route {
    /// The methods of the path, for `Allow`.
    pub(super) fn allow(path: &str) -> &'static str {
        if Route::for_operators(path).is_some() { "GET, HEAD" } else { "POST" }
    }

    pub(super) fn of(head: &Parts) -> Result<Route, Failure> {
        Route::find(&head.method, head.uri.path())
    }

    fn for_operators(path: &str) -> Option<Route> {
        match path {
            "/healthz" => Some(Route::Health),
            "/readyz" => Some(Route::Ready),
            "/metrics" => Some(Route::Metrics),
            _ => None,
        }
    }

    /// The refusal of a path that there is not.
    pub(super) fn nothing_here() -> Failure {
        let detail =
            "there is nothing at this path; send POST /v1/{database}/pipeline, or GET /healthz or /readyz";
        Failure::new(Code::NotFound, detail)
    }

    fn find(method: &Method, path: &str) -> Result<Route, Failure> {
        if let Some(route) = Route::for_operators(path) {
            return match *method {
                Method::GET | Method::HEAD => Ok(route),
                _ => Err(Failure::new(Code::MethodNotAllowed, format!("{path} takes GET"))),
            };
        }
        let database = path.strip_prefix("/v1/").and_then(|rest| rest.strip_suffix("/pipeline"));
        let Some(database) = database.filter(|database| !database.is_empty() && !database.contains('/'))
        else {
            return Err(Route::nothing_here());
        };
        if method != Method::POST {
            return Err(Failure::new(Code::MethodNotAllowed, "/v1/{database}/pipeline takes POST"));
        }
        let database = percent_decode_str(database).decode_utf8().map_err(|_| {
            Failure::malformed("the database in the path is not UTF-8 after percent-decoding")
        })?;
        Ok(Route::Pipeline { database: database.into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_route_or_says_why_not() {
        let pipeline = |database: &str| Ok(Route::Pipeline { database: database.to_owned() });
        for (method, path, expected) in [
            ("GET", "/healthz", Ok(Route::Health)),
            ("HEAD", "/healthz", Ok(Route::Health)),
            ("POST", "/healthz", Err(Code::MethodNotAllowed)),
            ("GET", "/readyz", Ok(Route::Ready)),
            ("GET", "/metrics", Ok(Route::Metrics)),
            ("POST", "/metrics", Err(Code::MethodNotAllowed)),
            ("POST", "/v1/app/pipeline", pipeline("app")),
            ("POST", "/v1/my%20d%C3%A4t%2Fa/pipeline", pipeline("my dät/a")),
            ("GET", "/v1/app/pipeline", Err(Code::MethodNotAllowed)),
            ("POST", "/v1/%ff/pipeline", Err(Code::MalformedRequest)),
            ("POST", "/v1//pipeline", Err(Code::NotFound)),
            ("POST", "/v1/a/b/pipeline", Err(Code::NotFound)),
            ("POST", "/v1/app/pipeline/", Err(Code::NotFound)),
            ("POST", "/v2/app/pipeline", Err(Code::NotFound)),
            ("GET", "/", Err(Code::NotFound)),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(
                Route::find(&method, path).map_err(|failure| failure.code),
                expected,
                "{method} {path}"
            );
        }
    }
}
