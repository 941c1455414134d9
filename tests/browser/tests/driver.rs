//! The driver by `fetch` in a real browser, against a real gateway and PostgreSQL: `cargo xtask test browser`.

#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::Duration;

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
