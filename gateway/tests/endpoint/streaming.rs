//! Large answers: memory stays bounded, a slow client slows PostgreSQL down, a client that goes away is noticed.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use onetrip_wire::representation::{BLOCKS, FRAMES, JSON};

use crate::program::{Running, program, url};
use crate::support::{Endpoint, connect, connect_h2, eventually, pipeline, postgres};

const HUNDRED_MEGABYTES: &str = "select repeat('x', 1000) from generate_series(1, 100000)";

/// The resident memory of a process in bytes, where the system tells it.
fn resident(process_id: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_pass_through_in_little_memory() {
    let database = format!("app={}", url());
    // A process of its own, so that nothing else is measured.
    let running =
        Running::start(program().args(["serve", "--listen", "127.0.0.1:0", "--database", &database]));
    let caller = running.caller();
    assert_eq!(caller.value("select 1").await, 1);
    for representation in [FRAMES, BLOCKS, JSON] {
        let mut sender = connect(caller.address).await;
        let request = caller.request(FRAMES, representation, pipeline(&[&[HUNDRED_MEGABYTES]]));
        let before = resident(running.child.id());
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let (mut bytes, mut most, mut pieces) = (0, 0, 0);
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().unwrap().len();
            pieces += 1;
            if pieces % 64 == 0 {
                most = most.max(resident(running.child.id()).unwrap_or(0));
            }
        }
        assert!(bytes > 100_000_000, "{representation}: {bytes} bytes");
        if let Some(before) = before {
            let grown = most.saturating_sub(before);
            assert!(grown < 8 << 20, "{representation}: memory grew by {grown} bytes");
        }
    }
}

/// The most resident memory that a process has had, in bytes.
fn peak(process_id: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_to_a_slow_reader_takes_no_more_memory_compressed_or_not() {
    let database = format!("app={}", url());
    let rows = "select repeat(md5(n::text), 32) from generate_series(1, 250000) n";
    for (representation, coding) in [(FRAMES, "identity"), (BLOCKS, "zstd"), (FRAMES, "gzip"), (FRAMES, "br")]
    {
        let running =
            Running::start(program().args(["serve", "--listen", "127.0.0.1:0", "--database", &database]));
        let caller = running.caller();
        assert_eq!(caller.value("select 1").await, 1);
        let mut sender = connect(caller.address).await;
        let mut request = caller.request(FRAMES, representation, pipeline(&[&[rows]]));
        request.headers_mut().insert("accept-encoding", coding.parse().unwrap());
        let before = peak(running.child.id());
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let (mut pieces, mut bytes) = (0_u32, 0);
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().unwrap().len();
            pieces += 1;
            // Slower than PostgreSQL, so that all that may wait on the way does.
            if pieces < 200 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        assert!(
            bytes > if coding == "identity" { 250_000_000 } else { 1_000_000 },
            "{coding}: {bytes} bytes"
        );
        if let (Some(before), Some(after)) = (before, peak(running.child.id())) {
            let grown = after.saturating_sub(before);
            assert!(grown < 16 << 20, "{representation}, {coding}: memory grew by {grown} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_postgresql_back() {
    let endpoint = Endpoint::shared().await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    let mut sender = connect(endpoint.address).await;
    let request = caller.request(FRAMES, FRAMES, pipeline(&[&[HUNDRED_MEGABYTES]]));
    let body = sender.send_request(request).await.unwrap().into_body();
    let waiting = format!(
        "select count(*)::int from pg_stat_activity where usename = '{role}' and wait_event = 'ClientWrite'"
    );
    let owner = endpoint.owner();
    eventually("PostgreSQL waits for the client", async || owner.value(&waiting).await == 1).await;
    drop(body);
    drop(sender);
    let open = format!("select count(*)::int from pg_stat_activity where usename = '{role}'");
    let idle = format!("{open} and state = 'idle' and query = 'DISCARD ALL'");
    eventually("it is cancelled and its session reset", async || owner.value(&idle).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_cut_off() {
    let endpoint =
        Endpoint::with(postgres(), "limits.send_timeout = \"300ms\"", "sslmode=disable", "pool_size = 1")
            .await;
    let owner = endpoint.owner();
    let mut sender = connect(endpoint.address).await;
    let request = owner.request(FRAMES, FRAMES, pipeline(&[&[HUNDRED_MEGABYTES]]));
    let body = sender.send_request(request).await.unwrap().into_body();
    // The only seat is free again, although the client still holds its response.
    assert_eq!(owner.value("select 1").await, 1);
    assert!(body.collect().await.is_err(), "the answer was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_client_went_away_is_cancelled() {
    let endpoint = Endpoint::shared().await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    let running =
        format!("select count(*)::int from pg_stat_activity where usename = '{role}' and state = 'active'");
    let idle = format!(
        "select count(*)::int from pg_stat_activity where usename = '{role}' and state = 'idle' and query = 'DISCARD ALL'"
    );
    let owner = endpoint.owner();
    let pid = caller.value("select pg_backend_pid()").await;
    for http2 in [false, true] {
        let request = caller.request(FRAMES, FRAMES, pipeline(&[&["select pg_sleep(600)"]]));
        let asked: tokio::task::JoinHandle<()> = if http2 {
            let mut sender = connect_h2(endpoint.address).await;
            tokio::spawn(async move { drop(sender.send_request(request).await) })
        } else {
            let mut sender = connect(endpoint.address).await;
            tokio::spawn(async move { drop(sender.send_request(request).await) })
        };
        eventually("the query runs", async || owner.value(&running).await == 1).await;
        asked.abort();
        eventually("the query is cancelled", async || owner.value(&idle).await == 1).await;
        assert_eq!(caller.value("select pg_backend_pid()").await, pid, "it does not cost the connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_is_sent_while_a_later_statement_runs() {
    let endpoint = Endpoint::shared().await;
    let mut sender = connect(endpoint.address).await;
    let body = pipeline(&[&["select 'early'"], &["select 'late' from pg_sleep(2)"]]);
    let request = endpoint.owner().request(FRAMES, FRAMES, body);
    let started = Instant::now();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(started.elapsed() < Duration::from_millis(1900), "{:?}", started.elapsed());
    assert!(first.windows(5).any(|window| window == b"early"));
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(rest.windows(4).any(|window| window == b"late"));
}
