//! What is answered to those who run the endpoint: whether it lives, whether it is ready, and what it has counted.

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use onetrip_wire::problem::Code;
use tokio::task::JoinSet;

use super::Door;
use super::body::Answer;
use super::route::Route;
use crate::config::MetricsListener;
use crate::failure::Failure;
use crate::metrics::{self, Exposition, Kind};
use crate::server::{Phase, Served, Shared};

/// `/healthz`: whether the process does its work.
pub(super) fn health(shared: &Shared, head: &Parts) -> Response<Answer> {
    match shared.phase() {
        Phase::Draining | Phase::Stopped => {
            text(head, StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned())
        }
        Phase::Serving | Phase::Leaving => text(head, StatusCode::OK, "ok\n".to_owned()),
    }
}

/// `/readyz`: whether requests should be sent here. Which database cannot be reached is for the log, not for strangers.
pub(super) async fn ready(shared: &Shared, served: &Served, head: &Parts) -> Response<Answer> {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match shared.phase() {
        Phase::Leaving => return text(head, unavailable, "leaving\n".to_owned()),
        Phase::Draining | Phase::Stopped => return text(head, unavailable, "draining\n".to_owned()),
        Phase::Serving => {}
    }
    let mut asked = JoinSet::new();
    for (name, database) in &served.databases {
        let (name, database) = (name.clone(), database.clone());
        asked.spawn(async move { database.is_reachable(&name).await });
    }
    let unreachable = asked.join_all().await.into_iter().filter(|reachable| !reachable).count();
    if unreachable == 0 {
        return text(head, StatusCode::OK, "ready\n".to_owned());
    }
    let total = served.databases.len();
    let why = format!(
        "not ready: {unreachable} of {total} databases cannot be reached; the log says which and why\n"
    );
    text(head, unavailable, why)
}

/// `/metrics`, for who may read them.
pub(super) fn metrics(
    shared: &Shared,
    served: &Served,
    door: Door,
    head: &Parts,
) -> Result<Response<Answer>, Failure> {
    let access = &served.config.metrics;
    if door == Door::Clients && access.listener != MetricsListener::Same {
        return Err(Route::nothing_here());
    }
    if let Some(token) = &access.token {
        let brought =
            head.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
        if !brought.is_some_and(|(scheme, text)| scheme.eq_ignore_ascii_case(b"bearer ") && token.is(text)) {
            let detail =
                "metrics need the token of the configuration (metrics.token): Authorization: Bearer …";
            return Err(Failure::new(Code::InvalidCredentials, detail));
        }
    }
    let mut response = text(head, StatusCode::OK, exposition(shared, served));
    let media_type = HeaderValue::from_static(metrics::MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}

fn exposition(shared: &Shared, served: &Served) -> String {
    let mut text = Exposition::default();
    text.family("onetrip_build_info", Kind::Gauge, "Always 1, with the version of the endpoint.");
    text.sample("onetrip_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let phase = shared.phase();
    for (name, help, value) in [
        (
            "onetrip_ready",
            "1 while the endpoint serves; 0 from the signal that ends it.",
            i64::from(phase == Phase::Serving),
        ),
        ("onetrip_http_connections", "Open connections of clients.", shared.metrics.connections.count()),
        (
            "onetrip_requests_in_flight",
            "Requests whose answer is not given away yet, this one included.",
            i64::try_from(shared.in_flight()).unwrap_or(i64::MAX),
        ),
    ] {
        text.family(name, Kind::Gauge, help);
        text.sample(name, &[], value);
    }
    let name = "onetrip_reloads_total";
    text.family(name, Kind::Counter, "Reloads of the configuration.");
    for (result, counter) in ["succeeded", "failed"].into_iter().zip(&shared.metrics.reloads) {
        text.sample(name, &[("result", result)], counter.count());
    }
    let mut databases: Vec<_> = served.databases.iter().collect();
    databases.sort_by_key(|(name, _)| *name);
    let databases: Vec<_> = databases
        .into_iter()
        .map(|(name, database)| (name.as_str(), &**database.metrics(), database.occupancy()))
        .collect();
    metrics::databases(&mut text, &shared.metrics.refused, &databases);
    metrics::process(&mut text);
    text.finish()
}

fn text(head: &Parts, status: StatusCode, text: String) -> Response<Answer> {
    let text = if head.method == Method::HEAD { String::new() } else { text };
    let mut response = Response::new(Answer::whole(text));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
