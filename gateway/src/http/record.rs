//! What is known of one request when it is over: counted, timed, and said in one line of the log.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::HeaderMap;
use onetrip_wire::problem::Code;

use crate::failure::Failure;
use crate::metrics::{DatabaseMetrics, observe_some};
use crate::pool::Timing;
use crate::postgres::Summary;
use crate::server::{InFlight, Served};

/// A request, from its head to the last byte of its answer. Dropping it counts and logs it.
pub(crate) struct Record {
    in_flight: InFlight,
    id: String,
    trace_id: Option<String>,
    log_requests: bool,
    started: Instant,
    database: Option<(String, Arc<DatabaseMetrics>)>,
    role: String,
    status: StatusCode,
    timing: Timing,
    execute: Duration,
    outcome: Outcome,
    /// How a streamed answer ended.
    ending: Option<Arc<OnceLock<Ending>>>,
    summary: Summary,
    request_bytes: usize,
    response_bytes: u64,
}

/// What became of a request.
enum Outcome {
    /// Nothing yet; if it stays so, the client went away.
    Open,
    /// The answer is complete.
    Answered,
    /// It ended before PostgreSQL's answer.
    Refused { code: Code, sqlstate: Option<String>, cause: Option<String> },
}

/// How a streamed answer ended, by who read it from PostgreSQL.
pub(super) struct Ending {
    pub(super) summary: Summary,
    /// Why it was cut, if it was.
    pub(super) cut: Option<&'static str>,
}

impl Record {
    pub(super) fn begin(in_flight: InFlight, served: &Served, headers: &HeaderMap) -> Record {
        Record {
            id: in_flight.shared().request_id(),
            in_flight,
            trace_id: headers.get("traceparent").and_then(|value| trace_id(value.as_bytes())),
            log_requests: served.config.log_requests,
            started: Instant::now(),
            database: None,
            role: String::new(),
            status: StatusCode::OK,
            timing: Timing::default(),
            execute: Duration::ZERO,
            outcome: Outcome::Open,
            ending: None,
            summary: Summary::default(),
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    /// The request's name in the log.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn database(&mut self, name: String, metrics: Arc<DatabaseMetrics>) {
        self.database = Some((name, metrics));
    }

    pub(super) fn role(&mut self, role: &str) {
        role.clone_into(&mut self.role);
    }

    pub(super) fn request_bytes(&mut self, bytes: usize) {
        self.request_bytes = bytes;
    }

    pub(super) fn timing(&mut self, timing: Timing, execute: Duration) {
        (self.timing, self.execute) = (timing, execute);
    }

    pub(super) fn status(&mut self, status: StatusCode) {
        self.status = status;
    }

    pub(super) fn summary(&mut self, summary: Summary) {
        self.summary = summary;
    }

    /// Where whoever streams the answer says how it ended.
    pub(super) fn ending(&mut self) -> Arc<OnceLock<Ending>> {
        self.ending.get_or_insert_default().clone()
    }

    pub(super) fn refused(&mut self, failure: Failure) {
        let Failure { code, sqlstate, cause, .. } = failure;
        self.outcome = Outcome::Refused { code, sqlstate, cause };
    }

    /// The answer is complete, except for what is sent of it.
    pub(super) fn answered(&mut self) {
        if let Outcome::Open = self.outcome {
            self.outcome = Outcome::Answered;
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.response_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    fn count(&self, taken: Duration) {
        let Some((_, metrics)) = &self.database else {
            if let Outcome::Refused { code, .. } = &self.outcome {
                self.in_flight.shared().metrics.refused.add(*code);
            }
            return;
        };
        match &self.outcome {
            Outcome::Answered => metrics.answered.add(1),
            Outcome::Refused { code, .. } => metrics.refused.add(*code),
            Outcome::Open => metrics.cut.add(1),
        }
        metrics.request.observe(taken);
        // Refused before anything was waited for: no observation, so that refusals do not hide how long waits are.
        if self.execute > Duration::ZERO || self.timing.queue > Duration::ZERO {
            metrics.queue.observe(self.timing.queue);
        }
        observe_some(&metrics.execute, self.execute);
        metrics.request_bytes.add(u64::try_from(self.request_bytes).unwrap_or(u64::MAX));
        metrics.response_bytes.add(self.response_bytes);
        metrics.rows.add(self.summary.rows);
    }

    fn log(&self, taken: Duration) {
        macro_rules! line {
            ($level:ident, $message:literal $(, $field:ident)*) => {
                tracing::$level!(
                    request_id = self.id.as_str(),
                    trace_id = self.trace_id.as_deref(),
                    database = self.database.as_ref().map(|(name, _)| name.as_str()),
                    role = (!self.role.is_empty()).then_some(self.role.as_str()),
                    status = self.status.as_u16(),
                    $($field,)*
                    rows = self.summary.rows,
                    request_bytes = self.request_bytes,
                    response_bytes = self.response_bytes,
                    duration_ms = ms(taken),
                    queue_ms = ms(self.timing.queue),
                    connect_ms = ms(self.timing.connect),
                    execute_ms = ms(self.execute),
                    $message
                )
            };
        }
        let sqlstate = self.summary.sqlstate.as_deref();
        match &self.outcome {
            Outcome::Answered if self.log_requests => line!(info, "a request was answered", sqlstate),
            Outcome::Answered => line!(debug, "a request was answered", sqlstate),
            Outcome::Open => {
                let ending = self.ending.as_ref().and_then(|ending| ending.get());
                let why = ending.and_then(|ending| ending.cut).unwrap_or("the client went away");
                line!(info, "an answer was cut", why, sqlstate);
            }
            Outcome::Refused { code: failed, sqlstate, cause } => {
                let (code, sqlstate, cause) = (failed.name(), sqlstate.as_deref(), cause.as_deref());
                match failed {
                    Code::Internal => line!(error, "a request failed", code, sqlstate, cause),
                    Code::DatabaseUnreachable | Code::ConnectionLost => {
                        line!(warn, "a request failed", code, sqlstate, cause);
                    }
                    _ => line!(info, "a request failed", code, sqlstate, cause),
                }
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.as_ref().and_then(|ending| ending.get()) {
            self.summary = ending.summary.clone();
        }
        let taken = self.started.elapsed();
        self.count(taken);
        self.log(taken);
    }
}

/// Milliseconds with three digits behind the point.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The trace id of a `traceparent` header (W3C Trace Context, section 3.2.2); `None` where it is none.
fn trace_id(header: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(header).ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let zeros = |text: &str| text.bytes().all(|byte| byte == b'0');
    let whole = hex(trace, 32) && !zeros(trace) && hex(parent, 16) && !zeros(parent) && hex(flags, 2);
    (known && whole).then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_from_a_whole_traceparent_only() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for (header, expected) in [
            (format!("00-{trace}-{parent}-01"), Some(trace)),
            (format!("cc-{trace}-{parent}-01-what-later-versions-add"), Some(trace)),
            (format!("00-{trace}-{parent}-01-more"), None),
            (format!("ff-{trace}-{parent}-01"), None),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), None),
            (format!("00-{}-{parent}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{trace}-{parent}"), None),
            (format!("00-{trace}0-{parent}-01"), None),
            ("\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(trace_id(header.as_bytes()).as_deref(), expected, "{header}");
        }
    }
}
