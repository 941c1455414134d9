//! `POST /v1/{database}/pipeline`: a pipeline to PostgreSQL, and its answer as it comes.

use std::time::Duration;

use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use onetrip_wire::problem::Code;
use onetrip_wire::representation::Representation;

use super::Peer;
use super::body::{self, Answer};
use super::compression;
use super::execution::{self, Caller, within};
use super::record::Record;
use super::stream::{self, Outlet};
use crate::authorization::{self, Authorized, Claims};
use crate::codec::{Format, Pipeline};
use crate::config::{Coding, Config};
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Database, Timing};
use crate::postgres::{Exchange, Part};
use crate::server::{Served, Shared};

pub(super) async fn answer(
    shared: &Shared,
    served: &Served,
    peer: Peer,
    name: String,
    head: &Parts,
    body: &mut Incoming,
    record: &mut Record,
) -> Result<Response<Answer>, Failure> {
    let database = served.databases.get(&name).ok_or_else(|| {
        let detail = "the endpoint's configuration has no database of the name in the path";
        Failure::new(Code::UnknownDatabase, detail)
    })?;
    record.database(name, database.metrics().clone());
    super::refuse_while_draining(shared)?;
    let (format, representation) = formats(&head.headers)?;
    let (credentials, claims) = authorized(database, head).await?;
    let credentials = credentials.sent_from(peer.address);
    record.role(credentials.role());
    let mut timing = Timing::default();
    let deadline = execution::deadline(&head.headers)?;
    // Before the body, so that nothing of a stranger's is kept but the head of its request.
    let caller = Caller::new(database, &credentials, deadline, &mut timing).await;
    record.timing(timing, Duration::ZERO);
    let caller = caller?;
    let limits = &served.config.limits;
    let body = body::read(body, limits.request_bytes, limits.body_timeout).await?;
    record.request_bytes(body.len());
    let mut pipeline = format.decode(body, representation)?;
    if let Some(claims) = claims {
        claims.add_to(&mut pipeline.settings).map_err(Failure::malformed)?;
    }
    let coding = compression::negotiate(&head.headers, &served.config.compression.codings);
    execute(&caller, &pipeline, timing, coding, &served.config, record).await
}

/// Who is asking: a role and its password, or a token and its claims.
async fn authorized(database: &Database, head: &Parts) -> Result<(Credentials, Option<Claims>), Failure> {
    let authorization = head.headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Failure::new(
            Code::InvalidCredentials,
            "the request has no Authorization header; send the PostgreSQL role and its password as \
             Basic base64(role \":\" password)",
        )
    })?;
    if let (Some(token), Some(authorizer)) =
        (authorization::bearer(authorization.as_bytes()), database.authorizer())
    {
        let Authorized { credentials, claims } = authorizer.authorize(token, None).await?;
        return Ok((credentials, Some(claims)));
    }
    let credentials = Credentials::from_header(authorization.as_bytes())
        .map_err(|detail| Failure::new(Code::InvalidCredentials, detail))?;
    Ok((credentials, None))
}

/// How the request is written, and how its answer is to be.
fn formats(headers: &HeaderMap) -> Result<(Format, Representation), Failure> {
    let unsupported = |detail: String| Failure::new(Code::UnsupportedMediaType, detail);
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() != b"identity") {
        return Err(unsupported(
            "the body has a Content-Encoding; send it uncompressed (answers are compressed, by Accept-Encoding)"
                .to_owned(),
        ));
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
    caller: &Caller<'_>,
    pipeline: &Pipeline,
    mut timing: Timing,
    coding: Option<Coding>,
    config: &Config,
    record: &mut Record,
) -> Result<Response<Answer>, Failure> {
    let (deadline, mut execute) = (caller.deadline, Duration::ZERO);
    let begun = execution::begin(caller, pipeline, config, &mut timing, &mut execute).await;
    record.timing(timing, execute);
    let (mut exchange, first) = begun?;
    let mut sqlstate = None;
    let (answer, coded) = match first {
        Part::Last(bytes) => {
            let summary = exchange.summary();
            sqlstate = summary.sqlstate.clone();
            record.summary(summary);
            stream::whole(bytes, coding, &config.compression).await
        }
        Part::More(first) => {
            let (answer, mut outlet) = Outlet::open(first, coding, config.limits.send_timeout, record).await;
            tokio::spawn(async move {
                let sent = within(deadline, send_rest(&mut exchange, &mut outlet)).await;
                outlet.end(&exchange, sent);
            });
            (answer, coding)
        }
    };
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(pipeline.representation.media_type());
    headers.insert(header::CONTENT_TYPE, media_type);
    // Who hands the body on without reading it sees by this that it is an error.
    if let Some(sqlstate) = sqlstate.and_then(|code| HeaderValue::try_from(code).ok()) {
        headers.insert("onetrip-sqlstate", sqlstate);
    }
    stream::say_coding(coded, &config.compression, headers);
    execution::say_timing(&timing, execute, headers);
    Ok(response)
}

/// Gives the rest of an answer to the client.
async fn send_rest(exchange: &mut Exchange, outlet: &mut Outlet) -> Result<(), &'static str> {
    loop {
        let (bytes, last) = outlet.receive(exchange).await?;
        outlet.send(bytes, last, exchange.is_waited_for()).await?;
        if last {
            return Ok(());
        }
    }
}
