//! Draining: what is in flight is finished, what is new is sent away, and then the endpoint is gone.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::Request;
use onetrip_wire::representation::{FRAMES, JSON};
use tokio::net::TcpStream;

use crate::support::{Endpoint, collect, connect, eventually, pipeline, postgres, send};

fn health() -> Request<Full<bytes::Bytes>> {
    Request::get("/healthz").header("host", "x").body(Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_finished_and_new_ones_sent_away() {
    let mut endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    assert_eq!(owner.value("select 1").await, 1);
    let (mut kept, mut busy) = (connect(endpoint.address).await, connect(endpoint.address).await);
    collect(kept.send_request(health()).await.unwrap()).await;
    // Its head has arrived, its rows have not.
    let body = pipeline(&[&["select 1"], &["select 2 from pg_sleep(1)"]]);
    let in_flight = busy.send_request(owner.request(FRAMES, FRAMES, body)).await.unwrap();
    endpoint.stop();
    eventually("the endpoint drains", async || send(endpoint.address, health()).await.status == 503).await;
    let reply = collect(kept.send_request(health()).await.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (503, "draining\n"));
    let reply = owner.send(owner.request(JSON, JSON, r#"{"sql": "select 1"}"#)).await;
    let problem = reply.problem(503, "shutting_down");
    assert_eq!((problem["retryable"].as_bool(), reply.header("retry-after")), (Some(true), "1"));

    let reply = collect(in_flight).await;
    assert_eq!((reply.tags().matches('Z').count(), reply.cut), (2, false), "the answer is whole");
    endpoint.running.await.unwrap();
    assert!(TcpStream::connect(endpoint.address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_cut_and_cancelled() {
    let mut endpoint = Endpoint::with(postgres(), "drain_timeout = \"300ms\"", "sslmode=disable", "").await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    let other = Endpoint::shared().await;
    let mut busy = connect(endpoint.address).await;
    let request = caller.request(FRAMES, FRAMES, pipeline(&[&["select pg_sleep(600)"]]));
    let asked = tokio::spawn(async move { busy.send_request(request).await });
    let running =
        format!("select count(*)::int from pg_stat_activity where usename = '{role}' and state = 'active'");
    eventually("the query runs", async || other.owner().value(&running).await == 1).await;
    let started = Instant::now();
    endpoint.stop();
    endpoint.running.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(asked.await.unwrap().is_err(), "the client sees its connection close");
    eventually("the query is cancelled", async || other.owner().value(&running).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_requests_stops_at_once() {
    let mut endpoint = Endpoint::shared().await;
    let _idle = connect(endpoint.address).await;
    let _silent = TcpStream::connect(endpoint.address).await.unwrap();
    let started = Instant::now();
    endpoint.stop();
    endpoint.running.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
