//! One pipeline on one connection, up to the first part of its answer: the same for every profile.

use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use onetrip_wire::backend::TransactionStatus;
use onetrip_wire::problem::Code;

use crate::codec::Pipeline;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Database, Timing};
use crate::postgres::{self, Broken, Exchange, Part};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How often a request is sent again to PostgreSQL when it is certain that nothing of it was executed.
const ATTEMPTS: usize = 3;

/// The SQLSTATE of a statement that must not stand behind another one in its transaction, such as VACUUM.
const ACTIVE_TRANSACTION: &str = "25001";

/// Sends a pipeline to PostgreSQL and waits for the first part of its answer.
///
/// Its settings go in the same flight, in the same transaction, where they can. A statement that PostgreSQL then refuses
/// because it stands behind another one has done nothing, and is sent again behind a flight of the settings alone.
pub(super) async fn begin(
    database: &Database,
    credentials: &Credentials,
    pipeline: &Pipeline,
    config: &Config,
    timing: &mut Timing,
    execute: &mut Duration,
) -> Result<(Exchange, Part), Failure> {
    let metrics = database.metrics();
    let mut together = pipeline.settings_fit();
    let mut attempt = 1;
    loop {
        let waiting = metrics.waiting.one();
        let mut lease = database.lease(credentials, timing).await?;
        drop(waiting);
        let started = Instant::now();
        let settings = if together {
            pipeline.settings.frames()
        } else {
            match postgres::apply(&mut lease, &pipeline.settings, |_, _| {}).await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => {
                    tokio::spawn(postgres::restore(lease, TransactionStatus::Idle));
                    let failure = Failure::new(Code::MalformedRequest, refused.message().to_owned());
                    return Err(failure.sqlstate(Some(refused.code().to_owned())));
                }
                Err(Broken::Unsent { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                Err(broken) => return Err(broken.into()),
            }
            Bytes::new()
        };
        let mut exchange = Exchange::new(lease, pipeline, &settings, &config.limits, metrics.clone());
        let first = exchange.next().await;
        *execute = started.elapsed();
        match first {
            Ok(Part::Last(_))
                if !settings.is_empty()
                    && exchange.summary().sqlstate.as_deref() == Some(ACTIVE_TRANSACTION) =>
            {
                exchange.finish().await;
                together = false;
            }
            Ok(part) => return Ok((exchange, part)),
            Err(Broken::Unsent { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(broken) => return Err(broken.into()),
        }
    }
}

/// Says in an answer how long it took.
pub(super) fn say_timing(timing: &Timing, execute: Duration, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&server_timing(timing, execute)) {
        headers.insert(SERVER_TIMING, value);
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
