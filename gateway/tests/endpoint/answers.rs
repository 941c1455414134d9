//! What a request gets back: three representations, groups, scripts, errors, COPY.

use onetrip_wire::backend::TransactionStatus;
use onetrip_wire::response::Event;
use serde_json::json;

use crate::support::{Endpoint, Reply, pipeline, script, statement};
use onetrip_wire::frontend;
use onetrip_wire::representation::{BLOCKS, FRAMES, JSON};

#[tokio::test(flavor = "multi_thread")]
async fn a_json_request_gets_typed_json() {
    let endpoint = Endpoint::shared().await;
    let body = r#"{"sql": "select $1::int as id, $2::text as name, $3::jsonb as doc, null as nothing",
                   "params": [7, "Ada", {"a": [1, 2.50]}]}"#;
    let reply = endpoint.owner().json(body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), JSON);
    let value = reply.value();
    assert_eq!(value["command"], "SELECT");
    assert_eq!(value["row_count"], 1);
    assert_eq!(value["rows"], json!([{"id": 7, "name": "Ada", "doc": {"a": [1, 2.50]}, "nothing": null}]));
    let fields: Vec<_> =
        value["fields"].as_array().unwrap().iter().map(|field| field["type_oid"].clone()).collect();
    assert_eq!(fields, [23, 25, 3802, 25]);
    // A small answer is one piece with its length.
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    assert_eq!(reply.header("onetrip-request-id").len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_in_json_keep_their_digits() {
    let endpoint = Endpoint::shared().await;
    let body = r#"{"sql": "select $1::numeric as n, $2::int8 as i, $3::float8 as f",
                   "params": [123456789012345678901234567890.10, 9223372036854775807, 1e-7]}"#;
    let value = endpoint.owner().json(body).await.value();
    let expected = json!([{"n": "123456789012345678901234567890.10", "i": "9223372036854775807", "f": 1e-7}]);
    assert_eq!(value["rows"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frames_request_gets_frames_as_postgresql_sent_them() {
    let endpoint = Endpoint::shared().await;
    let mut body = Vec::new();
    statement(&mut body, "select $1::text as a, $2::text as b", &[Some("x"), None]);
    frontend::sync(&mut body);
    let reply = endpoint.owner().frames(body).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, FRAMES));
    assert_eq!(reply.tags(), "12TDCZ");
    let events = reply.events(1);
    let [Event::Fields(fields), Event::Row(row), Event::Complete(tag), Event::GroupEnd(status)] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((row.value(0), row.value(1), row.value(2)), (Some(Some(&b"x"[..])), Some(None), None));
    assert_eq!((tag.rows(), *status), (Some(1), TransactionStatus::Idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_blocks_gets_blocks() {
    let endpoint = Endpoint::shared().await;
    let reply = endpoint
        .owner()
        .blocks(pipeline(&[&["select i, 'row ' || i from generate_series(1, 3) as i"]]))
        .await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, BLOCKS));
    assert_eq!(reply.tags(), "12FBCZ");
    assert!(reply.text().contains("row 1row 2row 3"), "the strings stand in one arena");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_in_frames_can_be_answered_in_json() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    let one = owner.send(owner.request(
        FRAMES,
        "application/json;rows=array",
        pipeline(&[&["select 1 as a, 2 as a"]]),
    ));
    assert_eq!(one.await.value()["rows"], json!([[1, 2]]));
    let two = owner
        .send(owner.request(FRAMES, JSON, pipeline(&[&["select 1 as a", "select 2 as a"]])))
        .await
        .value();
    assert_eq!(two["results"][1]["rows"], json!([{"a": 2}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_transactions_and_independent() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    owner.rows("create table groups (a int primary key)").await;
    let body = pipeline(&[
        &["insert into groups values (1)", "insert into groups values (2)"],
        &["insert into groups values (3)", "insert into groups values (1)", "insert into groups values (4)"],
        &["insert into groups values (5)"],
    ]);
    let reply = owner.frames(body).await;
    assert_eq!(reply.tags(), "12nC12nCZ12nC12nEZ12nCZ");
    let failed: Vec<_> = reply
        .events(3)
        .into_iter()
        .filter_map(
            |event| if let Event::Failed(error) = event { Some(error.code().to_owned()) } else { None },
        )
        .collect();
    assert_eq!(failed, ["23505"]);
    let kept = owner.rows("select a from groups order by a").await;
    assert_eq!(json!(kept), json!([{"a": 1}, {"a": 2}, {"a": 5}]), "the second group left nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_is_an_answer_and_the_next_request_works() {
    let endpoint = Endpoint::of(crate::support::postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    for (sql, code, position) in [
        ("selec 1", "42601", json!(1)),
        ("select nothing_like_this", "42703", json!(8)),
        ("select 1/0", "22012", json!(null)),
    ] {
        let value = owner.sql(sql).await;
        assert_eq!(value["error"]["code"], code, "{value}");
        assert_eq!(value["error"].get("position").cloned().unwrap_or_default(), position, "{value}");
        assert_eq!(value["error"]["statement"], 0);
    }
    let value = owner.json(r#"{"sql": "select $1::int", "params": ["x"]}"#).await.value();
    assert_eq!(value["error"]["code"], "22P02");
    let batch =
        owner.json(r#"{"batch": [{"sql": "select 1"}, {"sql": "select 2"}, {"sql": "select 1/0"}]}"#).await;
    assert_eq!(batch.value()["error"]["statement"], 2);
    // All of that, and the connection is still the first one.
    let pid = owner.value("select pg_backend_pid()").await;
    owner.sql("select 1/0").await;
    assert_eq!(owner.value("select pg_backend_pid()").await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_all_its_statements() {
    let endpoint = Endpoint::shared().await;
    let reply =
        endpoint.owner().frames(script("select 1; select 2 where false; create temp table t (a int)")).await;
    assert_eq!(reply.tags(), "TDCTCCZ");
    let empty = endpoint.owner().frames(script("")).await;
    assert_eq!(empty.tags(), "IZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_stay_and_parameter_status_and_notifications_are_left_out() {
    let endpoint = Endpoint::shared().await;
    let body = pipeline(&[&[
        "set datestyle = 'German'",
        "listen a_channel",
        "do $$ begin raise notice 'look'; end $$",
        "notify a_channel",
        "select date '2026-11-21'",
    ]]);
    let reply = endpoint.owner().frames(body.clone()).await;
    assert_eq!(reply.tags(), "12nC12nC12nNC12nC12TDCZ");
    assert!(reply.text().contains("21.11.2026"));
    assert_eq!(endpoint.owner().blocks(body).await.tags(), "12nC12nC12nNC12nC12FBCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_is_reported_and_rolled_back() {
    let endpoint = Endpoint::of(crate::support::postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    owner.rows("create table left_open (a int)").await;
    let pid = owner.value("select pg_backend_pid()").await;
    for (statements, status) in [
        (&["begin", "insert into left_open values (1)"][..], TransactionStatus::Transaction),
        (&["begin", "insert into left_open values (1)", "select 1/0"], TransactionStatus::Failed),
    ] {
        let reply = owner.frames(pipeline(&[statements])).await;
        let events = reply.events(1);
        assert!(matches!(events.last(), Some(Event::GroupEnd(last)) if *last == status), "{events:?}");
    }
    assert_eq!(owner.value("select count(*) from left_open").await, "0");
    assert_eq!(
        owner.value("select pg_backend_pid()").await,
        pid,
        "the connection was rolled back, not closed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_from_stdin_is_refused_in_its_place() {
    let endpoint = Endpoint::of(crate::support::postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    owner.rows("create table copied (a int)").await;
    let check = async |reply: Reply, tags: &str| {
        assert_eq!((reply.status.as_u16(), reply.tags().as_str(), reply.cut), (200, tags, false));
        assert!(reply.text().contains("0A000"), "{}", reply.text());
    };
    check(owner.frames(pipeline(&[&["copy copied from stdin"]])).await, "12nEZ").await;
    // The group before is kept; the COPY's own group and the later ones are not.
    let body = pipeline(&[
        &["insert into copied values (1)"],
        &["insert into copied values (2)", "copy copied from stdin", "insert into copied values (3)"],
        &["insert into copied values (4)"],
    ]);
    check(owner.frames(body.clone()).await, "12nCZ12nC12nEZEZ").await;
    check(owner.frames(script("copy copied from stdin; insert into copied values (5)")).await, "EZ").await;
    check(owner.blocks(body).await, "12nCZ12nC12nEZEZ").await;
    let kept = owner.value("select string_agg(a::text, ',') from copied").await;
    assert_eq!(kept, "1,1");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_to_stdout_sends_its_frames() {
    let endpoint = Endpoint::shared().await;
    let reply = endpoint.owner().frames(pipeline(&[&["copy (select 1 union all select 2) to stdout"]])).await;
    assert_eq!(reply.tags(), "12nHddcCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_larger_than_all_buffers_does_not_stop() {
    let endpoint = Endpoint::shared().await;
    // 4,000 statements of 2 KiB whose answers are 2 KiB each: both directions are full long before the end.
    let text = "x".repeat(2048);
    let mut body = Vec::new();
    for _ in 0..4000 {
        statement(&mut body, "select $1::text", &[Some(&text)]);
    }
    frontend::sync(&mut body);
    assert!(body.len() > 8 << 20);
    let reply = endpoint.owner().frames(body).await;
    assert!(!reply.cut);
    assert_eq!(reply.tags(), format!("{}Z", "12TDC".repeat(4000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_over_the_limit_is_an_error_and_the_answer_is_cut() {
    let endpoint =
        Endpoint::with(crate::support::postgres(), "limits.row_bytes = \"64 KiB\"", "sslmode=disable", "")
            .await;
    let owner = endpoint.owner();
    let fits = owner.value("select length(repeat('x', 60000))").await;
    assert_eq!(fits, 60000);
    let reply = owner.frames(pipeline(&[&["select repeat('x', 60000)", "select repeat('x', 70000)"]])).await;
    assert!(reply.cut);
    assert_eq!(reply.tags(), "12TDC12TE");
    assert!(reply.text().contains("54000") && reply.text().contains("limits.row_bytes"), "{}", reply.text());
    for sql in [
        "select repeat('x', 70000) as a",
        "select repeat('x', 30000 * i) as a from generate_series(1, 3) as i",
    ] {
        let reply = owner.json(&json!({ "sql": sql }).to_string()).await;
        assert!(reply.cut);
        assert_eq!(reply.value()["error"]["code"], "54000", "{sql}");
    }
    assert_eq!(owner.value("select 1").await, 1);
}
