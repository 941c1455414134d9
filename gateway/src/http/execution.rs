//! One pipeline on one connection, up to the first part of its answer: the same for every profile.

use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use onetrip_wire::problem::Code;

use crate::codec::Pipeline;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Access, Claim, Database, Deadline, Leased, Timing};
use crate::postgres::{self, Broken, Exchange, Order, Part};

const DEADLINE: HeaderName = HeaderName::from_static("onetrip-deadline");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How often a request is sent again to PostgreSQL when it is certain that nothing of it was executed.
const ATTEMPTS: usize = 3;

/// Who asks, their password proven, and how long they wait.
pub(super) struct Caller<'a> {
    pub(super) database: &'a Database,
    pub(super) access: Access<'a>,
    pub(super) deadline: Deadline,
}

impl<'a> Caller<'a> {
    /// Has the password proven.
    pub(super) async fn new(
        database: &'a Database,
        credentials: &'a Credentials,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Caller<'a>, Failure> {
        let _waiting = database.metrics().waiting.one();
        let access = database.authenticate(credentials, deadline, timing).await?;
        Ok(Caller { database, access, deadline })
    }
}

/// When the answer has to be there, if the client says so.
pub(super) fn deadline(headers: &HeaderMap) -> Result<Deadline, Failure> {
    let Some(value) = headers.get(DEADLINE) else { return Ok(Deadline::default()) };
    let milliseconds = value.to_str().ok().and_then(|text| text.parse::<u32>().ok()).filter(|&ms| ms > 0);
    let milliseconds = milliseconds.ok_or_else(|| {
        Failure::malformed(
            "the Onetrip-Deadline header must be a whole number of milliseconds from 1 to 4294967295",
        )
    })?;
    Ok(Deadline::after(Duration::from_millis(milliseconds.into())))
}

/// What comes of `work`; `None` when the deadline passes before.
pub(super) async fn within<T>(deadline: Deadline, work: impl Future<Output = T>) -> Option<T> {
    match deadline.instant() {
        None => Some(work.await),
        Some(instant) => tokio::time::timeout_at(instant, work).await.ok(),
    }
}

pub(super) fn deadline_exceeded() -> Failure {
    Failure::new(
        Code::DeadlineExceeded,
        "the deadline of the request (Onetrip-Deadline) passed while PostgreSQL worked on it; it was cancelled, and \
         whether it took effect is unknown",
    )
}

/// Sends a pipeline to PostgreSQL and waits for the first part of its answer.
///
/// Its settings go in the same flight, in the same transaction, where they can. A statement that PostgreSQL then refuses
/// because it stands behind another one has done nothing, and is sent again behind a flight of the settings alone.
pub(super) async fn begin(
    caller: &Caller<'_>,
    pipeline: &Pipeline,
    config: &Config,
    timing: &mut Timing,
    execute: &mut Duration,
) -> Result<(Exchange, Part), Failure> {
    let Caller { database, access, deadline } = caller;
    let metrics = database.metrics();
    let mut together = pipeline.settings_fit();
    let mut attempt = 1;
    let (mut fresh, mut again) = (false, false);
    loop {
        let waiting = metrics.waiting.one();
        // What had to be sent again goes alone.
        let frames = pipeline.shared_frames().filter(|_| attempt == 1 && !fresh).cloned();
        let mut leased = access.lease(Claim { deadline: *deadline, frames, again }, timing).await?;
        drop(waiting);
        let started = Instant::now();
        let settings = if let (false, Leased::Own(lease)) = (together, &mut leased) {
            let applied = within(*deadline, postgres::apply(lease, &pipeline.settings, |_, _| {})).await;
            match applied.ok_or_else(deadline_exceeded)? {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => {
                    if let Leased::Own(lease) = leased {
                        tokio::spawn(postgres::restore(lease));
                    }
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
        } else {
            pipeline.settings.frames()
        };
        let order = Order { pipeline, settings: &settings, limits: &config.limits, metrics: metrics.clone() };
        let along = matches!(leased, Leased::Along(_));
        let mut exchange = match leased {
            Leased::Own(lease) => Exchange::new(lease, order, fresh),
            Leased::Along(ride) => Exchange::along(ride, order),
        };
        let first = within(*deadline, exchange.next()).await;
        *execute = started.elapsed();
        match first.ok_or_else(deadline_exceeded)? {
            Ok(Part::Last(_)) if !settings.is_empty() && exchange.was_misplaced() => together = false,
            Ok(part) => return Ok((exchange, part)),
            Err(Broken::Unsent { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                // It has waited for its turn already.
                again = along;
                metrics.shared_in_vain.add(u64::from(along));
            }
            Err(Broken::Outdated) if !fresh => fresh = true,
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
