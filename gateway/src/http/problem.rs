//! A failure as problem details (RFC 9457).

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use onetrip_wire::problem::{Code, Problem};
use onetrip_wire::representation;

use super::body::Answer;
use super::route::Route;
use crate::failure::Failure;

pub(super) fn problem(failure: &Failure, request_id: &str, path: &str) -> Response<Answer> {
    let Failure { code, detail, sqlstate, retry_after_s, .. } = failure;
    let mut problem = Problem::new(*code, detail.clone(), request_id);
    if let Some(sqlstate) = sqlstate {
        problem = problem.sqlstate(sqlstate.clone());
    }
    // Strings, numbers and booleans in a struct: nothing that JSON could not hold.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(representation::PROBLEM));
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    match code {
        Code::InvalidCredentials => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"onetrip\""));
        }
        Code::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static(Route::allow(path)));
        }
        // RFC 9110, section 15.5.16: what would have been read.
        Code::UnsupportedMediaType => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        _ => {}
    }
    response
}
