//! Profile 2 against the cases in `tests/conformance`: what clients of Neon's endpoint send, and what they expect.
//!
//! `tests/conformance/README.md` says how a case is written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

mod conformance_support;
#[path = "conformance_support/tunnel.rs"]
mod tunnel;

use conformance_support::{Endpoint, cases, check_exchange};

#[tokio::test]
async fn every_case_of_sql_over_http_is_answered_as_clients_expect() {
    let endpoint = Endpoint::start("").await;
    let mut failures = Vec::new();
    let cases = cases("sql.json");
    assert_eq!(cases.len(), 80, "a case is missing");
    for case in &cases {
        if let Err(failure) = check_exchange(&endpoint, case, &|header| header.to_owned()).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[tokio::test]
async fn every_case_of_the_websocket_tunnel_is_answered_as_clients_expect() {
    let endpoint = Endpoint::start("").await;
    let cases = cases("websocket.json");
    assert_eq!(cases.len(), 6, "a case is missing");
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let expected: Vec<&str> =
            case["expect"].as_array().unwrap().iter().map(|message| message.as_str().unwrap()).collect();
        let is_setting = |message: &str| message.starts_with("S(");
        let answered = expected.iter().filter(|message| !is_setting(message)).count();
        let found = tunnel::messages(endpoint.gateway.address(), case, answered).await;
        let without_settings = |messages: &[&str]| -> Vec<String> {
            messages.iter().filter(|message| !is_setting(message)).map(|text| (*text).to_owned()).collect()
        };
        let texts: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(without_settings(&texts), without_settings(&expected), "{name}");
        // Later versions of PostgreSQL report more.
        for setting in expected.iter().filter(|message| is_setting(message)) {
            assert!(texts.contains(setting), "{name}: {setting} is missing in {texts:?}");
        }
    }
}
