//! Pools: reuse, bounds, and servers that go away.

use std::time::Duration;

use onetrip_embedded_postgres::{Options, Shutdown};

use onetrip_wire::representation::{FRAMES, JSON};

use crate::support::{Endpoint, collect, connect_h2, eventually, pipeline, postgres, script, start_postgres};

const ONE: &str = r#"{"sql": "select 1"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    let pid = owner.value("select pg_backend_pid()").await;
    for _ in 0..20 {
        assert_eq!(owner.value("select pg_backend_pid()").await, pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_never_more_connections_than_the_pool_has_seats() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 3\npool_timeout = '60s'").await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move {
                let sql =
                    "select count(*)::int from pg_stat_activity, pg_sleep(0.02) where usename = current_user";
                caller.value(sql).await
            })
        })
        .collect();
    let mut most = 0;
    for asked in asked {
        most = most.max(asked.await.unwrap().as_i64().unwrap());
    }
    assert!((1..=3).contains(&most), "{most} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told_to_come_back() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1\npool_timeout = '100ms'").await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    assert_eq!(caller.value("select 1").await, 1);
    let busy = tokio::spawn({
        let caller = caller.clone();
        async move { caller.value("select 1 from pg_sleep(1)").await }
    });
    let running = format!(
        "select count(*)::int from pg_stat_activity where usename = '{role}' and query like '%sleep%' and state = 'active'"
    );
    let owner = endpoint.owner();
    eventually("the query runs", async || owner.value(&running).await == 1).await;
    let reply = caller.json(ONE).await;
    let problem = reply.problem(503, "pool_timeout");
    assert_eq!((problem["retryable"].as_bool(), reply.header("retry-after")), (Some(true), "1"));
    assert!(problem["detail"].as_str().unwrap().contains("all 1 connections"), "{problem}");
    assert_eq!(busy.await.unwrap(), 1);
    eventually("the seat is free", async || caller.json(ONE).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_is_counted_as_queue_time_and_logging_in_as_connect_time() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let caller = endpoint.owner();
    let timing = |reply: &crate::support::Reply| -> Vec<(String, f64)> {
        let header = reply.header("server-timing").to_owned();
        let parts = header.split(", ").map(|part| part.split_once(";dur=").unwrap());
        parts.map(|(name, ms)| (name.to_owned(), ms.parse().unwrap())).collect()
    };
    let cold = timing(&caller.json(ONE).await);
    assert_eq!(
        cold.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["queue", "connect", "execute"]
    );
    assert!(cold[1].1 > 0.0, "{cold:?}");
    let slow = tokio::spawn({
        let caller = caller.clone();
        async move { caller.value("select 1 from pg_sleep(0.3)").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waited = timing(&caller.json(ONE).await);
    assert!(waited[0].1 > 50.0 && waited[1].1 == 0.0, "{waited:?}");
    slow.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_after_a_restart_succeeds() {
    let server = start_postgres(Options::for_tests());
    let endpoint = Endpoint::of(&server, "pool_size = 4").await;
    let owner = endpoint.owner();
    for shutdown in [Shutdown::Fast, Shutdown::Immediate] {
        // Several idle connections, all of which die.
        let warm: Vec<_> = (0..4)
            .map(|_| {
                let owner = owner.clone();
                tokio::spawn(async move { owner.value("select 1 from pg_sleep(0.1)").await })
            })
            .collect();
        for warm in warm {
            assert_eq!(warm.await.unwrap(), 1);
        }
        server.stop(shutdown).unwrap();
        let down = owner.json(ONE).await;
        let problem = down.problem(502, "database_unreachable");
        assert_eq!((problem["retryable"].as_bool(), down.header("retry-after")), (Some(true), "1"));
        assert!(!down.text().contains("127.0.0.1"), "{}", down.text());
        server.restart().unwrap();
        for _ in 0..8 {
            assert_eq!(owner.value("select 1").await, 1, "after {shutdown:?}");
        }
        // Again, without a request while the server was down.
        server.restart().unwrap();
        assert_eq!(owner.value("select 1").await, 1, "after another restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_idle_backend_is_noticed_before_use() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let role = endpoint.new_role("sesame").await;
    let caller = endpoint.caller(&role, "sesame");
    for _ in 0..5 {
        let pid = caller.value("select pg_backend_pid()").await;
        endpoint.owner().rows(&format!("select pg_terminate_backend({pid}, 5000)")).await;
        assert_ne!(caller.value("select pg_backend_pid()").await, pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_killed_at_work_leaves_the_outcome_unknown() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let caller = endpoint.owner();
    // Ends by its own hand, after ParseComplete and BindComplete.
    let reply = caller.json(r#"{"sql": "select pg_terminate_backend(pg_backend_pid())"}"#).await;
    let problem = reply.problem(502, "connection_lost");
    assert_eq!((problem["sqlstate"].as_str(), problem["retryable"].as_bool()), (Some("57P01"), Some(false)));
    assert_eq!(caller.frames(script("select pg_terminate_backend(pg_backend_pid())")).await.status, 502);
    assert_eq!(caller.value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_cuts_the_answer() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let caller = endpoint.owner();
    let big = "select repeat('x', 1000) from generate_series(1, 1000)";
    let body = pipeline(&[&[big], &["select pg_terminate_backend(pg_backend_pid())"]]);
    let reply = caller.frames(body.clone()).await;
    assert_eq!(reply.status, 200);
    assert!(reply.cut, "the body must not end as if it were whole");
    assert_eq!(reply.tags().matches('Z').count(), 1, "the first group was answered");
    assert!(caller.blocks(body.clone()).await.cut);
    let mut http2 = connect_h2(endpoint.address).await;
    let reply = collect(http2.send_request(caller.request(FRAMES, FRAMES, body)).await.unwrap()).await;
    assert!(reply.cut, "HTTP/2 says so by RST_STREAM");
    assert_eq!(reply.tags().matches('Z').count(), 1);
    // The other streams of the connection go on.
    let reply = collect(http2.send_request(caller.request(JSON, JSON, ONE)).await.unwrap()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_in_time() {
    let endpoint = Endpoint::of(postgres(), "idle_timeout = '1s'").await;
    let role = endpoint.new_role("sesame").await;
    assert_eq!(endpoint.caller(&role, "sesame").value("select 1").await, 1);
    let open = format!("select count(*)::int from pg_stat_activity where usename = '{role}'");
    let owner = endpoint.owner();
    assert_eq!(owner.value(&open).await, 1);
    eventually("the connection is closed", async || owner.value(&open).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_and_an_old_proof_are_renewed() {
    let endpoint = Endpoint::of(postgres(), "max_lifetime = '1s'").await;
    let caller = endpoint.owner();
    let pid = caller.value("select pg_backend_pid()").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_ne!(caller.value("select pg_backend_pid()").await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_for_postgresql_pass() {
    let endpoint = Endpoint::of(postgres(), "").await;
    let role = endpoint.new_role("sesame").await;
    endpoint.owner().rows(&format!("alter role {role} connection limit 0")).await;
    let reply = endpoint.caller(&role, "sesame").json(ONE).await;
    let problem = reply.problem(502, "database_unreachable");
    assert_eq!((problem["sqlstate"].as_str(), reply.header("retry-after")), (Some("53300"), "1"));
}
