//! HTTP's side: from a request to an answer, and every failure as problem details.

mod body;
mod compression;
mod cors;
mod operator;
mod pipeline;
mod problem;
mod record;
mod route;

use std::convert::Infallible;
use std::sync::Arc;

use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};

pub(crate) use body::Answer;
use record::Record;
use route::Route;

use crate::failure::Failure;
use crate::server::{Served, Shared};

const REQUEST_ID: HeaderName = HeaderName::from_static("onetrip-request-id");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Which listener a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one for everybody.
    Clients,
    /// The one for metrics and probes, which takes no queries.
    Operators,
}

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    door: Door,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let served = shared.served();
    let (head, mut body) = request.into_parts();
    let mut record = Record::begin(shared.begin(), &served, &head.headers);
    let origin = head.headers.get(header::ORIGIN);
    let mut response = if cors::is_preflight(&head) {
        let mut response = Response::new(Answer::whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        cors::preflight(&served.config.allowed_origins, origin, response.headers_mut());
        response
    } else {
        match answer(&shared, &served, door, &head, &mut body, &mut record).await {
            Ok(response) => response,
            Err(failure) => {
                if !body.is_end_stream() {
                    tokio::spawn(body::discard(body));
                }
                let response = problem::problem(&failure, record.id(), head.uri.path());
                record.refused(failure);
                response
            }
        }
    };
    record.status(response.status());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(record.id()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    cors::allow(&served.config.allowed_origins, origin, headers);
    Ok(response.map(|answer| answer.recorded(record)))
}

async fn answer(
    shared: &Shared,
    served: &Served,
    door: Door,
    head: &Parts,
    body: &mut Incoming,
    record: &mut Record,
) -> Result<Response<Answer>, Failure> {
    match Route::of(head)? {
        Route::Health => Ok(operator::health(shared, head)),
        Route::Ready => Ok(operator::ready(shared, served, head).await),
        Route::Metrics => operator::metrics(shared, served, door, head),
        _ if door == Door::Operators => Err(Route::nothing_here()),
        Route::Pipeline { database } => pipeline::answer(shared, served, database, head, body, record).await,
    }
}
