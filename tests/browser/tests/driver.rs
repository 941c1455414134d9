//! The driver by `fetch` in a real browser, against a real gateway and PostgreSQL: `cargo xtask test browser`.

#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::future::Future;
use std::time::Duration;

use onetrip::types::{FromSql, ToSql};
use onetrip::{Client, FromRow, Kind, Outcome};
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[allow(clippy::option_env_unwrap, reason = "a build without it is allowed, a run is not")]
fn url() -> &'static str {
    option_env!("ONETRIP_TEST_URL").expect(
        "ONETRIP_TEST_URL is not set: `cargo xtask test browser` starts PostgreSQL and a gateway and sets it",
    )
}

fn client() -> Client {
    Client::connect(url()).unwrap()
}

#[wasm_bindgen_test]
async fn all_scenarios_pass() {
    let prefix = format!("browser{}", (js_sys::Math::random() * 1e9).floor());
    let report = onetrip_scenarios::run(&client(), &prefix).await;
    console_log!("{report}");
    assert!(report.is_success(), "{report}");
}

#[wasm_bindgen_test]
async fn a_wrong_password_is_refused_and_the_next_query_works() {
    let (before, after) = url().rsplit_once('@').unwrap();
    let wrong = Client::connect(&format!("{before}-wrong@{after}")).unwrap();
    let error = wrong.query_one("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.refusal()), (Kind::Refused, Some("invalid_credentials")), "{error}");
    assert_eq!(error.outcome(), Outcome::NotExecuted);
    assert!(!error.to_string().contains("-wrong"), "{error}");
    let one: i32 = client().query_one("select 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
}

#[wasm_bindgen_test]
async fn an_endpoint_that_is_down_is_said_to_be_so() {
    // Port 9 is `discard`, which browsers do not even try.
    for port in [1, 9] {
        let error = Client::connect(&format!("http://app:hunter2@127.0.0.1:{port}/app"))
            .unwrap()
            .query_one("select 1", &[])
            .await
            .unwrap_err();
        // `fetch` does not tell what was sent.
        assert_eq!((error.kind(), error.outcome()), (Kind::Lost, Outcome::Unknown), "{error}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[wasm_bindgen_test]
async fn a_timeout_aborts_the_request() {
    let hasty = client().timeout(Duration::from_millis(200));
    let error = hasty.query_one("select pg_sleep(30)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Timeout, Outcome::Unknown), "{error}");
    let one: i32 = client().query_one("select 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
}

#[wasm_bindgen_test]
async fn an_answer_over_the_limit_is_refused_and_the_next_query_works() {
    let config: onetrip::Config = url().parse().unwrap();
    let small = Client::new(config.response_limit_bytes(100_000));
    let error = small.query("select repeat('x', 1000) from generate_series(1, 1000)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.to_string().contains("100000 bytes"), "{error}");
    let one: i32 = small.query_one("select 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
}

#[derive(FromRow)]
struct Numbered<'a> {
    id: i32,
    body: &'a str,
}

#[wasm_bindgen_test]
async fn rows_arrive_as_a_stream_and_dropping_it_aborts_the_request() {
    let client = client();
    let sql = "select id, repeat('x', 1000) as body from generate_series(1, $1) id";
    let mut rows = client.query_raw(sql, [3_000i32]).await.unwrap();
    let mut expected = 0;
    while let Some(row) = rows.next().await {
        expected += 1;
        let row = row.unwrap();
        let Numbered { id, body } = Numbered::from_row(&row).unwrap();
        assert_eq!((id, body.len()), (expected, 1000));
    }
    assert_eq!((expected, rows.row_count()), (3_000, Some(3_000)));

    // A gigabyte, if somebody took it.
    let mut endless = client.query_raw(sql, [1_000_000i32]).await.unwrap();
    endless.next().await.unwrap().unwrap();
    drop(endless);
    let metrics = client.metrics();
    assert_eq!((metrics.calls, metrics.cancelled), (1, 1));
    assert!(metrics.bytes_received < 64 << 20, "{} bytes", metrics.bytes_received);
}

#[wasm_bindgen_test]
async fn a_transaction_runs_as_it_was_asked_to() {
    let (level, read_only) = client()
        .transaction()
        .isolation_level(onetrip::IsolationLevel::Serializable)
        .read_only(true)
        .query_one("select current_setting('transaction_isolation')", &[])
        .query_one("select current_setting('transaction_read_only')", &[])
        .commit()
        .await
        .unwrap();
    assert_eq!((level.get(0), read_only.get(0)), ("serializable", "on"));
}

#[wasm_bindgen_test]
async fn a_stream_gives_the_rows_before_an_error_and_then_the_error() {
    // The rows before it are more than the server keeps back until it knows.
    let sql = "select id, repeat('x', 1000) as body, 1 / (2000 - id) from generate_series(1, $1) id";
    let client = client();
    let mut rows = client.query_raw(sql, [3_000i32]).await.unwrap();
    let mut count = 0;
    let error = loop {
        match rows.next().await.expect("it fails before its end") {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.kind(), error.code()), (1_999, Kind::Sql, Some("22012")), "{error}");
    assert!(rows.next().await.is_none());
    let one: i32 = client.query_one("select 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
}

#[wasm_bindgen_test]
async fn a_stream_that_nobody_reads_is_held_back_at_the_server() {
    let marker = format!("held_{}", (js_sys::Math::random() * 1e9).floor());
    onetrip_scenarios::held_back(&client(), &marker).await.unwrap();
}

#[wasm_bindgen_test]
async fn what_is_dropped_or_times_out_is_cancelled_in_postgresql() {
    let client = client();
    let marker = |what: &str| format!("{what}_{}", (js_sys::Math::random() * 1e9).floor());
    let (late, hasty) = (marker("late"), client.timeout(Duration::from_millis(300)));
    let error = hasty.query(&format!("select pg_sleep(60) as {late}"), &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    onetrip_scenarios::ended(&client, &late).await.unwrap();

    let dropped = marker("dropped");
    let sql = format!("select pg_sleep(60) as {dropped}");
    {
        let mut call = std::pin::pin!(client.query(&sql, &[]));
        let mut wait = std::pin::pin!(client.query("select pg_sleep(0.3)", &[]));
        std::future::poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            wait.as_mut().poll(context)
        })
        .await
        .unwrap();
    }
    onetrip_scenarios::ended(&client, &dropped).await.unwrap();
    assert_eq!(client.metrics().cancelled, 1);
}

#[derive(Debug, PartialEq, ToSql, FromSql)]
#[postgres(name = "browser_mood", rename_all = "snake_case")]
enum Mood {
    Sad,
    Happy,
}

#[wasm_bindgen_test]
async fn types_of_ones_own_go_and_come() {
    let client = client();
    client
        .batch_execute("drop type if exists browser_mood; create type browser_mood as enum ('sad', 'happy')")
        .await
        .unwrap();
    // It reads without its type, and goes when the call or the client knows it.
    let row = client.query_one("select 'happy'::browser_mood, null::browser_mood", &[]).await.unwrap();
    assert_eq!(<(Mood, Option<Mood>)>::from_row(&row).unwrap(), (Mood::Happy, None));
    let error = client.query_one("select $1::browser_mood", &[&Mood::Sad]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Usage, Outcome::NotExecuted), "{error}");
    let labels = vec!["sad".into(), "happy".into()];
    let mood = onetrip::types::Type::new(
        "browser_mood".into(),
        0,
        onetrip::types::Kind::Enum(labels),
        "public".into(),
    );
    let rows = client.query_typed("select $1::browser_mood::text", &[(&Mood::Sad, mood)]).await.unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "sad");
    let client = client.look_up_types(&["browser_mood"]).await.unwrap();
    let row = client.query_one("select $1::browser_mood", &[&Mood::Happy]).await.unwrap();
    assert_eq!(row.get::<_, Mood>(0), Mood::Happy);
    client.batch_execute("drop type browser_mood").await.unwrap();
}

#[wasm_bindgen_test]
async fn an_error_of_postgresql_has_every_field_and_names_its_statement() {
    let client = client();
    let error = client
        .transaction()
        .query("select 1", &[])
        .execute("select nmae from (values (1)) t(name)", &[])
        .commit()
        .await
        .unwrap_err();
    let sql = error.as_db_error().expect("PostgreSQL's own words");
    assert_eq!(
        (error.kind(), error.code(), error.statement()),
        (Kind::Sql, Some("42703"), Some(1)),
        "{error}"
    );
    assert_eq!((sql.position(), sql.severity()), (Some(8), "ERROR"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotExecuted);
}
