//! No state of one request is visible to the next, although both use the same connection.

use serde_json::{Value, json};

use crate::support::{Endpoint, postgres, script};

/// Runs `before` in one request and `after` in the next on the same connection; the latter must show `expected`.
async fn check(what: &str, before: &str, after: &str, expected: Value) {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    let pid = owner.value("select pg_backend_pid()").await;
    let reply = owner.frames(script(before)).await;
    assert!(!reply.tags().contains('E'), "{what}: {}", reply.text());
    let rows = owner.rows(after).await;
    assert_eq!(json!(rows), expected, "{what}");
    assert_eq!(owner.value("select pg_backend_pid()").await, pid, "{what}: it was the same connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_gone() {
    check("set", "set work_mem = '77MB'", "show work_mem", json!([{"work_mem": "4MB"}])).await;
    check("datestyle", "set datestyle = 'German'", "show datestyle", json!([{"DateStyle": "ISO, MDY"}]))
        .await;
    check(
        "encoding",
        "set client_encoding = 'LATIN1'",
        "show client_encoding",
        json!([{"client_encoding": "UTF8"}]),
    )
    .await;
    let custom = "select coalesce(current_setting('app.who', true), '') as a";
    check("custom setting", "set app.who = 'ada'", custom, json!([{"a": ""}])).await;
    check(
        "search_path",
        "set search_path = pg_temp",
        "show search_path",
        json!([{"search_path": "\"$user\", public"}]),
    )
    .await;
    check("read only", "set default_transaction_read_only = on", "select 1 as a", json!([{"a": 1}])).await;
    check("role", "set role pg_read_all_data", "select current_user as a", json!([{"a": "postgres"}])).await;
    let session = "set session authorization pg_read_all_data";
    check("session authorization", session, "select session_user as a", json!([{"a": "postgres"}])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_the_session_are_gone() {
    let tables = "select count(*)::int as n from pg_class where relname = 'iso_temp'";
    check("temporary table", "create temp table iso_temp (a int)", tables, json!([{"n": 0}])).await;
    let prepared = "select count(*)::int as n from pg_prepared_statements where from_sql";
    check("prepared statement", "prepare p as select 1", prepared, json!([{"n": 0}])).await;
    let cursors = "select count(*)::int as n from pg_cursors where name <> ''";
    check("cursor", "declare c cursor with hold for select 1", cursors, json!([{"n": 0}])).await;
    let listening = "select count(*)::int as n from pg_listening_channels()";
    check("listen", "listen iso_channel", listening, json!([{"n": 0}])).await;
    let locks =
        "select count(*)::int as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    check(
        "advisory lock",
        "select pg_advisory_lock(1); select pg_advisory_lock(1)",
        locks,
        json!([{"n": 0}]),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_sequence_is_gone() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    owner.rows("create sequence iso_sequence").await;
    owner.rows("select nextval('iso_sequence')").await;
    let value = owner.sql("select currval('iso_sequence')").await;
    assert_eq!(value["error"]["code"], "55000", "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_and_its_state_are_gone() {
    let before =
        "begin; set work_mem = '77MB'; select pg_advisory_lock(2); create temp table iso_open (a int)";
    check("open transaction", before, "show work_mem", json!([{"work_mem": "4MB"}])).await;
    let committed = "set work_mem = '77MB'; listen iso_two; begin; select 1";
    check("before the transaction", committed, "show work_mem", json!([{"work_mem": "4MB"}])).await;
    let locks =
        "select count(*)::int as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    check("lock in a transaction", before, locks, json!([{"n": 0}])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_reset_is_not_used_again() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 1").await;
    let owner = endpoint.owner();
    // An event of this session that makes DISCARD ALL take longer than the session allows itself.
    owner.rows("create schema if not exists slow").await;
    let pid = owner.value("select pg_backend_pid()").await;
    let reply = owner
        .frames(script(
            "create temp table many (a int); \
             do $$ begin for i in 1..300 loop execute format('create temp table many_%s (a text primary key)', i); \
             end loop; end $$; set statement_timeout = '1ms'",
        ))
        .await;
    assert!(!reply.tags().contains('E'), "{}", reply.text());
    assert_eq!(
        owner
            .value(
                "select count(*)::int from pg_class where relname like 'many_%' and relpersistence = 't'
        and relnamespace = pg_my_temp_schema()"
            )
            .await,
        0
    );
    assert_ne!(owner.value("select pg_backend_pid()").await, pid, "the old session was closed");
}
