//! What the endpoint counts. On the way of a request these are atomics; the text for Prometheus is made when it is asked for.

mod exposition;
mod histogram;
mod process;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use onetrip_wire::problem::Code;

pub(crate) use exposition::{Exposition, Kind, MEDIA_TYPE};
pub(crate) use histogram::Histogram;
pub(crate) use process::process;

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that exist at this moment.
#[derive(Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    /// Counts one until the guard is dropped.
    pub(crate) fn one(&self) -> One<'_> {
        self.add(1);
        One(self)
    }

    pub(crate) fn count(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thing that a [`Gauge`] counts.
pub(crate) struct One<'a>(&'a Gauge);

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Requests that ended before PostgreSQL's answer, by the code of their problem.
#[derive(Default)]
pub(crate) struct Refusals([Counter; Code::ALL.len()]);

impl Refusals {
    pub(crate) fn add(&self, code: Code) {
        let place = Code::ALL.iter().position(|known| *known == code);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.add(1);
        }
    }

    /// Writes the samples of a family; `database` is empty for requests that named none.
    fn write(&self, text: &mut Exposition, database: &str) {
        for (code, counter) in Code::ALL.iter().zip(&self.0).filter(|(_, counter)| counter.count() > 0) {
            text.sample(REFUSALS, &[("database", database), ("code", code.name())], counter.count());
        }
    }
}

/// What is counted of the endpoint as a whole.
#[derive(Default)]
pub(crate) struct EndpointMetrics {
    /// Connections of clients.
    pub(crate) connections: Gauge,
    /// Requests that named no database of the configuration.
    pub(crate) refused: Refusals,
    /// Reloads that took effect, and those that did not.
    pub(crate) reloads: [Counter; 2],
}

/// One for each class of SQLSTATEs, and one for those that PostgreSQL's manual does not know.
struct SqlErrors([Counter; SQLSTATE_CLASSES.len() + 1]);

impl Default for SqlErrors {
    fn default() -> SqlErrors {
        SqlErrors(std::array::from_fn(|_| Counter::default()))
    }
}

/// What is counted of one database. It outlives a reload that changes the database's settings.
#[derive(Default)]
pub(crate) struct DatabaseMetrics {
    /// Requests that PostgreSQL has answered, in whole.
    pub(crate) answered: Counter,
    /// Answers that ended before they were complete.
    pub(crate) cut: Counter,
    /// Requests that ended before PostgreSQL's answer.
    pub(crate) refused: Refusals,
    /// ErrorResponses that PostgreSQL put into answers.
    sql_errors: SqlErrors,
    /// From the head of a request to the last byte of its answer.
    pub(crate) request: Histogram,
    /// Waiting for a connection.
    pub(crate) queue: Histogram,
    /// Logging in to PostgreSQL; its count is that of the logins that were tried.
    pub(crate) connect: Histogram,
    /// From sending a pipeline to the first part of its answer.
    pub(crate) execute: Histogram,
    /// Requests that were sent in the flight of another one, and those of them that had to be sent again.
    pub(crate) shared: Counter,
    pub(crate) shared_in_vain: Counter,
    /// Logins that failed.
    pub(crate) failed_logins: Counter,
    /// Requests that wait for a connection, or log in for one.
    pub(crate) waiting: Gauge,
    /// Connections that serve a request or are on their way back to their pool.
    pub(crate) in_use: Gauge,
    /// Bodies of requests, as they came.
    pub(crate) request_bytes: Counter,
    /// Bodies of answers, as they were sent.
    pub(crate) response_bytes: Counter,
    /// DataRows in answers.
    pub(crate) rows: Counter,
    /// Statements that were found prepared on their connection, that were parsed where they could be kept, and that did
    /// not fit the database any longer.
    pub(crate) statements_prepared: Counter,
    pub(crate) statements_parsed: Counter,
    pub(crate) statements_outdated: Counter,
    /// Requests that were cancelled because nobody waited for them any longer, or their deadline had passed.
    pub(crate) cancelled: Counter,
}

impl DatabaseMetrics {
    /// Counts an ErrorResponse by the class of its SQLSTATE. A statement can raise any class, so those that PostgreSQL's
    /// manual does not know are one.
    pub(crate) fn sql_error(&self, sqlstate: &str) {
        let class = sqlstate.get(..2).unwrap_or_default();
        let place = SQLSTATE_CLASSES.binary_search(&class).unwrap_or(SQLSTATE_CLASSES.len());
        if let Some(counter) = self.sql_errors.0.get(place) {
            counter.add(1);
        }
    }
}

/// What the pools of a database hold at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Occupancy {
    /// Roles that have a pool.
    pub(crate) pools: usize,
    /// Connections that wait for a request.
    pub(crate) idle: usize,
    /// The most connections that these pools may open.
    pub(crate) most: usize,
}

/// The name of a family, its help, and where its value is.
type Family<F> = (&'static str, &'static str, F);
type Of<T> = fn(&DatabaseMetrics) -> &T;
type Count = fn(&DatabaseMetrics, &Occupancy) -> i64;

/// Writes what is counted of the databases, each with its name.
pub(crate) fn databases(
    text: &mut Exposition,
    nameless: &Refusals,
    all: &[(&str, &DatabaseMetrics, Occupancy)],
) {
    let counters: [Family<Of<Counter>>; 12] = [
        ("onetrip_requests_answered_total", "Requests that PostgreSQL has answered, in whole.", |of| {
            &of.answered
        }),
        ("onetrip_answers_cut_total", "Answers that ended before they were complete.", |of| &of.cut),
        ("onetrip_logins_failed_total", "Logins to PostgreSQL that failed.", |of| &of.failed_logins),
        ("onetrip_request_bytes_total", "Bytes of the bodies of requests, as they came.", |of| {
            &of.request_bytes
        }),
        ("onetrip_response_bytes_total", "Bytes of the bodies of answers, as they were sent.", |of| {
            &of.response_bytes
        }),
        ("onetrip_rows_total", "Rows in answers.", |of| &of.rows),
        (
            "onetrip_statements_prepared_total",
            "Statements that were prepared already, so not parsed.",
            |of| &of.statements_prepared,
        ),
        ("onetrip_statements_parsed_total", "Statements that were parsed, and may be kept.", |of| {
            &of.statements_parsed
        }),
        (
            "onetrip_statements_outdated_total",
            "Prepared statements that did not fit the database any longer.",
            |of| &of.statements_outdated,
        ),
        (
            "onetrip_shared_total",
            "Requests that were sent to PostgreSQL behind another one, in the same flight on the same connection.",
            |of| &of.shared,
        ),
        (
            "onetrip_shared_in_vain_total",
            "Of these, the ones that PostgreSQL did not begin with, so that they were sent again.",
            |of| &of.shared_in_vain,
        ),
        ("onetrip_cancelled_total", "Requests that were cancelled in PostgreSQL.", |of| &of.cancelled),
    ];
    for (name, help, counter) in counters {
        text.family(name, Kind::Counter, help);
        for (database, metrics, _) in all {
            text.sample(name, &[("database", database)], counter(metrics).count());
        }
    }

    let help = "Requests that ended before PostgreSQL's answer, by the code of their problem; without a database those that named none.";
    text.family(REFUSALS, Kind::Counter, help);
    nameless.write(text, "");
    for (database, metrics, _) in all {
        metrics.refused.write(text, database);
    }

    let name = "onetrip_sql_errors_total";
    text.family(
        name,
        Kind::Counter,
        "Errors that PostgreSQL put into answers, by the class of their SQLSTATE.",
    );
    for (database, metrics, _) in all {
        let classes = SQLSTATE_CLASSES.iter().chain(&["other"]);
        for (class, counter) in classes.zip(&metrics.sql_errors.0).filter(|(_, counter)| counter.count() > 0)
        {
            text.sample(name, &[("database", database), ("class", class)], counter.count());
        }
    }

    let name = "onetrip_connections";
    text.family(name, Kind::Gauge, "Connections to PostgreSQL: serving a request or being reset, or idle.");
    for (database, metrics, occupancy) in all {
        text.sample(name, &[("database", database), ("state", "in_use")], metrics.in_use.count());
        text.sample(name, &[("database", database), ("state", "idle")], occupancy.idle);
    }
    let gauges: [Family<Count>; 3] = [
        (
            "onetrip_connections_max",
            "The most connections that the pools of the roles seen so far may open.",
            |_, of| i64::try_from(of.most).unwrap_or(i64::MAX),
        ),
        ("onetrip_pools", "Roles that have a pool.", |_, of| i64::try_from(of.pools).unwrap_or(i64::MAX)),
        ("onetrip_requests_waiting", "Requests that wait for a connection, or log in for one.", |of, _| {
            of.waiting.count()
        }),
    ];
    for (name, help, gauge) in gauges {
        text.family(name, Kind::Gauge, help);
        for (database, metrics, occupancy) in all {
            text.sample(name, &[("database", database)], gauge(metrics, occupancy));
        }
    }

    let histograms: [Family<Of<Histogram>>; 4] = [
        ("onetrip_request_seconds", "From the head of a request to the last byte of its answer.", |of| {
            &of.request
        }),
        ("onetrip_queue_seconds", "Waiting for a connection.", |of| &of.queue),
        ("onetrip_connect_seconds", "Connecting and logging in to PostgreSQL.", |of| &of.connect),
        (
            "onetrip_execute_seconds",
            "From sending a pipeline to PostgreSQL to the first part of its answer.",
            |of| &of.execute,
        ),
    ];
    for (name, help, histogram) in histograms {
        text.family(name, Kind::Histogram, help);
        for (database, metrics, _) in all {
            text.histogram(name, &[("database", database)], histogram(metrics));
        }
    }
}

/// The time of something that is counted only when it took any.
pub(crate) fn observe_some(histogram: &Histogram, duration: Duration) {
    if duration > Duration::ZERO {
        histogram.observe(duration);
    }
}

const REFUSALS: &str = "onetrip_refusals_total";

/// The classes of PostgreSQL's manual, appendix "PostgreSQL Error Codes", in their order.
const SQLSTATE_CLASSES: [&str; 43] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23",
    "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44",
    "53", "54", "55", "57", "58", "72", "F0", "HV", "P0",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_a_bounded_number_of_classes() {
        assert!(SQLSTATE_CLASSES.is_sorted());
        let metrics = DatabaseMetrics::default();
        for sqlstate in ["23505", "23503", "P0001", "XY123", "", "é"] {
            metrics.sql_error(sqlstate);
        }
        metrics.refused.add(Code::PoolTimeout);
        let mut text = Exposition::default();
        databases(&mut text, &Refusals::default(), &[("app", &metrics, Occupancy::default())]);
        let text = text.finish();
        for line in [
            "onetrip_sql_errors_total{database=\"app\",class=\"23\"} 2",
            "onetrip_sql_errors_total{database=\"app\",class=\"P0\"} 1",
            "onetrip_sql_errors_total{database=\"app\",class=\"other\"} 3",
            "onetrip_refusals_total{database=\"app\",code=\"pool_timeout\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_guard_counts_one_while_it_is_there() {
        let gauge = Gauge::default();
        let one = gauge.one();
        assert_eq!(gauge.count(), 1);
        drop(one);
        assert_eq!(gauge.count(), 0);
    }
}
