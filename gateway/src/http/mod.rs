//! HTTP's side: from a request to an answer, and every failure as problem details.

mod body;
mod cors;
mod route;

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use onetrip_wire::problem::{Code, Problem};
use onetrip_wire::representation::{self, Representation};

pub(crate) use body::Answer;
use body::Piece;
use route::Route;

use crate::codec::{Format, Pipeline};
use crate::config::Limits;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Database, Timing};
use crate::postgres::{Broken, Exchange, Part};
use crate::server::Shared;

const REQUEST_ID: HeaderName = HeaderName::from_static("onetrip-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Parts of an answer that wait for the client: with the one in work about 256 KiB.
const PARTS_WAITING: usize = 3;

/// How often a request is sent again to PostgreSQL when it is certain that nothing of it was executed.
const ATTEMPTS: usize = 3;

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let in_flight = shared.in_flight();
    let request_id = shared.request_id();
    let (head, mut body) = request.into_parts();
    let origin = head.headers.get(header::ORIGIN);
    let mut response = if cors::is_preflight(&head) {
        let mut response = Response::new(Answer::whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        cors::preflight(&shared.config.allowed_origins, origin, response.headers_mut());
        response
    } else {
        match answer(&shared, &head, &mut body, &request_id).await {
            Ok(response) => response,
            Err(failure) => {
                if !body.is_end_stream() {
                    tokio::spawn(body::discard(body));
                }
                problem(&failure, &request_id, head.uri.path())
            }
        }
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    cors::allow(&shared.config.allowed_origins, origin, headers);
    Ok(response.map(|answer| answer.in_flight(in_flight)))
}

async fn answer(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
    request_id: &str,
) -> Result<Response<Answer>, Failure> {
    match Route::of(head)? {
        Route::Health => {
            let (status, text) = if shared.is_draining() {
                (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            } else {
                (StatusCode::OK, "ok\n")
            };
            let text = if head.method == Method::HEAD { "" } else { text };
            let mut response = Response::new(Answer::whole(text));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            Ok(response)
        }
        Route::Pipeline { database } => pipeline(shared, &database, head, body, request_id).await,
    }
}

async fn pipeline(
    shared: &Shared,
    database: &str,
    head: &Parts,
    body: &mut Incoming,
    request_id: &str,
) -> Result<Response<Answer>, Failure> {
    if shared.is_draining() {
        let detail =
            "the endpoint is shutting down; send the request again, to another endpoint or in a moment";
        return Err(Failure::new(Code::ShuttingDown, detail).retry_after(1));
    }
    let database = shared.databases.get(database).ok_or_else(|| {
        let detail = "the endpoint's configuration has no database of the name in the path";
        Failure::new(Code::UnknownDatabase, detail)
    })?;
    let (format, representation) = formats(&head.headers)?;
    let authorization = head.headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Failure::new(
            Code::InvalidCredentials,
            "the request has no Authorization header; send the PostgreSQL role and its password as \
             Basic base64(role \":\" password)",
        )
    })?;
    let credentials = Credentials::from_header(authorization.as_bytes())
        .map_err(|detail| Failure::new(Code::InvalidCredentials, detail))?;
    let limits = &shared.config.limits;
    let body = body::read(body, limits.request_bytes, limits.body_timeout).await?;
    let pipeline = format.decode(body, representation)?;
    execute(database, &credentials, &pipeline, limits, request_id).await
}

/// How the request is written, and how its answer is to be.
fn formats(headers: &HeaderMap) -> Result<(Format, Representation), Failure> {
    let unsupported = |detail: String| Failure::new(Code::UnsupportedMediaType, detail);
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() != b"identity") {
        return Err(unsupported("the body has a Content-Encoding; send it as it is".to_owned()));
    }
    let content_type = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(value) => {
            Some(value.to_str().map_err(|_| unsupported("the Content-Type is not ASCII".to_owned()))?)
        }
    };
    let format = Format::from_content_type(content_type).map_err(unsupported)?;
    let mut accept = String::new();
    for value in headers.get_all(header::ACCEPT) {
        let value = value.to_str().map_err(|_| Failure::malformed("the Accept header is not ASCII"))?;
        accept.push_str(if accept.is_empty() { "" } else { "," });
        accept.push_str(value);
    }
    let default = format.default_representation();
    if accept.trim().is_empty() {
        return Ok((format, default));
    }
    let representation = Representation::negotiate(&accept, default)
        .map_err(|detail| Failure::new(Code::NotAcceptable, detail))?;
    Ok((format, representation))
}

/// Sends a pipeline to PostgreSQL and waits for the first part of its answer.
async fn execute(
    database: &Database,
    credentials: &Credentials,
    pipeline: &Pipeline,
    limits: &Limits,
    request_id: &str,
) -> Result<Response<Answer>, Failure> {
    let mut timing = Timing::default();
    let mut attempt = 1;
    let (mut exchange, first, execute) = loop {
        let lease = database.lease(credentials, &mut timing).await?;
        let started = Instant::now();
        let mut exchange = Exchange::new(lease, pipeline, limits.row_bytes);
        match exchange.next().await {
            Ok(part) => break (exchange, part, started.elapsed()),
            Err(Broken::Unsent { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(broken) => return Err(broken.into()),
        }
    };
    let answer = match first {
        Part::Last(bytes) => {
            tokio::spawn(exchange.finish());
            Answer::whole(bytes)
        }
        Part::More(first) => {
            let (sender, receiver) = tokio::sync::mpsc::channel(PARTS_WAITING);
            let (send_timeout, request_id) = (limits.send_timeout, request_id.to_owned());
            tokio::spawn(async move {
                match stream(&mut exchange, &sender, send_timeout).await {
                    Ok(()) => exchange.finish().await,
                    Err(why) => tracing::info!(request_id, why, "an answer was cut"),
                }
            });
            Answer::streamed(first, receiver)
        }
    };
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(pipeline.representation.media_type());
    headers.insert(header::CONTENT_TYPE, media_type);
    if let Ok(value) = HeaderValue::from_str(&server_timing(&timing, execute)) {
        headers.insert(SERVER_TIMING, value);
    }
    Ok(response)
}

/// Gives the rest of an answer to the client, no faster than it takes it.
async fn stream(
    exchange: &mut Exchange,
    sender: &tokio::sync::mpsc::Sender<Piece>,
    send_timeout: Duration,
) -> Result<(), &'static str> {
    const GONE: &str = "the client went away";
    loop {
        let part = tokio::select! {
            part = exchange.next() => part,
            () = sender.closed() => return Err(GONE),
        };
        let (piece, last) = match part {
            Ok(Part::More(bytes)) => (Piece::More(bytes), false),
            Ok(Part::Last(bytes)) => (Piece::Last(bytes), true),
            Err(Broken::Protocol(_)) => return Err("PostgreSQL's answer could not be read"),
            Err(Broken::Lost { .. } | Broken::Unsent { .. }) => {
                return Err("PostgreSQL closed the connection");
            }
        };
        match tokio::time::timeout(send_timeout, sender.send(piece)).await {
            Ok(Ok(())) if last => return Ok(()),
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(GONE),
            Err(_) => return Err("the client took nothing for longer than limits.send_timeout"),
        }
    }
}

fn server_timing(timing: &Timing, execute: Duration) -> String {
    let mut text = String::with_capacity(64);
    for (index, (name, duration)) in
        [("queue", timing.queue), ("connect", timing.connect), ("execute", execute)].into_iter().enumerate()
    {
        let separator = if index > 0 { ", " } else { "" };
        let micros = duration.as_micros();
        // Writing into a String cannot fail.
        let _ = write!(text, "{separator}{name};dur={}.{:03}", micros / 1000, micros % 1000);
    }
    text
}

/// A failure as problem details, and a line in the log.
fn problem(failure: &Failure, request_id: &str, path: &str) -> Response<Answer> {
    let Failure { code, detail, sqlstate, retry_after_s, cause } = failure;
    let (name, sqlstate_text, cause) =
        (code.name(), sqlstate.as_deref().unwrap_or(""), cause.as_deref().unwrap_or(""));
    match code {
        Code::Internal => tracing::error!(request_id, code = name, cause, "a request failed"),
        Code::DatabaseUnreachable | Code::ConnectionLost => {
            tracing::warn!(request_id, code = name, sqlstate = sqlstate_text, cause, "a request failed");
        }
        _ => tracing::info!(request_id, code = name, sqlstate = sqlstate_text, cause, "a request failed"),
    }
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
        _ => {}
    }
    response
}
