//! The statement cache, seen from both sides: PostgreSQL parses a statement once on each connection, and a client cannot
//! tell.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use onetrip_tests::{Gateway, Stack, http::Response};
use onetrip_wire::frontend::{self, Format, Statement};
use onetrip_wire::representation::FRAMES;
use serde_json::{Value, json};

/// What the gateway sent for one request, as tags, and the answer.
async fn flights_of(stack: &Stack, request: &Value) -> (Vec<String>, Response) {
    stack.proxy.forget();
    let answer = stack.pipeline(request).await;
    (stack.proxy.flights().into_iter().map(|flight| flight.frontend).collect(), answer)
}

/// What stands before the first Sync of the first flight.
fn request_of(flights: &[String]) -> &str {
    flights[0].split('S').next().unwrap()
}

async fn rows(stack: &Stack, request: Value) -> Value {
    let answer = stack.pipeline(&request).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    assert!(answer.get("error").is_none(), "{request}: {answer}");
    answer["rows"].clone()
}

async fn run(stack: &Stack, sql: &str) {
    rows(stack, json!({ "sql": sql })).await;
}

/// A request in frames, answered with frames: their tags.
async fn frames(stack: &Stack, statements: &[&str]) -> String {
    groups(stack, &[statements]).await
}

/// The same with several groups.
async fn groups(stack: &Stack, groups: &[&[&str]]) -> String {
    let mut body = Vec::new();
    for statements in groups {
        for sql in *statements {
            let statement = Statement { sql, parameters: &[], result_format: Format::Text };
            frontend::statement(&mut body, &statement).unwrap();
        }
        frontend::sync(&mut body);
    }
    let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
    let headers = [("authorization", authorization.as_str()), ("content-type", FRAMES)];
    let path = format!("/v1/{}/pipeline", stack.database.name);
    let answer =
        onetrip_tests::http::send(stack.gateway.address(), "POST", &path, &headers, body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let (mut tags, mut rest) = (String::new(), &answer.body[..]);
    while let Some(frame) = onetrip_wire::frame::first(rest, &Default::default()).unwrap() {
        tags.push(char::from(frame.tag));
        rest = &rest[frame.frame_len()..];
    }
    tags
}

#[tokio::test]
async fn a_statement_seen_before_is_not_parsed_again_and_takes_one_flight() {
    let stack = Stack::start("pool_size = 1").await;
    let query = |n: i32| json!({"sql": "select $1::int4 + 1 as n", "params": [n]});
    let (flights, _) = flights_of(&stack, &query(1)).await;
    assert_eq!(flights.last().unwrap().split('S').next().unwrap(), "PBDE");
    for n in 0..5 {
        let (flights, answer) = flights_of(&stack, &query(n)).await;
        assert_eq!(answer.json()["rows"], json!([{"n": n + 1}]));
        assert_eq!((flights.len(), request_of(&flights)), (1, "BDE"), "{flights:?}");
    }
}

#[tokio::test]
async fn a_batch_that_repeats_a_statement_parses_it_once_and_then_never() {
    let stack = Stack::start("pool_size = 1").await;
    let batch = json!({"batch": vec![json!({"sql": "select 1 as a"}); 4]});
    stack.pipeline(&json!({"sql": "select 2"})).await;
    let (flights, answer) = flights_of(&stack, &batch).await;
    assert_eq!((flights.len(), request_of(&flights)), (1, "PBDEBDEBDEBDE"));
    assert_eq!(answer.json()["results"][3]["rows"], json!([{"a": 1}]));
    let (flights, _) = flights_of(&stack, &batch).await;
    assert_eq!((flights.len(), request_of(&flights)), (1, "BDEBDEBDEBDE"));
}

#[tokio::test]
async fn the_answer_is_the_same_whether_a_statement_was_parsed_or_not() {
    let stack = Stack::start("pool_size = 1").await;
    for statements in [&["select 1"][..], &["select 1", "select 2", "select 1"], &["", "select 1"]] {
        let first = frames(&stack, statements).await;
        assert_eq!(first.matches('1').count(), statements.len(), "{first}");
        assert_eq!(frames(&stack, statements).await, first);
    }
    let failing = ["select 1", "select 1/0", "select 2"];
    assert_eq!(frames(&stack, &failing).await, frames(&stack, &failing).await);
}

#[tokio::test]
async fn groups_of_one_request_use_what_is_prepared_and_are_one_flight() {
    let stack = Stack::start("pool_size = 1").await;
    groups(&stack, &[&["select 1"]]).await;
    let request: &[&[&str]] =
        &[&["select 1", "select 2"], &["select 2"], &["select 1/0", "select 3"], &["select 3"]];
    let first = groups(&stack, request).await;
    assert_eq!(first, "12TDC12TDCZ12TDCZ12TEZ12TDCZ".replace("12TEZ", "1EZ"), "{first}");
    for _ in 0..3 {
        stack.proxy.forget();
        let again = groups(&stack, request).await;
        // Where PostgreSQL divides, when it plans or when it executes, is its own affair.
        assert_eq!(again.replace("12TEZ", "1EZ").replace("ZEZ", "Z1EZ"), first);
        let flights: Vec<String> = stack.proxy.flights().into_iter().map(|flight| flight.frontend).collect();
        assert_eq!(flights.len(), 1, "{flights:?}");
    }
    let right: &[&[&str]] = &[&["select 1"], &["select 2", "select 3"]];
    for _ in 0..2 {
        groups(&stack, right).await;
    }
    stack.proxy.forget();
    groups(&stack, right).await;
    let flights = stack.proxy.flights();
    assert!(flights[0].frontend.starts_with("BDESBDEBDES") && flights.len() == 1, "{flights:?}");
}

#[tokio::test]
async fn groups_that_are_outdated_together_heal_and_one_among_others_says_so_once() {
    let stack = Stack::start("pool_size = 1").await;
    run(&stack, "create table grouped (a int4)").await;
    let outside = stack.database.connect().await;
    let all = "select * from grouped";
    for _ in 0..2 {
        assert_eq!(groups(&stack, &[&[all], &[all], &[all]]).await, "12TCZ12TCZ12TCZ");
    }
    outside.batch_execute("alter table grouped add column b int4").await.unwrap();
    assert_eq!(groups(&stack, &[&[all], &[all], &[all]]).await, "12TCZ12TCZ12TCZ");

    let mixed: &[&[&str]] = &[&["insert into grouped values (1)"], &[all]];
    assert_eq!(groups(&stack, mixed).await, "12nCZ12TDCZ");
    outside.batch_execute("alter table grouped add column c int4").await.unwrap();
    assert_eq!(groups(&stack, mixed).await, "12nCZEZ", "what was inserted must not be inserted again");
    assert_eq!(groups(&stack, mixed).await, "12nCZ12TDDDCZ");
    assert_eq!(stack.proxy.connections().len(), 1);
}

#[tokio::test]
async fn statements_differ_by_their_declared_types() {
    let stack = Stack::start("pool_size = 1").await;
    let with_type = |type_oid: u32| {
        let mut body = Vec::new();
        let parameter = frontend::Parameter { type_oid, format: Format::Text, value: Some(b"7") };
        let statement = Statement {
            sql: "select pg_typeof($1)::text || $1",
            parameters: &[parameter],
            result_format: Format::Text,
        };
        frontend::statement(&mut body, &statement).unwrap();
        frontend::sync(&mut body);
        body
    };
    let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
    let path = format!("/v1/{}/pipeline", stack.database.name);
    for _ in 0..2 {
        for (oid, expected) in [(23, "integer7"), (25, "text7"), (20, "bigint7")] {
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", FRAMES),
                ("accept", "application/json;rows=array"),
            ];
            let sent =
                onetrip_tests::http::send(stack.gateway.address(), "POST", &path, &headers, with_type(oid));
            assert_eq!(sent.await.unwrap().json()["rows"], json!([[expected]]));
        }
    }
}

#[tokio::test]
async fn the_cache_is_bounded_and_closes_what_it_forgets_in_the_same_flight() {
    let stack = Stack::start("pool_size = 1\nstatement_cache = 3").await;
    let count =
        "select count(*)::int as n from pg_prepared_statements where statement like 'select % as bounded'";
    for n in 0..20 {
        let (flights, answer) = flights_of(&stack, &json!({"sql": format!("select {n} as bounded")})).await;
        assert_eq!(answer.json()["rows"], json!([{"bounded": n}]));
        assert_eq!(flights.last().unwrap().matches('C').count(), usize::from(n >= 3), "{n}: {flights:?}");
    }
    let kept = rows(&stack, json!({ "sql": count })).await[0]["n"].as_i64().unwrap();
    assert!((1..=3).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_batch_of_more_statements_than_the_cache_holds_does_not_overfill_it() {
    let stack = Stack::start("pool_size = 1\nstatement_cache = 3").await;
    let batch = json!({"batch": (0..20).chain(0..20).map(|n| json!({"sql": format!("select {n} as filled")})).collect::<Vec<_>>()});
    let kept =
        "select count(*)::int as n from pg_prepared_statements where statement like 'select % as filled'";
    for _ in 0..3 {
        let answer = stack.pipeline(&batch).await.json();
        for n in 0..40 {
            assert_eq!(answer["results"][n]["rows"], json!([{"filled": n % 20}]), "{answer}");
        }
        // One of three had to go for the statement that counts them.
        assert_eq!(rows(&stack, json!({ "sql": kept })).await, json!([{"n": 2}]));
    }
    assert_eq!(stack.proxy.connections().len(), 1);
}

#[tokio::test]
async fn the_cache_is_bounded_in_postgresql_with_and_without_a_reset_whatever_requests_suffer() {
    for session_reset in [true, false] {
        let settings = format!("pool_size = 1\nstatement_cache = 3\nsession_reset = {session_reset}");
        let stack = Stack::start(&settings).await;
        let requests = |n: i64| {
            let (own, other) =
                (json!({"sql": format!("select {n} as a")}), json!({"sql": format!("select {n}, 2")}));
            let failing = json!({"sql": format!("select {n}, 1 / $1::int8"), "params": [0]});
            [
                (own.clone(), Value::Null),
                (failing.clone(), json!("22012")),
                (json!({"batch": [own, {"sql": "begin"}, other]}), json!("25000")),
                (
                    json!({"batch": [{"sql": "select 1"}, failing, {"sql": format!("select {n}, 3")}]}),
                    json!("22012"),
                ),
            ]
        };
        for n in 0..10 {
            for (request, code) in requests(n) {
                let answer = stack.pipeline(&request).await.json();
                assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
                let count = "select count(*)::int as n from pg_prepared_statements where statement like 'select %' \
                             and name like 'onetrip%' and name !~ '_[a-z]$'";
                let kept = rows(&stack, json!({ "sql": count })).await[0]["n"].as_i64().unwrap();
                assert!(kept <= 3, "{kept} after {request} with session_reset = {session_reset}");
            }
        }
        assert_eq!(stack.proxy.connections().len(), 1);
    }
}

#[tokio::test]
async fn without_a_cache_every_statement_is_parsed() {
    let stack = Stack::start("pool_size = 1\nstatement_cache = 0").await;
    for _ in 0..3 {
        let (flights, _) = flights_of(&stack, &json!({"sql": "select 1"})).await;
        assert!(flights.last().unwrap().starts_with("PBDESQ"), "{flights:?}");
    }
    assert_eq!(
        rows(&stack, json!({"sql": "select count(*)::int as n from pg_prepared_statements"})).await,
        json!([{"n": 0}])
    );
}

#[tokio::test]
async fn a_changed_table_heals_without_the_client_noticing() {
    let stack = Stack::start("pool_size = 1").await;
    run(&stack, "create table healing (id int4 primary key, name text)").await;
    let all = json!({"sql": "select * from healing order by id"});
    let insert = |id: i64| json!({"sql": "insert into healing (id, name) values ($1, 'x')", "params": [id]});
    let find = |id: i64| json!({"sql": "select name from healing where id = $1", "params": [id.to_string()]});
    for _ in 0..2 {
        rows(&stack, all.clone()).await;
        rows(&stack, find(1)).await;
    }
    rows(&stack, insert(1)).await;
    rows(&stack, insert(2)).await;

    // "cached plan must not change result type"
    run(&stack, "alter table healing add column more int4 default 5").await;
    assert_eq!(rows(&stack, all.clone()).await[0], json!({"id": 1, "name": "x", "more": 5}));
    // A parameter that was inferred as int4.
    run(&stack, "alter table healing alter column id type int8").await;
    rows(&stack, insert(3_000_000_000)).await;
    assert_eq!(rows(&stack, find(3_000_000_000)).await, json!([{"name": "x"}]));
    // An operator that is not there for the old type.
    run(&stack, "alter table healing alter column id type text").await;
    assert_eq!(rows(&stack, find(3_000_000_000)).await, json!([{"name": "x"}]));
    assert_eq!(rows(&stack, all.clone()).await.as_array().unwrap().len(), 3);
    // A type that is another one of the same name now: "cache lookup failed for type".
    let mood = json!({"sql": "select $1::mood::text as mood", "params": ["ok"]});
    for create in
        ["create type mood as enum ('ok')", "drop type mood", "create type mood as enum ('sad', 'ok')"]
    {
        run(&stack, create).await;
        if create.starts_with("create") {
            assert_eq!(rows(&stack, mood.clone()).await, json!([{"mood": "ok"}]));
        }
    }
    // From outside, too, and as part of a batch, which runs once.
    let outside = stack.database.connect().await;
    outside.batch_execute("alter table healing drop column more").await.unwrap();
    let batch = json!({"batch": [{"sql": "insert into healing values ('9', 'y')"}, all]});
    let answer = stack.pipeline(&batch).await.json();
    assert_eq!(answer["results"][1]["rows"].as_array().unwrap().len(), 4, "{answer}");
    outside.batch_execute("alter table healing add column again int4").await.unwrap();
    run(&stack, "delete from healing where id = '9'").await;
    let answer = stack.pipeline(&batch).await.json();
    assert_eq!(answer["results"][1]["rows"].as_array().unwrap().len(), 4, "{answer}");
    assert_eq!(stack.proxy.connections().len(), 1, "healing does not cost the connection");
}

#[tokio::test]
async fn a_batch_of_which_something_is_committed_is_not_sent_again() {
    let stack = Stack::start("pool_size = 1").await;
    run(&stack, "create table twice (a int4)").await;
    let all = json!({"sql": "select * from twice"});
    rows(&stack, all.clone()).await;
    let batch = json!({"batch": [{"sql": "insert into twice values (1)"}, {"sql": "commit"}, all]});
    stack.database.connect().await.batch_execute("alter table twice add column b int4").await.unwrap();
    let answer = stack.pipeline(&batch).await.json();
    assert_eq!(answer["error"]["code"], "0A000", "{answer}");
    assert_eq!(rows(&stack, all).await.as_array().unwrap().len(), 1, "inserted once");
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_the_clients_error_each_time() {
    let stack = Stack::start("pool_size = 1").await;
    let wrong = json!({"sql": "select $1::int4 + 1 as n", "params": ["abc"]});
    for _ in 0..3 {
        let answer = stack.pipeline(&wrong).await.json();
        assert_eq!(answer["error"]["code"], "22P02", "{answer}");
        let right = json!({"sql": "select $1::int4 + 1 as n", "params": ["1"]});
        assert_eq!(rows(&stack, right).await, json!([{"n": 2}]));
    }
}

#[tokio::test]
async fn statements_that_a_request_drops_are_not_missed() {
    let stack = Stack::start("pool_size = 1").await;
    let query = json!({"sql": "select 5 as n"});
    run(&stack, "create function drop_all() returns void language plpgsql as $$ begin execute 'deallocate all'; end $$")
        .await;
    for drop in [
        "deallocate all",
        "discard all",
        "discard plans",
        "do $$ begin execute 'deallocate all'; end $$",
        "select drop_all()",
        "select drop_all()",
    ] {
        assert_eq!(rows(&stack, query.clone()).await, json!([{"n": 5}]));
        run(&stack, drop).await;
        assert_eq!(rows(&stack, query.clone()).await, json!([{"n": 5}]), "{drop}");
    }
    assert_eq!(stack.proxy.connections().len(), 1);
}

#[tokio::test]
async fn another_search_path_finds_its_own_tables() {
    let stack = Stack::start("pool_size = 1").await;
    for schema in ["one", "two"] {
        run(&stack, &format!("create schema {schema}")).await;
        run(&stack, &format!("create table {schema}.place as select '{schema}'::text as name")).await;
    }
    for _ in 0..3 {
        for schema in ["one", "two"] {
            let batch = json!({"batch": [
                {"sql": "select set_config('search_path', $1, false)", "params": [schema]},
                {"sql": "select name from place"},
            ]});
            let answer = stack.pipeline(&batch).await.json();
            assert_eq!(answer["results"][1]["rows"], json!([{"name": schema}]), "{answer}");
        }
    }
    let lost = stack.pipeline(&json!({"sql": "select name from place"})).await.json();
    assert_eq!(lost["error"]["code"], "42P01", "{lost}");
}

#[tokio::test]
async fn a_name_that_a_request_takes_from_the_gateway_gives_nobody_its_rows() {
    let stack = Stack::start("pool_size = 1").await;
    let query = json!({"sql": "select 'right' as answer"});
    for _ in 0..2 {
        rows(&stack, query.clone()).await;
    }
    let names = "select name from pg_prepared_statements where statement = 'select ''right'' as answer'";
    let name = rows(&stack, json!({ "sql": names })).await[0]["name"].as_str().unwrap().to_owned();
    let batch = json!({"batch": [
        {"sql": format!("deallocate {name}")},
        {"sql": format!("prepare {name} as select 'wrong' as answer")},
    ]});
    assert!(stack.pipeline(&batch).await.json().get("error").is_none());
    assert_eq!(rows(&stack, query.clone()).await, json!([{"answer": "right"}]));
    // The same from within a function.
    let name = rows(&stack, json!({ "sql": names })).await[0]["name"].as_str().unwrap().to_owned();
    run(
        &stack,
        &format!(
            "create function steal() returns void language plpgsql as $$ begin execute 'deallocate {name}'; \
         execute 'prepare {name} as select ''wrong'' as answer'; end $$"
        ),
    )
    .await;
    run(&stack, "select steal()").await;
    assert_eq!(rows(&stack, query).await, json!([{"answer": "right"}]));
}

#[tokio::test]
async fn state_that_a_prepared_statement_leaves_is_gone_whatever_its_tag_says() {
    let stack = Stack::start("pool_size = 1").await;
    run(&stack, "create sequence counted").await;
    run(&stack, "create table numbered (id serial, a int4)").await;
    let as_function = |name: &str, body: &str| {
        format!("create function {name}() returns int4 language plpgsql as $$ begin {body}; return 1; end $$")
    };
    for (name, body) in [
        ("leave_setting", "set work_mem = '77MB'"),
        ("leave_temporary", "create temp table left_behind (a int4)"),
        ("leave_channel", "execute 'listen left_channel'"),
        ("leave_cursor", "execute 'declare left_cursor cursor with hold for select 1'"),
        ("leave_role", "set role pg_monitor"),
        ("leave_timeout", "set statement_timeout = '500ms'"),
    ] {
        run(&stack, &as_function(name, body)).await;
    }
    let superuser = onetrip_tests::postgres();
    let owner = onetrip_tests::Database {
        name: "postgres".into(),
        password: superuser.password().into(),
        address: stack.database.address,
    };
    owner
        .connect()
        .await
        .batch_execute(&format!("grant pg_monitor to {}", stack.database.name))
        .await
        .unwrap();
    let locks =
        "select count(*)::int4 as left from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    let cases = [
        ("select leave_setting()", "select (current_setting('work_mem') <> '4MB')::int4 as left"),
        (
            "select set_config('work_mem', '66MB', false)",
            "select (current_setting('work_mem') <> '4MB')::int4 as left",
        ),
        ("select leave_temporary()", "select (to_regclass('left_behind') is not null)::int4 as left"),
        ("select leave_channel()", "select count(*)::int4 as left from pg_listening_channels()"),
        ("select leave_cursor()", "select count(*)::int4 as left from pg_cursors where is_holdable"),
        ("select leave_role()", "select (current_user <> session_user)::int4 as left"),
        ("select leave_timeout()", "select (current_setting('statement_timeout') <> '0')::int4 as left"),
        ("select 1 from pg_advisory_lock(11)", locks),
        ("select 1 from pg_advisory_lock_shared(12), pg_advisory_lock(13)", locks),
    ];
    // The second and the third time nothing is parsed.
    for time in 0..3 {
        for (leave, look) in cases {
            run(&stack, leave).await;
            assert_eq!(
                rows(&stack, json!({ "sql": look })).await,
                json!([{"left": 0}]),
                "{leave}, time {time}"
            );
        }
        for (count, ask) in [
            ("select nextval('counted')", "select currval('counted')"),
            ("insert into numbered (a) values (1)", "select lastval()"),
        ] {
            run(&stack, count).await;
            let answer = stack.pipeline(&json!({ "sql": ask })).await.json();
            assert_eq!(answer["error"]["code"], "55000", "{count}, time {time}: {answer}");
        }
    }
    assert_eq!(stack.proxy.connections().len(), 1, "and none of it costs the connection");
}

#[tokio::test]
async fn what_discard_all_leaves_is_all_that_survives_with_and_without_a_cache() {
    for cache in [256, 0] {
        let stack = Stack::start(&format!("pool_size = 1\nstatement_cache = {cache}")).await;
        let seeded = async || {
            run(&stack, "select setseed(0.5)").await;
            rows(&stack, json!({"sql": "select random()::text as n"})).await
        };
        // PROTOCOL.md says so; if PostgreSQL learns to reset it, that has to change.
        assert_eq!(seeded().await, seeded().await);
        run(&stack, "select set_config('own.setting', 'a secret', false)").await;
        let left = rows(&stack, json!({"sql": "select current_setting('own.setting', true) as a"})).await;
        assert_eq!(left, json!([{"a": ""}]));
        assert_eq!(stack.proxy.connections().len(), 1);
    }
}
