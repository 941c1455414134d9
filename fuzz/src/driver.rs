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

/// Answers everything with this status, these headers and these bytes.
struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>);

impl Answer {
    fn new(status: u16, content_type: &str, body: &[u8]) -> Answer {
        Answer(status, vec![("content-type", content_type.to_owned())], body.to_vec())
    }
}

impl Transport for Answer {
    fn send(&self, _request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move { Ok(Response::whole(self.0, self.1.clone(), self.2.clone())) })
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
    let client = client(Answer::new(200, "application/vnd.onetrip.pgwire", data));
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

fn client(answer: Answer) -> Client {
    let config: Config = "https://app:secret@db.example.com/shop".parse().expect("a valid URL");
    Client::with_transport(config.policy(onetrip::policy::Policy::default().attempts(1)), answer)
}

/// A refusal of onetrip's endpoint: a problem, and behind a zero byte the headers that speak of time.
pub fn problem(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let status = [200, 400, 401, 404, 429, 503][usize::from(first) % 6];
    let (body, header) = rest.split_at(rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len()));
    let header = String::from_utf8_lossy(header).into_owned();
    let mut answer = Answer::new(status, "application/problem+json; charset=utf-8", body);
    answer
        .1
        .extend(["retry-after", "server-timing", "onetrip-request-id"].map(|name| (name, header.clone())));
    let error = now(client(answer).query("select 1", &[])).expect_err("it is no answer with rows");
    assert!(!error.to_string().contains("secret"), "{error}");
    let (_, _) = (error.outcome(), error.is_retryable());
}

/// A URL, as a configuration has it: what is refused shows no credentials, what is taken can be asked.
pub fn config(data: &[u8]) {
    let Ok(url) = std::str::from_utf8(data) else { return };
    let Ok(config) = url.parse::<Config>() else { return };
    assert!(!config.database().is_empty() && !config.role().is_empty());
    let _ = format!("{config:?} {:?}", Client::with_transport(config.clone(), Answer::new(200, "", b"")));
}

/// An answer of a Neon-compatible endpoint; the first byte chooses its status.
pub fn neon(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else { return };
    let status = [200, 400, 401, 413, 429, 500][usize::from(first) % 6];
    let answer = || Answer::new(status, "application/json", body);
    let (connection_string, url) =
        ("postgresql://app:secret@db.example.com/shop", "https://db.example.com/sql");
    let config = onetrip::neon::config(connection_string, url).expect("a valid connection string");
    let settings = config.policy(onetrip::policy::Policy::default().attempts(1));
    let client = Client::with_transport(settings, Neon::new(connection_string, url, answer()));
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

/// Refusals to start from.
pub fn problem_seeds() -> Vec<Vec<u8>> {
    let json = r#"{"type":"about:blank","title":"\u00fc\ud83d\ude80","status":429,"detail":"a \"b\"","code":"too_many_requests","retryable":true,"request_id":"r-7"}"#;
    let timing = "queue;dur=0.1, connect;dur=12, execute;desc=\"x\";dur=1.25";
    [("\x04", json, timing), ("\x05", json, "120"), ("\x02", "{\"code\":\"invalid_credentials\"}", "")]
        .map(|(status, json, header)| [status, json, "\0", header].concat().into_bytes())
        .into()
}
