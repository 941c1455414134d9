//! The driver behind a transport that answers with the bytes of the fuzzer: whatever comes, no value of it panics.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use onetrip::neon::Neon;
use onetrip::transport::{BoxFuture, Clock, Failure, Request, Response, Transport};
use onetrip::types::FromSql;
use onetrip::{Client, Config, FromRow, Numeric, Row};

/// Answers everything with these bytes.
struct Answer(u16, &'static str, Vec<u8>);

impl Transport for Answer {
    fn send(&self, _request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let headers = vec![("content-type", self.1.to_owned())];
        Box::pin(async move { Ok(Response::whole(self.0, headers, self.2.clone())) })
    }

    fn clock(&self) -> &dyn Clock {
        self
    }
}

impl Clock for Answer {
    fn now_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _milliseconds: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u32 {
        0
    }
}

/// The output of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the answer was there and the client waits"),
    }
}

/// An answer of onetrip's endpoint.
pub fn driver(data: &[u8]) {
    let config: Config = "https://app:secret@db.example.com/shop".parse().expect("a valid URL");
    let config = config.policy(onetrip::policy::Policy::default().attempts(1));
    let answer = Answer(200, "application/vnd.onetrip.pgwire", data.to_vec());
    let client = Client::with_transport(config, answer);
    for row in now(client.query("select 1", &[])).unwrap_or_default() {
        read(&row);
    }
    if let Ok(mut rows) = now(client.query_raw("select 1", std::iter::empty::<&str>())) {
        while let Some(Ok(row)) = now(rows.next()) {
            read(&row);
        }
    }
    let _ = now(client.batch().read_only(true).statement("select 1", &[]).commit());
    let _ = now(client.batch_execute("select 1"));
}

/// An answer of a Neon-compatible endpoint; the first byte chooses its status.
pub fn neon(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else { return };
    let status = [200, 400, 401, 413, 429, 500][usize::from(first) % 6];
    let answer = || Answer(status, "application/json", body.to_vec());
    let (connection_string, url) = ("postgresql://app:secret@db.example.com/shop", "https://db.example.com/sql");
    let config = onetrip::neon::config(connection_string, url).expect("a valid connection string");
    let config = config.policy(onetrip::policy::Policy::default().attempts(1));
    let client = Client::with_transport(config, Neon::new(connection_string, url, answer()));
    for row in now(client.query("select $1", &[&1.5f64])).unwrap_or_default() {
        read(&row);
    }
    let batch = client.batch().statement("select 1", &[]).statement("select 2", &[]);
    for result in now(batch.commit()).unwrap_or_default() {
        result.rows().iter().for_each(read);
    }
}

/// Asks a row for everything that there is to ask for.
fn read(row: &Row) {
    fn all<'a, T: FromSql<'a>>(row: &'a Row) {
        for at in 0..row.len() {
            let _ = row.try_get::<_, Option<T>>(at);
        }
    }
    all::<bool>(row);
    all::<i8>(row);
    all::<i16>(row);
    all::<i32>(row);
    all::<i64>(row);
    all::<u32>(row);
    all::<f32>(row);
    all::<f64>(row);
    all::<&str>(row);
    all::<&[u8]>(row);
    all::<Numeric>(row);
    all::<IpAddr>(row);
    all::<SystemTime>(row);
    all::<DateTime<Utc>>(row);
    all::<NaiveDateTime>(row);
    all::<NaiveDate>(row);
    all::<NaiveTime>(row);
    all::<uuid::Uuid>(row);
    all::<serde_json::Value>(row);
    all::<HashMap<String, Option<String>>>(row);
    all::<Vec<Option<i32>>>(row);
    all::<Vec<String>>(row);
    all::<Vec<Vec<u8>>>(row);
    all::<Vec<Numeric>>(row);
    let _ = <(i32, &str)>::from_row(row);
    let _ = row.deserialize::<serde_json::Value>();
    let _ = row.deserialize::<BTreeMap<String, Option<String>>>();
}

/// Answers to start from: each built-in type that has a text form, as one value.
pub fn neon_seeds() -> Vec<Vec<u8>> {
    let values = [
        (16, "t"),
        (17, "\\\\x00ff"),
        (18, "a"),
        (20, "-9223372036854775808"),
        (701, "-1.5e-300"),
        (869, "10.0.0.0/8"),
        (829, "08:00:2b:01:02:03"),
        (600, "(1,2)"),
        (604, "((1,2),(3,4))"),
        (1007, "[0:1]={1,NULL}"),
        (1009, "{a,\\\"b\\\",NULL}"),
        (1020, "{(1,1),(0,0);(2,2),(1,1)}"),
        (1082, "0044-03-15 BC"),
        (1083, "24:00:00"),
        (1114, "infinity"),
        (1184, "2024-02-29 12:34:56.789+05:30"),
        (1186, "1 year 2 mons -3 days 04:05:06.789"),
        (1266, "12:34:56-05:30"),
        (1562, "10110"),
        (1700, "-12.50"),
        (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (3220, "16/B374D848"),
        (3802, "{}"),
        (3904, "[1,5)"),
        (4451, "{[1,5),[7,)}"),
        (99_999, "happy"),
    ];
    let seed = |(oid, text): (u32, &str)| {
        let json = format!(
            "\0{{\"fields\":[{{\"name\":\"a\",\"dataTypeID\":{oid}}}],\"rows\":[[\"{text}\"],[null]],\"command\":\"SELECT\",\"rowCount\":2}}"
        );
        json.into_bytes()
    };
    values.into_iter().map(seed).collect()
}
