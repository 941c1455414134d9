//! The main promise, counted: whatever a request holds is one flight to PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::{Duration, Instant};

use onetrip_tests::{Faults, Gateway, Stack, http, http::Response};
use serde_json::{Value, json};

/// The flights of one request on a warm connection, each as the tags of what the gateway sent.
async fn flights_of(stack: &Stack, request: &Value) -> (Vec<String>, Response) {
    stack.proxy.forget();
    let answer = stack.pipeline(request).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    (stack.proxy.flights().into_iter().map(|flight| flight.frontend).collect(), answer)
}

/// Checks that there was one flight of so many statements, with one Sync after the last of them. What follows in the
/// same flight undoes session state.
fn check_one_flight(flights: &[String], statements: usize) {
    let [flight] = flights else { panic!("{} flights: {flights:?}", flights.len()) };
    let (before, after) = flight.split_once('S').unwrap_or((flight, ""));
    assert_eq!(before.matches('E').count(), statements, "{flight}");
    assert!(after.ends_with('S') && after.matches('S').count() == 1, "{flight}");
}

#[tokio::test]
async fn a_warm_query_is_one_flight() {
    let stack = Stack::start("").await;
    let query = json!({"sql": "select $1::int4 + 1 as n", "params": [41]});
    stack.pipeline(&query).await;
    let (flights, answer) = flights_of(&stack, &query).await;
    assert_eq!(answer.json()["rows"], json!([{"n": 42}]));
    check_one_flight(&flights, 1);
}

#[tokio::test]
async fn a_batch_of_ten_is_one_request_and_one_flight() {
    let stack = Stack::start("").await;
    stack.pipeline(&json!({"sql": "create table notes (id int4 primary key, body text)"})).await;
    let inserts: Vec<Value> = (0..10)
        .map(|id| json!({"sql": "insert into notes values ($1, $2)", "params": [id, format!("note {id}")]}))
        .collect();
    let (flights, answer) = flights_of(&stack, &json!({"batch": inserts})).await;
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 10);
    assert!(results.iter().all(|result| result["row_count"] == 1), "{results:?}");
    check_one_flight(&flights, 10);

    let (_, answer) = flights_of(&stack, &json!({"sql": "select count(*) from notes"})).await;
    assert_eq!(answer.json()["rows"], json!([{"count": "10"}]));
}

#[tokio::test]
async fn independent_groups_are_one_request_and_one_flight_and_fail_alone() {
    let stack = Stack::start("").await;
    stack.pipeline(&json!({"sql": "create table marks (id int4 primary key)"})).await;
    let insert = |id: i32| json!({"sql": "insert into marks values ($1)", "params": [id]});
    let body = json!({"groups": [
        insert(1),
        {"batch": [insert(2), insert(1), insert(3)]},
        insert(4),
        {"batch": [insert(5), insert(6)]},
        {"sql": "selec"},
        insert(7),
    ]});
    stack.proxy.forget();
    let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/vnd.onetrip.pgwire"),
    ];
    let path = format!("/v1/{}/pipeline", stack.database.name);
    let sent = http::send(stack.gateway.address(), "POST", &path, &headers, body.to_string().into_bytes());
    let answer = sent.await.unwrap();
    assert_eq!(answer.status, 200);
    let mut tags = Vec::new();
    let mut rest = &answer.body[..];
    while let [tag, length @ ..] = rest {
        tags.push(*tag);
        rest = &rest[1 + u32::from_be_bytes(length[..4].try_into().unwrap()) as usize..];
    }
    tags.retain(|tag| b"CEZ".contains(tag));
    assert_eq!(String::from_utf8(tags).unwrap(), "CZ".to_owned() + "CEZ" + "CZ" + "CCZ" + "EZ" + "CZ");
    let flights = stack.proxy.flights();
    let [flight] = &flights[..] else { panic!("{} flights: {flights:?}", flights.len()) };
    assert!(flight.frontend.starts_with("PBDESPBDEPBDEPBDESPBDESPBDEPBDESPBDESPBDES"), "{}", flight.frontend);

    let left = stack.pipeline(&json!({"sql": "select array_agg(id order by id) as ids from marks"})).await;
    assert_eq!(left.json()["rows"], json!([{"ids": "{1,4,5,6,7}"}]));
}

#[tokio::test]
async fn a_batch_waits_for_one_round_trip_whatever_its_length() {
    let stack = Stack::start("").await;
    let batch = json!({"batch": vec![json!({"sql": "select 1"}); 50]});
    stack.pipeline(&batch).await;
    let delay = Duration::from_millis(40);
    stack.proxy.set_faults(Faults { delay, ..Faults::default() });
    let begun = Instant::now();
    let (flights, _) = flights_of(&stack, &batch).await;
    let taken = begun.elapsed();
    // One round trip for each statement would be fifty times that; a busy machine may take a few times.
    assert!(taken >= delay * 2 && taken < delay * 2 * 10, "{taken:?}: {flights:?}");
}

#[tokio::test]
async fn a_failed_statement_undoes_the_whole_batch_and_says_which_it_was() {
    let stack = Stack::start("").await;
    stack.pipeline(&json!({"sql": "create table things (id int4 primary key)"})).await;
    let batch = json!({"batch": [
        {"sql": "insert into things values (1)"},
        {"sql": "insert into things values (2)"},
        {"sql": "insert into things values (1)"},
        {"sql": "insert into things values (3)"},
    ]});
    let (flights, answer) = flights_of(&stack, &batch).await;
    assert_eq!(answer.json()["error"]["code"], "23505");
    assert_eq!(answer.json()["error"]["statement"], 2);
    check_one_flight(&flights, 4);
    let (_, answer) = flights_of(&stack, &json!({"sql": "select count(*) from things"})).await;
    assert_eq!(answer.json()["rows"], json!([{"count": "0"}]));
}

#[tokio::test]
async fn a_warm_connection_is_used_again_and_no_other_is_opened() {
    let stack = Stack::start("").await;
    for n in 0..20 {
        let answer = stack.pipeline(&json!({"sql": "select $1::int4", "params": [n]})).await;
        assert_eq!(answer.json()["rows"], json!([{"int4": n}]));
    }
    assert_eq!(stack.proxy.connections().len(), 1);
}
