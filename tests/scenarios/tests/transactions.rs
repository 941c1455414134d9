//! Transactions that say how they want to run: still one request and one flight, and every index is the caller's.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use onetrip::{Client, IsolationLevel, Kind, Outcome};
use onetrip_tests::Stack;

async fn start() -> (Stack, Client) {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    client.batch_execute("create table notes (id int4 primary key, body text)").await.unwrap();
    (stack, client)
}

const SETTINGS: &str = "select current_setting('transaction_isolation') as level,
    current_setting('transaction_read_only') as read_only, current_setting('transaction_deferrable') as deferrable";

#[tokio::test]
async fn a_transaction_runs_as_it_was_asked_to_in_one_flight() {
    let (stack, client) = start().await;
    for (level, name) in [
        (IsolationLevel::ReadUncommitted, "read uncommitted"),
        (IsolationLevel::ReadCommitted, "read committed"),
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ] {
        for (read_only, deferrable) in [(true, true), (false, false)] {
            // This waits until the gateway has undone what the last request left behind.
            stack.pipeline(&serde_json::json!({"sql": "select 1"})).await;
            stack.proxy.forget();
            let (count, settings) = client
                .transaction()
                .isolation_level(level)
                .read_only(read_only)
                .deferrable(deferrable)
                .query_one("select count(*) from notes", &[])
                .query_one(SETTINGS, &[])
                .commit()
                .await
                .unwrap();
            assert_eq!(count.get::<_, i64>(0), 0);
            let on = |on| if on { "on" } else { "off" };
            assert_eq!(
                (settings.get(0), settings.get(1), settings.get(2)),
                (name, on(read_only), on(deferrable))
            );
            assert_eq!(stack.proxy.flights().len(), 1, "{name}");
        }
    }
    let after = client.query_one(SETTINGS, &[]).await.unwrap();
    assert_eq!((after.get::<_, &str>(0), after.get::<_, &str>(1)), ("read committed", "off"));
}

#[tokio::test]
async fn what_it_writes_stays_and_what_fails_leaves_nothing_and_names_its_own_index() {
    let (_stack, client) = start().await;
    let insert = "insert into notes values ($1, $2)";
    let results = client
        .batch()
        .isolation_level(IsolationLevel::Serializable)
        .statement(insert, &[&1, &"one"])
        .statement(insert, &[&2, &"two"])
        .commit()
        .await
        .unwrap();
    assert_eq!(results.iter().map(|result| result.command()).collect::<Vec<_>>(), ["INSERT", "INSERT"]);

    let error = client
        .transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .execute(insert, &[&3, &"three"])
        .execute(insert, &[&1, &"again"])
        .query("select id from notes", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.statement(), error.code()), (Kind::Sql, Some(1), Some("23505")));
    assert_eq!(error.outcome(), Outcome::NotExecuted);

    let error =
        client.transaction().read_only(true).execute(insert, &[&4, &"four"]).commit().await.unwrap_err();
    assert_eq!((error.statement(), error.code()), (Some(0), Some("25006")));

    let error = client
        .transaction()
        .read_only(false)
        .query_one("select id from notes where id = 1", &[])
        .query_one("select id from notes where id = 99", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.statement()), (Kind::RowCount, Some(1)));
    let count: i64 = client.query_one("select count(*) from notes", &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_constraint_that_fails_at_the_commit_is_no_statements_fault() {
    let (_stack, client) = start().await;
    client
        .batch_execute("create table children (note int4 references notes deferrable initially deferred)")
        .await
        .unwrap();
    let error = client
        .transaction()
        .isolation_level(IsolationLevel::Serializable)
        .execute("insert into children values (7)", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.statement(), error.code()), (Kind::Sql, None, Some("23503")));
    let count: i64 = client.query_one("select count(*) from children", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn two_serializable_transactions_that_conflict_both_succeed_in_the_end() {
    let (_stack, client) = start().await;
    client.execute("insert into notes values (1, '0')", &[]).await.unwrap();
    let add = || async {
        let (updated,) = client
            .transaction()
            .isolation_level(IsolationLevel::Serializable)
            .execute("update notes set body = (body::int4 + 1)::text where id = 1", &[])
            .commit()
            .await?;
        Ok::<u64, onetrip::Error>(updated)
    };
    // The policy sends what PostgreSQL rolled back because of others again.
    let (a, b) = tokio::join!(add(), add());
    assert_eq!((a.unwrap(), b.unwrap()), (1, 1));
    let body: String = client.query_one("select body from notes", &[]).await.unwrap().get(0);
    assert_eq!(body, "2");
}
