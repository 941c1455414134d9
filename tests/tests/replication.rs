//! Synchronous replication to a standby that is not there: a commit waits until it is told not to.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::Duration;

use onetrip_tests::{Database, Faults, OneConnection, postgres};
use serde_json::json;

/// Only the roles that ask for it wait: for the others of this server `synchronous_commit` is off.
async fn start_replicated(settings: &str) -> OneConnection {
    let one = OneConnection::start(settings).await;
    let role = &one.stack.database.name;
    one.outside.batch_execute(&format!("alter role {role} set synchronous_commit = on")).await.unwrap();
    one.end_sessions().await;
    as_superuser(&one, "alter system set synchronous_standby_names = 'nobody'").await;
    one
}

async fn as_superuser(one: &OneConnection, sql: &str) {
    let address = one.stack.database.address;
    let superuser = Database { name: "postgres".into(), password: postgres().password().into(), address };
    let superuser = superuser.connect().await;
    for sql in [sql, "select pg_reload_conf()"] {
        superuser.batch_execute(sql).await.unwrap();
    }
}

/// Whether a session of the database waits for a standby.
async fn waits(one: &OneConnection) -> bool {
    let sql =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'SyncRep'";
    one.outside.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancellation_of_another_one_kept_from_replication_is_not_reported_as_done() {
    let one = start_replicated("").await;
    one.outside.batch_execute("set synchronous_commit = off; create table kept (n int8)").await.unwrap();
    let gate = |key: i64| json!({"sql": "select pg_advisory_xact_lock_shared($1::int8)::text as gate", "params": [key]});
    let keep = |n: i64, commit: &str| {
        let sql = "insert into kept select $1 from set_config('synchronous_commit', $2, true) returning n";
        json!({"sql": sql, "params": [n, commit]})
    };
    let tagged = json!({"sql": "select 7 as tag"});
    one.know(&[gate(2), keep(0, "off"), tagged.clone()]).await;
    one.lock(2).await;
    let asked = one.send_all(vec![(gate(2), &[]), (keep(1, "on"), &[]), (tagged, &[])]).await;
    one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
    let [first, second, third] = asked.try_into().unwrap();
    // The cancellation takes so long to get there that it hits the second one.
    one.stack.proxy.set_faults(Faults { delay: Duration::from_secs(1), ..Faults::default() });
    first.abort();
    one.eventually("it is cancelled", async |it| it.metric("onetrip_cancelled_total").await == 1).await;
    one.unlock(2).await;
    one.eventually("the second one waits for a standby", waits).await;
    let second = second.await.unwrap();
    one.stack.proxy.set_faults(Faults::default());
    let text = String::from_utf8_lossy(&second.body);
    assert_eq!((second.status, &second.json()["code"]), (502, &json!("connection_lost")), "{text}");
    assert!(text.contains("synchronous replication"), "{text}");
    // The connection is as good as before.
    assert_eq!(third.await.unwrap().json()["rows"], json!([{"tag": 7}]));
    let kept =
        one.stack.pipeline(&json!({"sql": "select count(*)::int4 as n from kept where n = 1"})).await.json();
    assert_eq!(kept["rows"], json!([{"n": 1}]), "committed, and not sent again");
    assert_eq!(open_connections(&one), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_not_see_that_warning_has_flights_of_its_own() {
    let one = OneConnection::start("").await;
    let tagged = json!({"sql": "select 7 as tag"});
    for (level, flights) in [("warning", vec![3]), ("error", vec![1, 1, 1])] {
        let role = &one.stack.database.name;
        one.outside
            .batch_execute(&format!("alter role {role} set client_min_messages = {level}"))
            .await
            .unwrap();
        one.end_sessions().await;
        one.know(std::slice::from_ref(&tagged)).await;
        one.answers(vec![tagged.clone(); 3]).await;
        assert_eq!(one.flights(), flights, "{level}");
    }
}

fn open_connections(one: &OneConnection) -> usize {
    let connections = one.stack.proxy.connections();
    // Neither those that brought a cancellation.
    connections.iter().filter(|connection| !connection.closed).count()
}
