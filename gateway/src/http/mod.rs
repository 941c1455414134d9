//! HTTP's side: from a request to an answer, and every failure as problem details.

mod body;
mod compression;
mod cors;
mod execution;
mod operator;
mod pipeline;
mod problem;
mod record;
mod route;
mod sql;
mod stream;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use onetrip_wire::problem::Code;

pub(crate) use body::Answer;
use record::Record;
use route::Route;

use crate::failure::Failure;
use crate::server::{Phase, Served, Shared};
use crate::websocket;

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

/// Who sends a request, as far as the connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) door: Door,
}

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let served = shared.served();
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (head, mut body) = request.into_parts();
    let mut record = Record::begin(shared.begin(), &served, &head.headers);
    let origin = head.headers.get(header::ORIGIN);
    let for_clients = peer.door == Door::Clients;
    let mut response = if for_clients
        && websocket::is_upgrade(&head)
        && let Some(upgrade) = upgrade
    {
        session(&shared, &head, upgrade, peer).unwrap_or_else(|failure| {
            let response = problem::problem(&failure, record.id(), head.uri.path());
            record.refused(failure);
            response
        })
    } else if for_clients && sql::is_for(&head) {
        sql::handle(&shared, &served, peer, &head, body, &mut record).await
    } else if cors::is_preflight(&head) {
        let mut response = Response::new(Answer::whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        cors::preflight(&served.config.allowed_origins, origin, response.headers_mut());
        response
    } else {
        match answer(&shared, &served, peer, &head, &mut body, &mut record).await {
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

/// Makes a WebSocket of the request's connection.
fn session(
    shared: &Arc<Shared>,
    head: &Parts,
    upgrade: OnUpgrade,
    peer: Peer,
) -> Result<Response<Answer>, Failure> {
    refuse_while_draining(shared)?;
    let (status, headers) =
        websocket::accept(shared, head, upgrade, peer.address).map_err(Failure::malformed)?;
    let mut response = Response::new(Answer::whole(""));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn refuse_while_draining(shared: &Shared) -> Result<(), Failure> {
    if shared.phase() < Phase::Draining {
        return Ok(());
    }
    let detail = "the endpoint is shutting down; send the request again, to another endpoint or in a moment";
    Err(Failure::new(Code::ShuttingDown, detail).retry_after(1))
}

async fn answer(
    shared: &Shared,
    served: &Served,
    peer: Peer,
    head: &Parts,
    body: &mut Incoming,
    record: &mut Record,
) -> Result<Response<Answer>, Failure> {
    match Route::of(head)? {
        Route::Health => Ok(operator::health(shared, head)),
        Route::Ready => Ok(operator::ready(shared, served, head).await),
        Route::Metrics => operator::metrics(shared, served, peer.door, head),
        _ if peer.door == Door::Operators => Err(Route::nothing_here()),
        Route::Pipeline { database } => {
            pipeline::answer(shared, served, peer, database, head, body, record).await
        }
    }
}
