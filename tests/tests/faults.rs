//! What goes wrong between a client and its data: each fault gives an error that says what happened, shows no
//! credentials, and is over when it is over.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::{net::SocketAddr, time::Duration};

use onetrip_embedded_postgres::{Options, Postgres, Shutdown};
use onetrip_tests::{CountingProxy, Database, Faults, Gateway, Stack, http::Response, installation};
use serde_json::{Value, json};

/// Checks that an answer is a problem of this kind, whole and discreet.
fn check_problem(answer: &Response, status: u16, code: &str, secrets: &[&str]) -> Value {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{text}");
    assert_eq!(problem["status"], status, "{text}");
    assert_eq!(problem["request_id"].as_str().unwrap(), answer.header("onetrip-request-id"));
    assert!(problem["detail"].as_str().unwrap().len() > 10, "{text}");
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    problem
}

async fn check_next_query_works(stack: &Stack) {
    let answer = stack.pipeline(&json!({"sql": "select 'still here' as state"})).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.json()["rows"], json!([{"state": "still here"}]));
}

#[tokio::test]
async fn a_wrong_password_or_role_is_a_401_and_the_right_one_still_works() {
    let stack = Stack::start("").await;
    let secrets = ["wrong-password", "no_such_role", &stack.proxy.address().to_string()];
    for (role, password) in
        [(stack.database.name.as_str(), "wrong-password"), ("no_such_role", "wrong-password")]
    {
        let body = json!({"sql": "select 1"}).to_string().into_bytes();
        let answer =
            stack.gateway.pipeline_as(&Gateway::basic(role, password), &stack.database.name, body).await;
        let problem = check_problem(&answer, 401, "invalid_credentials", &secrets);
        assert_eq!(problem["sqlstate"], "28P01");
        assert_eq!(problem["retryable"], false);
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"onetrip\"");
    }
    check_next_query_works(&stack).await;
    // Now that the right password has opened a connection, the wrong one must not find it.
    let body = json!({"sql": "select 1"}).to_string().into_bytes();
    let answer = stack
        .gateway
        .pipeline_as(&Gateway::basic(&stack.database.name, "wrong-password"), &stack.database.name, body)
        .await;
    check_problem(&answer, 401, "invalid_credentials", &secrets);
}

#[tokio::test]
async fn missing_and_unreadable_credentials_are_a_401() {
    let stack = Stack::start("").await;
    for authorization in ["", "Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer token"] {
        let body = json!({"sql": "select 1"}).to_string().into_bytes();
        let answer = stack.gateway.pipeline_as(authorization, &stack.database.name, body).await;
        check_problem(&answer, 401, "invalid_credentials", &["bm9jb2xvbg"]);
    }
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_database_that_the_configuration_does_not_name_is_a_404() {
    let stack = Stack::start("").await;
    // It exists on the server, but the endpoint is no open stack.proxy.
    for name in ["postgres", "nowhere", "127.0.0.1:5432"] {
        let body = json!({"sql": "select 1"}).to_string().into_bytes();
        let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
        let answer = stack.gateway.pipeline_as(&authorization, name, body).await;
        check_problem(&answer, 404, "unknown_database", &[&stack.database.password]);
    }
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_that_names_the_limit() {
    let stack = Stack::start("[limits]\nrequest_bytes = 1000").await;
    let answer = stack.pipeline(&json!({"sql": "select $1", "params": ["x".repeat(2000)]})).await;
    let problem = check_problem(&answer, 413, "request_too_large", &["xxx"]);
    assert!(problem["detail"].as_str().unwrap().contains("1000"), "{problem}");
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_malformed_body_is_a_400() {
    let stack = Stack::start("").await;
    let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"sql": 1}"#,
        r#"{"sql": "select 1", "batch": []}"#,
        r#"{"query": "select 1"}"#,
    ] {
        let answer = stack.gateway.pipeline_as(&authorization, &stack.database.name, body.into()).await;
        check_problem(&answer, 400, "malformed_request", &[&stack.database.password]);
    }
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn an_sql_error_is_told_in_full_and_the_connection_stays_good() {
    let stack = Stack::start("").await;
    check_next_query_works(&stack).await;
    for (sql, code) in [("selct 1", "42601"), ("select 1/0", "22012"), ("select * from nowhere", "42P01")] {
        let answer = stack.pipeline(&json!({"sql": sql})).await;
        assert_eq!(answer.status, 200);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().len() > 5, "{error}");
        check_next_query_works(&stack).await;
    }
    assert_eq!(stack.proxy.connections().len(), 1, "an SQL error must not cost the connection");
}

#[tokio::test]
async fn a_stopped_postgresql_is_a_502_until_it_is_back() {
    let postgres = Postgres::start(&installation(), Options::for_tests()).unwrap();
    let database = Database::create_in(&postgres, "app").await;
    // Not through the proxy, which would accept what the stopped server refuses.
    let gateway = Gateway::start(&database, database.address, "").await;
    let proxy = CountingProxy::start(database.address).await.unwrap();
    let stack = Stack { database, proxy, gateway };
    check_next_query_works(&stack).await;
    for shutdown in [Shutdown::Fast, Shutdown::Immediate] {
        postgres.stop(shutdown).unwrap();
        let answer = stack.pipeline(&json!({"sql": "select 1"})).await;
        let address = stack.database.address.to_string();
        let problem =
            check_problem(&answer, 502, "database_unreachable", &[&stack.database.password, &address]);
        assert_eq!(problem["retryable"], true);
        postgres.restart().unwrap();
        check_next_query_works(&stack).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_or_never_answers_is_a_502() {
    // Long enough for a login on a busy machine, for the same limit holds when the fault is over.
    let stack = Stack::start("connect_timeout = \"4s\"").await;
    for fault in [Faults { refuse: true, ..Faults::default() }, Faults { stall: true, ..Faults::default() }] {
        stack.proxy.set_faults(fault);
        let answer = stack.pipeline(&json!({"sql": "select 1"})).await;
        check_problem(&answer, 502, "database_unreachable", &[&stack.database.password]);
    }
    stack.proxy.set_faults(Faults::default());
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_connection_lost_before_the_answer_is_a_502_with_an_unknown_outcome() {
    let stack = Stack::start("").await;
    check_next_query_works(&stack).await;
    stack.proxy.set_faults(Faults { cut_after_bytes: Some(0), ..Faults::default() });
    let answer = stack.pipeline(&json!({"sql": "select 1"})).await;
    let problem = check_problem(&answer, 502, "connection_lost", &[]);
    assert_eq!(problem["retryable"], false);
    stack.proxy.set_faults(Faults::default());
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_connection_lost_in_mid_result_cuts_the_body() {
    let stack = Stack::start("").await;
    check_next_query_works(&stack).await;
    stack.proxy.set_faults(Faults { cut_after_bytes: Some(100_000), ..Faults::default() });
    let answer =
        stack.pipeline(&json!({"sql": "select repeat('x', 100) from generate_series(1, 10000)"})).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.complete, "a cut body of {} bytes looks whole", answer.body.len());
    stack.proxy.set_faults(Faults::default());
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn a_stalled_result_goes_on_when_the_stall_ends() {
    let stack = Stack::start("").await;
    check_next_query_works(&stack).await;
    stack.proxy.set_faults(Faults { stall: true, ..Faults::default() });
    let request = json!({"sql": "select 1 as n"});
    let query = stack.pipeline(&request);
    tokio::pin!(query);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut query).await.is_err());
    stack.proxy.set_faults(Faults::default());
    let answer = tokio::time::timeout(Duration::from_secs(10), query).await.unwrap();
    assert_eq!(answer.json()["rows"], json!([{"n": 1}]));
}

#[tokio::test]
async fn a_database_that_the_role_may_not_enter_is_a_403() {
    let stack = Stack::start("").await;
    let other = Database::create().await;
    let revoke = format!("revoke connect on database {} from public", stack.database.name);
    stack.database.connect().await.batch_execute(&revoke).await.unwrap();
    let body = json!({"sql": "select 1"}).to_string().into_bytes();
    let answer = stack
        .gateway
        .pipeline_as(&Gateway::basic(&other.name, &other.password), &stack.database.name, body)
        .await;
    let problem = check_problem(&answer, 403, "forbidden", &[&other.password]);
    assert_eq!(problem["sqlstate"], "42501");
    check_next_query_works(&stack).await;
}

#[tokio::test]
async fn nobody_listening_is_a_plain_error_for_the_client() {
    let stack = Stack::start("").await;
    let address: SocketAddr = stack.gateway.address();
    stack.gateway.stop().await;
    assert!(onetrip_tests::http::send(address, "GET", "/healthz", &[], Vec::new()).await.is_err());
}
