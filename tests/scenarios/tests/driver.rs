//! The driver natively, against a real gateway and PostgreSQL: one request a call, transactions, and everything that can be
//! wrong with what it is given or with what stands around it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::{Duration, Instant};

use onetrip::policy::Policy;
use onetrip::{Client, Config, Error, Kind, Outcome};
use onetrip_tests::{CountingProxy, Faults, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn start(settings: &str) -> (Stack, Client) {
    let stack = Stack::start(settings).await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    (stack, client)
}

async fn check_next_query_works(client: &Client) {
    let row = client.query_one("select 'still here'", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "still here");
}

/// Checks the class of an error, that it says `parts`, and that it shows no secrets.
fn check(error: &Error, kind: Kind, outcome: Outcome, parts: &[&str]) {
    assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{error:?}");
    let text = format!("{error} {error:?}");
    for part in parts {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    for secret in ["hunter2", "select", "secret value"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The URL with another part in place of one of its own.
fn replaced(stack: &Stack, from: &str, to: &str) -> Client {
    Client::connect(&stack.gateway.url().replacen(from, to, 1)).unwrap()
}

#[tokio::test]
async fn a_transaction_of_ten_is_one_request_and_one_flight_and_keeps_its_types() {
    let (stack, client) = start("").await;
    let relay = CountingProxy::start(stack.gateway.address()).await.unwrap();
    let client_by_relay =
        replaced(&stack, &stack.gateway.address().to_string(), &relay.address().to_string());
    client.batch_execute("create table notes (id int4 primary key, body text)").await.unwrap();
    check_next_query_works(&client_by_relay).await;
    // This waits until the gateway has undone what the last request left behind.
    stack.pipeline(&serde_json::json!({"sql": "select 1"})).await;
    stack.proxy.forget();
    relay.forget();

    let insert = "insert into notes values ($1, $2)";
    let (a, b, c, updated, one, none, rows, count, d, deleted) = client_by_relay
        .transaction()
        .execute(insert, &[&1, &"one"])
        .execute(insert, &[&2, &"two"])
        .execute(insert, &[&3, &None::<&str>])
        .execute("update notes set body = upper(body) where id < $1", &[&3])
        .query_one("select body from notes where id = $1", &[&2])
        .query_opt("select body from notes where id = $1", &[&9])
        .query("select id from notes order by id", &[])
        .query_one("select count(*) as n from notes", &[])
        .execute(insert, &[&4, &"four"])
        .execute("delete from notes where id > $1", &[&1i64])
        .commit()
        .await
        .unwrap();
    assert_eq!((a, b, c, updated, d, deleted), (1, 1, 1, 2, 1, 3));
    assert_eq!(
        (one.get::<_, &str>(0), none.is_none(), rows.len(), count.get::<_, i64>("n")),
        ("TWO", true, 3, 3)
    );

    // Behind the first Sync the endpoint resets the session.
    let executed = |tags: &str| tags.split('S').next().unwrap_or_default().matches('E').count();
    let flights: Vec<String> = stack.proxy.flights().into_iter().map(|flight| flight.frontend).collect();
    assert_eq!(flights.len(), 1, "{flights:?}");
    assert_eq!(executed(&flights[0]), 10, "{flights:?}");
    assert_eq!(relay.flights().len(), 1, "one HTTP request on the connection that was open");
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let (stack, _) = start("").await;
    let relay = CountingProxy::start(stack.gateway.address()).await.unwrap();
    let client = replaced(&stack, &stack.gateway.address().to_string(), &relay.address().to_string());
    for _ in 0..10 {
        check_next_query_works(&client).await;
    }
    assert_eq!(relay.connections().len(), 1);
}

#[tokio::test]
async fn a_transaction_that_fails_names_its_statement_and_leaves_nothing_behind() {
    let (_stack, client) = start("").await;
    client.batch_execute("create table notes (id int4 primary key)").await.unwrap();
    let error = client
        .transaction()
        .execute("insert into notes values (1)", &[])
        .execute("insert into notes values (2)", &[])
        .execute("insert into notes values ($1)", &[&1])
        .query("select id from notes", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.statement(), error.code()), (Kind::Sql, Some(2), Some("23505")));
    assert_eq!(error.outcome(), Outcome::NotExecuted);
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("notes_pkey"));
    assert!(error.to_string().contains("in statement 2"), "{error}");
    let count: i64 = client.query_one("select count(*) from notes", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);

    let error = client
        .transaction()
        .execute("insert into notes values (1)", &[])
        .query_one("select id from notes where id = 7", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.statement(), error.outcome()),
        (Kind::RowCount, Some(1), Outcome::Executed)
    );
    let count: i64 = client.query_one("select count(*) from notes", &[]).await.unwrap().get(0);
    assert_eq!(count, 1, "the transaction was committed");
}

#[tokio::test]
async fn too_few_and_too_many_rows_are_said_to_be_so() {
    let (_stack, client) = start("").await;
    let none = client.query_one("select 1 where false", &[]).await.unwrap_err();
    check(&none, Kind::RowCount, Outcome::Executed, &["no row", "query_opt"]);
    let three = client.query_opt("select generate_series(1, 3)", &[]).await.unwrap_err();
    check(&three, Kind::RowCount, Outcome::Executed, &["3 rows"]);
    assert!(client.query_opt("select 1 where false", &[]).await.unwrap().is_none());
    assert!(client.query("", &[]).await.unwrap().is_empty(), "an empty statement gives nothing");
    assert_eq!(client.execute("create table t ()", &[]).await.unwrap(), 0);
    assert!(client.batch().commit().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_script_runs_as_a_whole_or_says_where_it_failed() {
    let (_stack, client) = start("").await;
    client
        .batch_execute("create table a (id int4); insert into a values (1), (2); select * from a;")
        .await
        .unwrap();
    let error = client.batch_execute("insert into a values (3); selec 1").await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.is_retryable()), (Kind::Sql, Some("42601"), false));
    let count: i64 = client.query_one("select count(*) from a", &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_wrong_password_an_unknown_database_and_a_wrong_path_are_refused() {
    let (stack, client) = start("").await;
    let name = stack.database.name.clone();
    let wrong = replaced(&stack, &format!(":{}@", stack.database.password), ":hunter2@");
    let error = wrong.query("select 1", &[]).await.unwrap_err();
    check(
        &error,
        Kind::Refused,
        Outcome::NotExecuted,
        &["invalid_credentials", "check the role and the password"],
    );
    assert_eq!((error.status(), error.code(), error.attempts()), (Some(401), Some("28P01"), 1));
    assert!(error.request_id().is_some());

    let unknown = Client::connect(&stack.gateway.url().replace(&format!("/{name}"), "/no_such_database"));
    let unknown = unknown.unwrap().query("select 1", &[]).await.unwrap_err();
    // The role's name is the database's in these tests: the URL names it twice, and both were replaced or neither.
    check(&unknown, Kind::Refused, Outcome::NotExecuted, &["unknown_database", "no_such_database"]);
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn a_body_over_the_endpoints_limit_is_refused_and_the_next_query_works() {
    let (_stack, client) = start("[limits]\nrequest_bytes = 10_000").await;
    let error = client.query("select $1", &[&"x".repeat(20_000)]).await.unwrap_err();
    check(&error, Kind::Refused, Outcome::NotExecuted, &["request_too_large", "10000"]);
    assert_eq!(error.status(), Some(413));
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn a_parameter_of_the_wrong_type_is_an_sql_error_and_the_next_query_works() {
    let (_stack, client) = start("").await;
    let error = client.query("select $1::int4", &[&"twelve"]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Sql, Some("22P02")), "{error}");
    let error = client.query("select $1::uuid", &[&7i32]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Sql, Some("42846")), "{error}");
    let error = client.query("select $1::int4 + $2::int4", &[&7i32]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Sql, Some("08P01")), "{error}");
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_tried_again_and_then_said_to_be_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::connect(&format!("http://app:hunter2@{address}/app")).unwrap();
    let error = client.query("select 1", &[]).await.unwrap_err();
    let address = address.to_string();
    check(&error, Kind::Unreachable, Outcome::NotExecuted, &[&address, "Is it running", "after 3 attempts"]);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn something_else_behind_the_url_is_said_to_be_no_endpoint() {
    for (answer, kind, part) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello",
            Kind::Protocol,
            "text/html",
        ),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Kind::Protocol, "an onetrip endpoint?"),
        ("HTTP/1.1 307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", Kind::Protocol, "redirect"),
        ("SSH-2.0-OpenSSH_9.9\r\n", Kind::Lost, "no answer"),
    ] {
        let address = answer_always(answer.as_bytes().to_vec()).await;
        let client = Client::connect(&format!("http://app:hunter2@{address}/app")).unwrap();
        let error = client.query("select 1", &[]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        check(&error, kind, error.outcome(), &[part]);
    }
}

/// A server that answers every request with these bytes and closes the connection.
async fn answer_always(answer: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(&answer).await;
                let _ = connection.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_an_error_whose_outcome_is_unknown() {
    let (stack, client) = start("").await;
    let relay = CountingProxy::start(stack.gateway.address()).await.unwrap();
    let by_relay = replaced(&stack, &stack.gateway.address().to_string(), &relay.address().to_string());
    // The whole answer, head and body, is some hundred bytes long.
    for cut in [0, 1, 20, 100, 200, 250, 300, 320] {
        check_next_query_works(&by_relay).await;
        relay.set_faults(Faults { cut_after_bytes: Some(cut), ..Faults::default() });
        let answer = by_relay.query("select generate_series(1, 20)", &[]).await;
        relay.set_faults(Faults::default());
        let error = answer.expect_err(&format!("cut after {cut} bytes"));
        assert!(matches!(error.kind(), Kind::Lost | Kind::Protocol), "{error}");
        check(&error, error.kind(), Outcome::Unknown, &["unknown"]);
        assert!(!error.is_retryable());
        assert_eq!(error.attempts(), 1, "what may have run is not sent again: {error}");
    }
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn what_may_run_twice_is_sent_again_when_it_got_no_answer() {
    let (stack, _) = start("").await;
    let relay = CountingProxy::start(stack.gateway.address()).await.unwrap();
    let by_relay = replaced(&stack, &stack.gateway.address().to_string(), &relay.address().to_string());
    check_next_query_works(&by_relay).await;
    relay.set_faults(Faults { cut_after_bytes: Some(30), ..Faults::default() });
    let heal = async {
        while !relay.connections().iter().any(|connection| connection.closed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        relay.set_faults(Faults::default());
    };
    let config: Config = by_relay_url(&stack, &relay).parse().unwrap();
    let patient = Client::new(config.policy(Policy::default().attempts(50).backoff_ms(5, 20))).repeatable();
    let (row, ()) = tokio::join!(patient.query_one("select 7", &[]), heal);
    assert_eq!(row.unwrap().get::<_, i32>(0), 7);
}

fn by_relay_url(stack: &Stack, relay: &CountingProxy) -> String {
    stack.gateway.url().replace(&stack.gateway.address().to_string(), &relay.address().to_string())
}

#[tokio::test]
async fn a_conflict_of_a_transaction_is_tried_again() {
    let (_stack, client) = start("").await;
    // A sequence counts attempts: what it gave is not rolled back.
    client
        .batch_execute(
            "create sequence tries; create function conflict_once() returns int8 language plpgsql as $$
             declare try int8 := nextval('tries');
             begin
                if try < 3 then raise exception 'conflict' using errcode = '40001'; end if;
                return try;
             end $$",
        )
        .await
        .unwrap();
    let row = client.query_one("select conflict_once()", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);
}

#[tokio::test]
async fn a_timeout_is_kept_and_the_next_query_works() {
    let (_stack, client) = start("").await;
    let begun = Instant::now();
    let error =
        client.timeout(Duration::from_millis(200)).query("select pg_sleep(30)", &[]).await.unwrap_err();
    check(&error, Kind::Timeout, Outcome::Unknown, &["200 ms"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn an_answer_over_the_clients_limit_is_refused_and_the_next_query_works() {
    let (stack, _) = start("").await;
    let config: Config = stack.gateway.url().parse().unwrap();
    let client = Client::new(config.response_limit_bytes(100_000));
    let error =
        client.query("select repeat('x', 1000) from generate_series(1, 1000)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.to_string().contains("limit of 100000 bytes"), "{error}");
    let error = client.query("select repeat('x', 200000)", &[]).await.unwrap_err();
    assert!(error.to_string().contains("100000 bytes"), "{error}");
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn a_future_that_is_dropped_does_no_harm() {
    let (_stack, client) = start("pool_size = 1").await;
    for _ in 0..3 {
        let dropped =
            tokio::time::timeout(Duration::from_millis(30), client.query("select pg_sleep(0.3)", &[]));
        assert!(dropped.await.is_err());
    }
    check_next_query_works(&client).await;
}

#[tokio::test]
async fn many_calls_at_once_share_a_client() {
    let (_stack, client) = start("").await;
    let calls: Vec<_> = (0..50i32)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                client.query_one("select $1::int4", &[&number]).await.unwrap().get::<_, i32>(0)
            })
        })
        .collect();
    for (number, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap(), number);
    }
}
