//! What a client counts, and what an observer hears of each call.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::sync::{Arc, Mutex};

use onetrip::metrics::{Ended, Observer, Span, Started, Value};
use onetrip::{Client, Config, Kind};
use onetrip_tests::Stack;

/// The calls that have ended.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Call>>>);

/// A span's name, its attributes at its beginning and at its end, and the end itself.
type Call = (String, Vec<String>, Ended);

impl Observer for Heard {
    fn begin(&self, started: &Started<'_>) -> Option<Box<dyn Span>> {
        let attributes = started.attributes().map(shown).collect();
        Some(Box::new(Open { heard: self.clone(), name: started.span_name(), attributes }))
    }
}

struct Open {
    heard: Heard,
    name: String,
    attributes: Vec<String>,
}

impl Span for Open {
    fn end(mut self: Box<Self>, ended: &Ended) {
        self.attributes.extend(ended.attributes().map(shown));
        self.heard.0.lock().unwrap().push((self.name, self.attributes, ended.clone()));
    }
}

fn shown((name, value): (&'static str, Value<'_>)) -> String {
    match value {
        Value::Text(text) => format!("{name}={text}"),
        Value::Integer(number) => format!("{name}={number}"),
    }
}

#[tokio::test]
async fn each_call_is_counted_and_told_without_its_sql() {
    let stack = Stack::start("").await;
    let config: Config = stack.gateway.url().parse().unwrap();
    let heard = Heard::default();
    let client = Client::new(config.observer(heard.clone()));

    client.query("select 'secret value' from generate_series(1, 3)", &[]).await.unwrap();
    let failed = client.query("select secret_value from nowhere", &[]).await.unwrap_err();
    client.batch().statement("select 1", &[]).statement("select 2", &[]).commit().await.unwrap();
    let hasty = client.timeout(std::time::Duration::from_millis(100));
    hasty.query("select pg_sleep(30)", &[]).await.unwrap_err();
    client.query_raw("select 1", std::iter::empty::<&str>()).await.map(drop).unwrap();

    let calls = heard.0.lock().unwrap().clone();
    let database = &stack.database.name;
    let names: Vec<&str> = calls.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["SELECT", "SELECT", &format!("BATCH {database}"), "SELECT", "SELECT"]);
    let expected = |more: &[&str]| {
        let address = stack.gateway.address();
        let mut all = vec!["db.system.name=postgresql".to_owned(), format!("db.namespace={database}")];
        all.extend([format!("server.address={}", address.ip()), format!("server.port={}", address.port())]);
        all.extend(more.iter().map(|attribute| (*attribute).to_owned()));
        all
    };
    for ((_, attributes, _), more) in calls.iter().zip([
        &["db.query.summary=SELECT", "db.response.returned_rows=3"][..],
        &[
            "db.query.summary=SELECT",
            "db.response.returned_rows=0",
            "db.response.status_code=42P01",
            "error.type=42P01",
        ],
        &["db.operation.name=BATCH", "db.operation.batch.size=2", "db.response.returned_rows=2"],
        &["db.query.summary=SELECT", "db.response.returned_rows=0", "error.type=timeout"],
        &["db.query.summary=SELECT", "db.response.returned_rows=1", "error.type=cancelled"],
    ]) {
        assert_eq!(*attributes, expected(more));
    }
    assert!(!format!("{calls:?}").contains("secret"), "{calls:?}");

    let metrics = client.metrics();
    assert_eq!((metrics.calls, metrics.cancelled, metrics.requests, metrics.rows), (4, 1, 5, 6));
    assert_eq!(
        (metrics.failures(Kind::Sql), metrics.failures(Kind::Timeout), metrics.failures(Kind::Lost)),
        (1, 1, 0)
    );
    assert_eq!(failed.kind(), Kind::Sql);
    let sum = |value: fn(&Ended) -> u64| calls.iter().map(|(_, _, ended)| value(ended)).sum::<u64>();
    assert_eq!(metrics.bytes_sent, sum(|ended| ended.bytes_sent));
    assert_eq!(metrics.bytes_received, sum(|ended| ended.bytes_received));
    assert!(metrics.server.execute_us > 0, "the endpoint's Server-Timing was read");
}
