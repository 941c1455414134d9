//! What calls cost and what became of them: counters, and hooks for spans with OpenTelemetry's names.
//!
//! [`Client::metrics`](crate::Client::metrics) gives the counters. An [`Observer`] set by
//! [`Config::observer`](crate::Config::observer) is told of each call when it begins and when it ends, with the attributes
//! of OpenTelemetry's conventions for databases; what it makes of them is its own, so this crate depends on no telemetry.
//! Neither ever sees SQL, parameters, values or credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use onetrip_wire::frame::HEADER_LEN;

use crate::answer::Shape;
use crate::exchange::{Endpoint, Pipeline};
use crate::{Config, Error, Kind};

/// The counters of a client and its clones, since it was made.
///
/// # Examples
/// ```
/// let client = onetrip::Client::connect("https://app:secret@db.example.com/shop")?;
/// let metrics = client.metrics();
/// assert_eq!((metrics.calls, metrics.failures(onetrip::Kind::Timeout)), (0, 0));
/// # Ok::<(), onetrip::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Calls that ended: queries, batches, scripts, streams.
    pub calls: u64,
    /// Calls that were dropped before they ended, streams among them.
    pub cancelled: u64,
    /// HTTP requests; what is over the number of calls was sent again.
    pub requests: u64,
    /// Rows received.
    pub rows: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// Milliseconds from the beginning of calls to their end, together. In a Worker the clock stands still during
    /// computation, so this is time spent waiting.
    pub duration_ms: u64,
    /// What the endpoint says of its own time (`Server-Timing`), together.
    pub server: ServerTiming,
    failures: [u64; KINDS],
}

impl Metrics {
    /// Calls that failed with an error of this class. Errors in reading values are none of a call.
    pub fn failures(&self, kind: Kind) -> u64 {
        self.failures.get(kind as usize).copied().unwrap_or_default()
    }
}

/// What an endpoint says of its own time, in microseconds; 0 where it says nothing.
///
/// # Examples
/// ```
/// # fn example(client: onetrip::Client) {
/// use onetrip::metrics::ServerTiming;
/// let ServerTiming { queue_us, connect_us, execute_us, .. } = client.metrics().server;
/// println!("waited {queue_us}, logged in {connect_us}, PostgreSQL {execute_us} µs");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTiming {
    /// Waiting for a connection to PostgreSQL.
    pub queue_us: u64,
    /// Logging in to PostgreSQL; 0 on a warm connection.
    pub connect_us: u64,
    /// Until PostgreSQL's first byte.
    pub execute_us: u64,
}

impl ServerTiming {
    /// Reads the header: `queue;dur=0.1, connect;dur=0, execute;dur=1.25`. What it does not know it leaves out.
    fn parse(header: &str) -> ServerTiming {
        let mut timing = ServerTiming::default();
        let mut unknown = 0;
        let mut place = &mut unknown;
        let mut rest = header;
        while !rest.is_empty() {
            let end = rest.bytes().position(|byte| matches!(byte, b',' | b';')).unwrap_or(rest.len());
            let part = rest.get(..end).unwrap_or_default().trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            match part {
                "queue" => place = &mut timing.queue_us,
                "connect" => place = &mut timing.connect_us,
                "execute" => place = &mut timing.execute_us,
                _ => match part.strip_prefix("dur=") {
                    Some(duration) => *place = microseconds(duration).unwrap_or(0),
                    None if part.bytes().any(|byte| byte == b'=') => {}
                    None => place = &mut unknown,
                },
            }
        }
        timing
    }
}

/// Decimal milliseconds, without core's parser of floats, which is large in wasm. What is less than a microsecond is cut off.
fn microseconds(text: &str) -> Option<u64> {
    let mut number = 0;
    let mut is_fraction = false;
    let mut places_left = 3;
    for byte in text.bytes() {
        if byte == b'.' && !is_fraction {
            is_fraction = true;
            continue;
        }
        let digit = Some(byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)?;
        if places_left > 0 {
            // With a digit more, and then in microseconds, it still fits.
            number = Some(number).filter(|&number| number < u64::MAX / 100_000)? * 10 + u64::from(digit);
            places_left -= i32::from(is_fraction);
        }
    }
    for _ in 0..places_left {
        number *= 10;
    }
    Some(number)
}

/// Hears of every call of a client.
///
/// # Examples
/// A log line for each call:
/// ```
/// use onetrip::metrics::{Ended, Observer, Span, Started};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn begin(&self, started: &Started<'_>) -> Option<Box<dyn Span>> {
///         let attributes: Vec<String> =
///             started.attributes().map(|(name, value)| format!("{name}={value:?}")).collect();
///         Some(Box::new(Line(format!("{} {}", started.span_name(), attributes.join(" ")))))
///     }
/// }
///
/// struct Line(String);
///
/// impl Span for Line {
///     fn end(self: Box<Self>, ended: &Ended) {
///         println!("{} {} ms, {} rows, error: {:?}", self.0, ended.duration_ms, ended.rows, ended.error_type());
///     }
/// }
///
/// let config: onetrip::Config = "https://app:secret@db.example.com/shop".parse()?;
/// let client = onetrip::Client::new(config.observer(Log));
/// # Ok::<(), onetrip::Error>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A call begins: before its first attempt. `None` where it is of no interest.
    fn begin(&self, started: &Started<'_>) -> Option<Box<dyn Span>>;
}

/// One call, from its beginning to its end.
pub trait Span: Send {
    /// The call has ended, or was dropped.
    fn end(self: Box<Self>, ended: &Ended);
}

/// The value of an attribute.
///
/// # Examples
/// ```
/// use onetrip::metrics::Value;
/// fn text(value: Value<'_>) -> String {
///     match value {
///         Value::Text(text) => text.to_owned(),
///         Value::Integer(number) => number.to_string(),
///     }
/// }
/// assert_eq!((text(Value::Text("SELECT")), text(Value::Integer(5432))), ("SELECT".into(), "5432".into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
}

/// A call that begins.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Started<'a> {
    /// The name of the database in the endpoint's configuration.
    pub database: &'a str,
    /// The endpoint's host.
    pub server_address: &'a str,
    /// The endpoint's port: that of the URL, or that of its scheme.
    pub server_port: Option<u16>,
    /// The command of one statement, as `SELECT`, empty where it is none of the usual ones; `BATCH` for several statements.
    pub operation: &'static str,
    /// How many statements it sends.
    pub statements: usize,
}

impl<'a> Started<'a> {
    /// The name of the span, as the conventions make it: the summary of one statement, else the operation and the database.
    pub fn span_name(&self) -> String {
        match self.operation {
            "" => self.database.to_owned(),
            BATCH => format!("{BATCH} {}", self.database),
            summary => summary.to_owned(),
        }
    }

    /// The attributes by their names in OpenTelemetry's semantic conventions for PostgreSQL, stable since 1.33. A command that
    /// is read from SQL is a `db.query.summary` there; `db.query.text` is left out, and so is the schema in `db.namespace`,
    /// for no session lasts.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, Value<'a>)> {
        let port = self.server_port.map(|port| ("server.port", Value::Integer(port.into())));
        let operation = match self.operation {
            "" => None,
            BATCH => Some(("db.operation.name", Value::Text(BATCH))),
            summary => Some(("db.query.summary", Value::Text(summary))),
        };
        let batch = Some(self.statements).filter(|&statements| statements > 1);
        [
            Some(("db.system.name", Value::Text("postgresql"))),
            Some(("db.namespace", Value::Text(self.database))),
            Some(("server.address", Value::Text(self.server_address))),
            port,
            operation,
            batch.map(|size| {
                ("db.operation.batch.size", Value::Integer(i64::try_from(size).unwrap_or(i64::MAX)))
            }),
        ]
        .into_iter()
        .flatten()
    }
}

/// A call that has ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Ended {
    /// Milliseconds since its beginning.
    pub duration_ms: u64,
    /// How many HTTP requests it took.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_sent: u64,
    /// Bytes of the answers.
    pub bytes_received: u64,
    /// Rows received.
    pub rows: u64,
    /// What the endpoint says of its own time.
    pub server: ServerTiming,
    /// The class of its error.
    pub error: Option<Kind>,
    /// The SQLSTATE of its error.
    pub sqlstate: Option<String>,
    /// Whether it was dropped before its end.
    pub cancelled: bool,
}

impl Ended {
    /// The class of the error as a word of few values: the SQLSTATE, or the name of the [`Kind`] in lower case.
    pub fn error_type(&self) -> Option<&str> {
        if self.cancelled {
            return Some("cancelled");
        }
        Some(match (self.sqlstate.as_deref(), self.error?) {
            (Some(sqlstate), _) => sqlstate,
            (None, Kind::Usage) => "usage",
            (None, Kind::Refused) => "refused",
            (None, Kind::Unreachable) => "unreachable",
            (None, Kind::Lost) => "lost",
            (None, Kind::Timeout) => "timeout",
            (None, Kind::Protocol) => "protocol",
            (None, Kind::Sql) => "sql",
            (None, Kind::TransactionLeftOpen) => "transaction_left_open",
            (None, Kind::RowCount) => "row_count",
            (None, Kind::Decode) => "decode",
        })
    }

    /// The attributes by their names in OpenTelemetry's semantic conventions.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let rows = Value::Integer(i64::try_from(self.rows).unwrap_or(i64::MAX));
        [
            Some(("db.response.returned_rows", rows)),
            self.sqlstate.as_deref().map(|sqlstate| ("db.response.status_code", Value::Text(sqlstate))),
            self.error_type().map(|error| ("error.type", Value::Text(error))),
        ]
        .into_iter()
        .flatten()
    }
}

/// One more than the last of [`Kind`].
const KINDS: usize = Kind::Decode as usize + 1;

/// The counters as they are kept.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    cancelled: AtomicU64,
    requests: AtomicU64,
    rows: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    duration_ms: AtomicU64,
    server: [AtomicU64; 3],
    failures: [AtomicU64; KINDS],
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [queue_us, connect_us, execute_us] = self.server.each_ref().map(read);
        Metrics {
            calls: read(&self.calls),
            cancelled: read(&self.cancelled),
            requests: read(&self.requests),
            rows: read(&self.rows),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            duration_ms: read(&self.duration_ms),
            server: ServerTiming { queue_us, connect_us, execute_us },
            failures: self.failures.each_ref().map(read),
        }
    }

    fn count(&self, ended: &Ended) {
        let add = |counter: &AtomicU64, number: u64| counter.fetch_add(number, Ordering::Relaxed);
        add(if ended.cancelled { &self.cancelled } else { &self.calls }, 1);
        add(&self.requests, ended.requests);
        add(&self.rows, ended.rows);
        add(&self.bytes_sent, ended.bytes_sent);
        add(&self.bytes_received, ended.bytes_received);
        add(&self.duration_ms, ended.duration_ms);
        let ServerTiming { queue_us, connect_us, execute_us } = ended.server;
        for (counter, number) in self.server.iter().zip([queue_us, connect_us, execute_us]) {
            add(counter, number);
        }
        if let Some(counter) = ended.error.and_then(|kind| self.failures.get(kind as usize)) {
            add(counter, 1);
        }
    }
}

/// What a call of several statements does.
const BATCH: &str = "BATCH";

/// The command that a call begins with, one of the usual ones: telemetry wants few values.
fn operation(pipeline: &Pipeline) -> &'static str {
    const USUAL: [&str; 9] =
        ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES", "CALL", "CREATE"];
    match pipeline.expected.shape {
        Shape::Batch(1) | Shape::Statement | Shape::Stream | Shape::Script => {}
        Shape::Batch(_) | Shape::Transaction(_) => return BATCH,
    }
    // A Query's text stands behind its header, a Parse's behind the statement's name, which is empty.
    let text = pipeline.frames.get(HEADER_LEN..).unwrap_or_default();
    let sql = text.strip_prefix(b"\0").unwrap_or(text);
    let start = sql.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(sql.len());
    let word = sql.get(start..).unwrap_or_default();
    let end = word.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(word.len());
    let word = word.get(..end).unwrap_or_default();
    USUAL.into_iter().find(|usual| word.eq_ignore_ascii_case(usual.as_bytes())).unwrap_or("")
}

/// An observer and how it is told of a call: by a pointer, so that a program without one has none of it.
#[derive(Clone)]
pub(crate) struct Watch {
    observer: Arc<dyn Observer>,
    begin: Begin,
    failed: Failed,
}

/// Notes what a span tells of an error and a counter does not.
type Failed = fn(&mut Ended, &Error);

type Begin = fn(&Watch, &Config, &Pipeline) -> Option<Box<dyn Span>>;

impl Watch {
    pub(crate) fn new(observer: impl Observer) -> Watch {
        Watch { observer: Arc::new(observer), begin: Watch::begin, failed: Watch::failed }
    }

    fn failed(ended: &mut Ended, error: &Error) {
        ended.sqlstate = error.code().map(str::to_owned);
    }

    fn begin(&self, config: &Config, pipeline: &Pipeline) -> Option<Box<dyn Span>> {
        let (server_address, server_port) = config.host();
        let (database, operation) = (config.database(), operation(pipeline));
        let statements = match pipeline.expected.shape {
            Shape::Batch(count) | Shape::Transaction(count) => count,
            Shape::Statement | Shape::Stream | Shape::Script => 1,
        };
        self.observer.begin(&Started { database, server_address, server_port, operation, statements })
    }
}

/// A call that is being counted. Dropping it counts it as cancelled.
pub(crate) struct Call {
    endpoint: Arc<Endpoint>,
    span: Option<Box<dyn Span>>,
    start_ms: u64,
    ended: Ended,
}

impl Call {
    pub(crate) fn begin(endpoint: Arc<Endpoint>, pipeline: &Pipeline, start_ms: u64) -> Call {
        let config = endpoint.config();
        let span = config.observer.as_ref().and_then(|watch| (watch.begin)(watch, config, pipeline));
        Call { endpoint, span, start_ms, ended: Ended { cancelled: true, ..Ended::default() } }
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.ended.requests += 1;
        self.ended.bytes_sent += bytes as u64;
    }

    pub(crate) fn answered(&mut self, server_timing: &str) {
        self.ended.server = ServerTiming::parse(server_timing);
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.ended.bytes_received += bytes as u64;
    }

    pub(crate) fn rows(&mut self, rows: usize) {
        self.ended.rows += rows as u64;
    }

    pub(crate) fn end(&mut self, now_ms: u64, error: Option<&Error>) {
        self.ended.cancelled = false;
        self.ended.duration_ms = now_ms.saturating_sub(self.start_ms);
        if let Some(error) = error {
            self.ended.error = Some(error.kind());
            if let Some(watch) = &self.endpoint.config().observer {
                (watch.failed)(&mut self.ended, error);
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.endpoint.counters().count(&self.ended);
        if let Some(span) = self.span.take() {
            span.end(&self.ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use onetrip_wire::frontend;

    use super::*;
    use crate::answer::Expected;
    use crate::effect::Effect;

    #[test]
    fn server_timing_is_read_in_any_order_and_what_is_none_is_left_out() {
        for (header, expected) in [
            ("queue;dur=0.1, connect;dur=12, execute;dur=1.2345", (100, 12_000, 1_234)),
            ("execute;desc=\"x\";dur=7.5,cache;dur=9", (0, 0, 7_500)),
            ("queue, connect;dur=x, execute;dur=1.x", (0, 0, 0)),
            ("queue;dur=99999999999999999999", (0, 0, 0)),
            ("", (0, 0, 0)),
        ] {
            let timing = ServerTiming::parse(header);
            assert_eq!((timing.queue_us, timing.connect_us, timing.execute_us), expected, "{header}");
        }
    }

    #[test]
    fn an_operation_is_one_of_few() {
        for (sql, expected) in
            [(" select 1", "SELECT"), ("Insert into t", "INSERT"), ("vacuum", ""), ("", ""), ("selects", "")]
        {
            let pipeline = |frames: Vec<u8>, shape| {
                let expected = Expected { shape, effect: Effect::of(sql) };
                Pipeline { frames: frames.into(), expected }
            };
            let mut statement = Vec::new();
            crate::parameter::statement(&mut statement, sql, [], &[]).unwrap();
            assert_eq!(operation(&pipeline(statement.clone(), Shape::Statement)), expected, "{sql}");
            assert_eq!(operation(&pipeline(statement.clone(), Shape::Batch(1))), expected, "{sql}");
            assert_eq!(operation(&pipeline(statement, Shape::Batch(2))), BATCH, "{sql}");
            let mut script = Vec::new();
            frontend::query(&mut script, sql).unwrap();
            assert_eq!(operation(&pipeline(script, Shape::Script)), expected, "{sql}");
        }
    }
}
