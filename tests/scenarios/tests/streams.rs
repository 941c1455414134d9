//! Rows as they arrive: no more than is asked for, to the end, to the middle and to an error.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use onetrip::transport::{Body, BoxFuture, Clock, Failure, Native, Request, Response, Transport};
use onetrip::{Client, Config, Kind, Outcome};
use onetrip_tests::Stack;

/// The usual transport, counting what is read of its answers.
struct Counted(Native, Arc<AtomicUsize>);

impl Transport for Counted {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let response = self.0.send(request).await?;
            let body = Box::new(CountedBody(response.body, self.1.clone()));
            Ok(Response { body, ..response })
        })
    }

    fn clock(&self) -> &dyn Clock {
        self.0.clock()
    }
}

struct CountedBody(Box<dyn Body>, Arc<AtomicUsize>);

impl Body for CountedBody {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        Box::pin(async move {
            let chunk = self.0.chunk().await?;
            self.1.fetch_add(chunk.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
            Ok(chunk)
        })
    }
}

async fn start() -> (Stack, Client) {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    (stack, client)
}

#[tokio::test]
async fn a_stream_gives_every_row_in_order_and_then_the_count() {
    let (_stack, client) = start().await;
    let sql = "select id, repeat('x', 500) as body from generate_series($1::int4, $2) id";
    let mut rows = client.query_raw(sql, [1i32, 20_000]).await.unwrap();
    let names: Vec<&str> = rows.columns().iter().map(onetrip::Column::name).collect();
    assert_eq!((names, rows.row_count()), (vec!["id", "body"], None));
    let mut expected = 0;
    while let Some(row) = rows.next().await {
        expected += 1;
        let row = row.unwrap();
        assert_eq!((row.get::<_, i32>("id"), row.get::<_, &str>("body").len()), (expected, 500));
    }
    assert_eq!((expected, rows.row_count()), (20_000, Some(20_000)));
    assert!(rows.next().await.is_none());
    let metrics = client.metrics();
    assert_eq!((metrics.calls, metrics.rows, metrics.cancelled), (1, 20_000, 0));
    assert!(metrics.bytes_received > 20_000 * 500);

    // The same by the combinators of a library.
    let rows = client.query_raw("select generate_series(1, $1)", [10i32]).await.unwrap();
    let rows: Vec<i32> = rows.map_ok(|row| row.get::<_, i32>(0)).try_collect().await.unwrap();
    assert_eq!(rows, Vec::from_iter(1..=10));
    let none: [&str; 0] = [];
    let mut created = client.query_raw("create table t (id int8)", none).await.unwrap();
    assert!(created.columns().is_empty() && created.next().await.is_none());
}

#[tokio::test]
async fn only_what_is_taken_is_read_and_dropping_the_rest_ends_the_statement() {
    let stack = Stack::start("").await;
    let config: Config = stack.gateway.url().parse().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let client = Client::with_transport(config, Counted(Native::new(), read.clone()));
    // A terabyte, if somebody took it.
    let sql = "select repeat('x', 100_000) as streamed from generate_series(1, 10_000_000)";
    let mut rows = client.query_raw(sql, std::iter::empty::<&str>()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(rows.next().await.unwrap().unwrap().get::<_, &str>(0).len(), 100_000);
    }
    assert!(
        read.load(Ordering::Relaxed) < 4 << 20,
        "{} bytes were read for 5 rows",
        read.load(Ordering::Relaxed)
    );
    drop(rows);
    assert_eq!(client.metrics().cancelled, 1);
    let running =
        "select count(*) from pg_stat_activity where query like '%as streamed%' and state = 'active'
                   and pid <> pg_backend_pid()";
    while client.query_one(running, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_of_whole_answers_passes_as_a_stream() {
    let stack = Stack::start("").await;
    let config: Config = stack.gateway.url().parse().unwrap();
    let client = Client::new(config.response_limit_bytes(100_000));
    let sql = "select repeat('x', 1000) from generate_series(1, 1000)";
    assert_eq!(client.query(sql, &[]).await.unwrap_err().kind(), Kind::Protocol);
    let rows = client.query_raw(sql, std::iter::empty::<&str>()).await.unwrap();
    assert_eq!(rows.count().await, 1000);
}

#[tokio::test]
async fn an_error_comes_where_it_happens() {
    let (_stack, client) = start().await;
    let error = client.query_raw("selec 1", std::iter::empty::<&str>()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Sql, Some("42601")));

    let sql = "select 1 / (20000 - id), repeat('x', 100) from generate_series(1, 30000) id";
    let mut rows = client.query_raw(sql, std::iter::empty::<&str>()).await.unwrap();
    let mut good = 0;
    let error = loop {
        match rows.next().await.unwrap() {
            Ok(_) => good += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((good, error.code(), error.outcome()), (19_999, Some("22012"), Outcome::NotExecuted));
    assert!(error.request_id().is_some());
    assert!(rows.next().await.is_none(), "nothing comes after an error");
    assert_eq!(client.metrics().failures(Kind::Sql), 2);
    assert_eq!(client.query_one("select 7", &[]).await.unwrap().get::<_, i32>(0), 7);
}

#[tokio::test]
async fn a_stream_that_stalls_times_out_and_one_that_is_only_long_does_not() {
    let (_stack, client) = start().await;
    let hasty = client.timeout(Duration::from_millis(1500));
    let sql = "select pg_sleep(0.3), repeat('x', 100_000) from generate_series(1, 8)";
    let rows = hasty.query_raw(sql, std::iter::empty::<&str>()).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 8);

    let sql = "select case when id > 3 then pg_sleep(60)::text else repeat('x', 100_000) end from generate_series(1, 9) id";
    let mut rows = hasty.query_raw(sql, std::iter::empty::<&str>()).await.unwrap();
    let error = loop {
        if let Err(error) = rows.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!((error.kind(), error.outcome()), (Kind::Timeout, Outcome::Unknown));
}
