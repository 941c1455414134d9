//! `POST /sql`: profile 2 (PROTOCOL.md section 7). A failure before PostgreSQL and an error of PostgreSQL's have one form.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use onetrip_wire::Limits as FrameLimits;
use onetrip_wire::encoder::Batch;
use onetrip_wire::problem::Code;

use super::body::{self, Answer};
use super::execution::{Caller, within};
use super::record::Record;
use super::stream::{self, Outlet, UNREADABLE};
use super::{Peer, compression, cors, execution};
use crate::authorization::{self, Authorized};
use crate::codec::neon::{
    AnswerEncoder, CONNECTION_STRING, ConnectionString, Progress, RequestHeaders, SqlError, Types, decode,
};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Database, Deadline, Timing};
use crate::postgres::{Broken, Exchange, Part};
use crate::server::{Served, Shared};

const PATH: &str = "/sql";

/// The index of the statement of a batch that failed, from 0.
const STATEMENT: HeaderName = HeaderName::from_static("onetrip-statement");

/// Whether a request is for this profile, be it one that is refused.
pub(super) fn is_for(head: &Parts) -> bool {
    head.uri.path() == PATH || head.headers.contains_key(&CONNECTION_STRING)
}

/// Answers one request.
pub(super) async fn handle(
    shared: &Shared,
    served: &Arc<Served>,
    peer: Peer,
    head: &Parts,
    mut body: Incoming,
    record: &mut Record,
) -> Response<Answer> {
    if head.method == Method::OPTIONS {
        let mut response = Response::new(Answer::whole(""));
        cors::sql_preflight(&served.config.allowed_origins, head, response.headers_mut());
        return response;
    }
    match answer(shared, served, peer, head, &mut body, record).await {
        Ok(response) => response,
        Err(refusal) => {
            if !body.is_end_stream() {
                tokio::spawn(body::discard(body));
            }
            refusal.response(record)
        }
    }
}

/// Why there is no result.
enum Refusal {
    /// Another path or method: the body is a JSON string.
    NoQuery,
    /// It did not come to PostgreSQL's answer.
    Failed(Failure, SqlError),
    /// PostgreSQL said no.
    Error(SqlError),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let error = match &failure.sqlstate {
            Some(sqlstate) => SqlError::with_code(sqlstate, failure.detail.clone()),
            None => SqlError::new(failure.detail.clone()),
        };
        Refusal::Failed(failure, error)
    }
}

/// The request is none.
impl From<String> for Refusal {
    fn from(message: String) -> Refusal {
        Refusal::from(Failure::malformed(message))
    }
}

impl From<&'static str> for Refusal {
    fn from(message: &'static str) -> Refusal {
        Refusal::from(Failure::malformed(message))
    }
}

impl Refusal {
    fn response(self, record: &mut Record) -> Response<Answer> {
        let (status, body) = match &self {
            Refusal::NoQuery => (StatusCode::BAD_REQUEST, b"\"query is not supported\"".to_vec()),
            Refusal::Error(error) => (StatusCode::BAD_REQUEST, error.json()),
            Refusal::Failed(failure, error) => (status_of(failure.code), error.json()),
        };
        let mut response = Response::new(Answer::whole(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Refusal::NoQuery => {
                record.refused(Failure::new(Code::NotFound, "query is not supported"));
            }
            Refusal::Failed(failure, _) => {
                if let Some(seconds) = failure.retry_after_s {
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                record.refused(failure);
            }
            Refusal::Error(error) => {
                if let Some(statement) = error.statement {
                    headers.insert(STATEMENT, HeaderValue::from(statement));
                }
            }
        }
        response
    }
}

/// The status of section 4, but 400 for what the original knows no other status for: its clients look for SQLSTATEs only
/// under that.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidCredentials | Code::Forbidden | Code::UnknownDatabase => StatusCode::BAD_REQUEST,
        code => StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn answer(
    shared: &Shared,
    served: &Arc<Served>,
    peer: Peer,
    head: &Parts,
    body: &mut Incoming,
    record: &mut Record,
) -> Result<Response<Answer>, Refusal> {
    if head.uri.path() != PATH || head.method != Method::POST {
        return Err(Refusal::NoQuery);
    }
    super::refuse_while_draining(shared)?;
    let headers = RequestHeaders::read(&head.headers)?;
    let connection_string = head
        .headers
        .get(&CONNECTION_STRING)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .ok_or("invalid header: neon-connection-string")?;
    let ConnectionString { role, password, database: name, mut settings } =
        ConnectionString::parse(connection_string)?;
    record.role(&role);
    let database = served.databases.get(&name);
    let authorization = head.headers.get(header::AUTHORIZATION);
    let credentials = match (password, authorization, database.and_then(|database| database.authorizer())) {
        (Some(password), None, _) => Credentials::new(&role, &password)?,
        (None, sent, Some(authorizer)) => {
            let token = sent.and_then(|sent| authorization::bearer(sent.as_bytes())).ok_or(
                "missing authentication credentials: required authorization bearer token in JWT format",
            )?;
            let Authorized { credentials, claims } = authorizer.authorize(token, Some(&role)).await?;
            claims.add_to(&mut settings)?;
            credentials
        }
        _ => return Err("missing authentication credentials: required password".into()),
    };
    let credentials = credentials.sent_from(peer.address);
    let Some(database) = database else {
        let message = format!("database \"{name}\" does not exist");
        let failure = Failure::new(Code::UnknownDatabase, "no database of that name is configured");
        return Err(Refusal::Failed(failure, fatal("3D000", message)));
    };
    record.database(name, database.metrics().clone());
    let (mut timing, mut execute) = (Timing::default(), Duration::ZERO);
    let deadline = execution::deadline(&head.headers)?;
    // Before the body, so that nothing of a stranger's is kept but the head of its request.
    let caller = Caller::new(database, &credentials, deadline, &mut timing).await;
    record.timing(timing, execute);
    let caller = caller.map_err(|failure| refusal_of(failure, &role))?;
    let config = &served.config;
    let limits = &config.limits;
    let body = body::read(body, limits.request_bytes, limits.body_timeout).await.map_err(|failure| {
        if failure.code == Code::RequestTooLarge {
            let message = format!("request is too large (max is {} bytes)", limits.request_bytes);
            return Refusal::Failed(failure, SqlError::new(message));
        }
        failure.into()
    })?;
    record.request_bytes(body.len());
    let request = decode(&body, &headers, settings)?;
    let begun = execution::begin(&caller, &request.pipeline, config, &mut timing, &mut execute).await;
    record.timing(timing, execute);
    let (mut exchange, mut part) = begun.map_err(|failure| refusal_of(failure, &role))?;

    let encoder = AnswerEncoder::new(
        request.batch,
        request.array_rows,
        headers.raw_text,
        database.types().clone(),
        limits.row_bytes,
    );
    let mut writer = Writer {
        served: served.clone(),
        database: database.clone(),
        credentials: credentials.clone(),
        encoder,
    };
    let coding = compression::negotiate(&head.headers, &config.compression.codings);
    // What is held back until the end has its status still to come. An answer that is larger is streamed.
    let (answer, coded) = loop {
        let last = matches!(part, Part::Last(_));
        let (Part::More(bytes) | Part::Last(bytes)) = part;
        let needed = writer.push(bytes)?;
        if last {
            record.summary(exchange.summary());
            writer.settle(needed).await?;
            if let Some(error) = writer.encoder.error() {
                return Err(Refusal::Error(error.clone()));
            }
            writer.encoder.finish();
            break stream::whole(writer.encoder.take(), coding, &config.compression).await;
        }
        if writer.encoder.error().is_none() && writer.encoder.held_bytes() > limits.buffer_bytes {
            writer.settle(needed).await?;
            let first = writer.encoder.take();
            let (answer, mut outlet) = Outlet::open(first, coding, limits.send_timeout, record).await;
            tokio::spawn(async move {
                let sent = within(deadline, send_rest(&mut writer, &mut exchange, &mut outlet)).await;
                outlet.end(&exchange, sent);
            });
            break (answer, coding);
        }
        part = match within(deadline, exchange.next()).await {
            Some(Ok(part)) => part,
            None => {
                record.summary(exchange.summary());
                return Err(execution::deadline_exceeded().into());
            }
            Some(Err(broken)) => {
                record.summary(exchange.summary());
                // An error that PostgreSQL, or the endpoint, said before the connection was lost tells more.
                return Err(match writer.encoder.error() {
                    Some(error) => Refusal::Error(error.clone()),
                    None => Failure::from(broken).into(),
                });
            }
        };
    };
    let mut response = Response::new(answer);
    let response_headers = response.headers_mut();
    response_headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    stream::say_coding(coded, &config.compression, response_headers);
    if request.batch == Batch::Many {
        headers.echo(response_headers);
    }
    execution::say_timing(&timing, execute, response_headers);
    Ok(response)
}

/// PostgreSQL's words where it refuses a connection.
fn fatal(code: &str, message: String) -> SqlError {
    let mut error = SqlError::with_code(code, message);
    "FATAL".clone_into(&mut error.severity);
    error
}

fn refusal_of(failure: Failure, role: &str) -> Refusal {
    if failure.code == Code::InvalidCredentials {
        let code = failure.sqlstate.clone().unwrap_or_else(|| "28P01".to_owned());
        let error = fatal(&code, format!("password authentication failed for user '{role}'"));
        return Refusal::Failed(failure, error);
    }
    if failure.code == Code::MalformedRequest
        && let Some(sqlstate) = &failure.sqlstate
    {
        // A setting that PostgreSQL refused.
        let error = SqlError::with_code(sqlstate, failure.detail.clone());
        return Refusal::Failed(failure, error);
    }
    failure.into()
}

/// What writing an answer takes.
struct Writer {
    served: Arc<Served>,
    database: Arc<Database>,
    credentials: Credentials,
    encoder: AnswerEncoder,
}

impl Writer {
    fn config(&self) -> &Config {
        &self.served.config
    }

    fn push(&mut self, frames: Bytes) -> Result<Progress, Failure> {
        self.encoder.push(frames).map_err(|error| Broken::Protocol(error).into())
    }

    /// Writes what waits for types that are not known, once the database has told them.
    async fn settle(&mut self, mut progress: Progress) -> Result<(), Failure> {
        while let Progress::TypesNeeded(needed) = progress {
            if let Err(failure) = self.ask(&needed).await {
                let cause = failure.cause;
                tracing::info!(cause, "types are taken for text: the database could not be asked");
                self.encoder.guess_types();
            }
            progress = self.encoder.advance().map_err(|error| Failure::from(Broken::Protocol(error)))?;
        }
        Ok(())
    }

    async fn ask(&self, type_oids: &[u32]) -> Result<(), Failure> {
        let (mut timing, mut execute) = (Timing::default(), Duration::ZERO);
        let (question, config) = (Types::question(type_oids), self.config());
        let (database, credentials) = (&self.database, &self.credentials);
        let caller = Caller::new(database, credentials, Deadline::default(), &mut timing).await?;
        let (mut exchange, mut part) =
            execution::begin(&caller, &question, config, &mut timing, &mut execute).await?;
        let mut answer = Vec::new();
        loop {
            let last = matches!(part, Part::Last(_));
            let (Part::More(bytes) | Part::Last(bytes)) = part;
            answer.extend_from_slice(&bytes);
            if last {
                break;
            }
            part = exchange.next().await?;
        }
        let frames = FrameLimits::default().frame_bytes(config.limits.row_bytes);
        let learned = self.database.types().learn(type_oids, &answer, &frames);
        learned.map_err(|error| Broken::Protocol(error).into())
    }
}

/// Gives the rest of an answer to the client while it is written. An error that comes now has no status any more: it is
/// written where it falls, and the body is cut, so that nobody takes what came for the whole.
async fn send_rest(
    writer: &mut Writer,
    exchange: &mut Exchange,
    outlet: &mut Outlet,
) -> Result<(), &'static str> {
    loop {
        let (frames, last) = outlet.receive(exchange).await?;
        let needed = writer.push(frames).map_err(|_| UNREADABLE)?;
        writer.settle(needed).await.map_err(|_| UNREADABLE)?;
        if let Some(error) = writer.encoder.error().map(SqlError::json) {
            outlet.send(error.into(), false, false).await?;
            return Err("PostgreSQL reported an error after the start");
        }
        if last {
            writer.encoder.finish();
        }
        outlet.send(writer.encoder.take(), last, exchange.is_waited_for()).await?;
        if last {
            return Ok(());
        }
    }
}
