//! Profile 2 beyond what its clients compare: flights, settings, types, errors, streaming, and sessions over WebSocket.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

#[path = "conformance_support/tunnel.rs"]
#[allow(dead_code, reason = "the cases use what is not used here")]
mod tunnel;

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use onetrip_tests::http::{self, Response};
use onetrip_tests::{Faults, Stack};
use onetrip_wire::{Limits, frame};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

async fn send(stack: &Stack, parameters: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let database = &stack.database;
    let connection =
        format!("postgresql://{0}:{1}@any.host/{0}{parameters}", database.name, database.password);
    let mut all = vec![("neon-connection-string", connection.as_str())];
    all.extend(headers);
    http::send(stack.gateway.address(), "POST", "/sql", &all, body.to_string().into_bytes()).await.unwrap()
}

async fn query(stack: &Stack, sql: &str) -> Value {
    let answer = send(stack, "", &[], &json!({ "query": sql })).await;
    assert_eq!(answer.status, 200, "{sql}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()["rows"].clone()
}

/// The flights of one request on a warm connection, as the tags that the gateway sent, with the answer.
async fn flights(
    stack: &Stack,
    parameters: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (Vec<String>, Response) {
    query(stack, "select 1").await;
    // The reset behind the warming request belongs to that.
    stack.pipeline(&json!({"sql": "select 1"})).await;
    stack.proxy.forget();
    stack.proxy.set_faults(Faults { delay: Duration::from_millis(2), ..Faults::default() });
    let answer = send(stack, parameters, headers, body).await;
    let flights = stack.proxy.flights().into_iter().map(|flight| flight.frontend).collect();
    stack.proxy.set_faults(Faults::default());
    (flights, answer)
}

fn batch(statements: usize) -> Value {
    let queries: Vec<Value> =
        (0..statements).map(|n| json!({"query": "select $1::int as n", "params": [n]})).collect();
    json!({ "queries": queries })
}

#[tokio::test]
async fn a_batch_of_ten_is_one_flight_with_and_without_a_transaction_of_its_own_and_settings() {
    let stack = Stack::start("").await;
    let isolation = [("neon-batch-isolation-level", "Serializable"), ("neon-batch-read-only", "true")];
    for (parameters, headers, own) in [
        ("", &[][..], 0),
        ("", &isolation[..], 2),
        ("?application_name=app&search_path=pg_catalog", &[][..], 1),
        ("?statement_timeout=5s", &isolation[..], 3),
    ] {
        let (flights, answer) = flights(&stack, parameters, headers, &batch(10)).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["results"].as_array().unwrap().len(), 10);
        let [flight] = &flights[..] else { panic!("{} flights: {flights:?}", flights.len()) };
        let before_sync = flight.split('S').next().unwrap();
        assert_eq!(before_sync.matches('E').count(), 10 + own, "{parameters} {flight}");
    }
}

#[tokio::test]
async fn settings_of_a_connection_string_hold_for_their_request_alone() {
    let stack = Stack::start("pool_size = 1").await;
    query(&stack, "create schema other").await;
    query(&stack, "create table other.things as select 7 as n").await;
    let show = "select current_setting('search_path') as path, current_setting('application_name') as name, \
                current_setting('statement_timeout') as timeout, current_setting('work_mem') as memory";
    let defaults = query(&stack, show).await;
    let parameters =
        "?search_path=other,public&application_name=web&statement_timeout=1234&options=-c%20work_mem%3D1MB";
    for _ in 0..3 {
        let answer = send(&stack, parameters, &[], &json!({ "query": show })).await.json();
        let expected = json!([{"path": "other,public", "name": "web", "timeout": "1234ms", "memory": "1MB"}]);
        assert_eq!(answer["rows"], expected, "{answer}");
        let found = send(&stack, parameters, &[], &json!({"query": "select n from things"})).await;
        assert_eq!(found.json()["rows"], json!([{"n": 7}]));
        assert_eq!(query(&stack, show).await, defaults);
    }
    let slow = send(&stack, "?statement_timeout=50", &[], &json!({"query": "select pg_sleep(30)"})).await;
    assert_eq!((slow.status, &slow.json()["code"]), (400, &json!("57014")));
    // What PostgreSQL refuses is refused before anything runs.
    let wrong =
        send(&stack, "?statement_timeout=soon", &[], &json!({"query": "create table never (n int)"})).await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("22023")), "{}", wrong.json());
    let wrong = send(
        &stack,
        "?options=-c%20no.such%3D1%20-c%20default_transaction_isolation%3Dx",
        &[],
        &json!({"query": "create table never (n int)"}),
    )
    .await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("22023")), "{}", wrong.json());
    assert_eq!(query(&stack, "select to_regclass('never') as t").await, json!([{"t": null}]));
}

#[tokio::test]
async fn what_committed_something_is_not_sent_again_whatever_error_it_ends_with() {
    let stack = Stack::start("pool_size = 1").await;
    query(&stack, "create table once (n int)").await;
    let batch = json!({"queries": [
        {"query": "insert into once values (1)"}, {"query": "commit"}, {"query": "select 1"},
        {"query": "do $$ begin raise exception 'no' using errcode = '25001'; end $$"},
    ]});
    let answer = send(&stack, "?application_name=web", &[], &batch).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("25001")), "{}", answer.json());
    assert_eq!(query(&stack, "select n from once").await, json!([{"n": 1}]), "inserted once");
}

#[tokio::test]
async fn statements_that_stand_alone_run_with_settings_too() {
    let stack = Stack::start("pool_size = 1").await;
    query(&stack, "create table things (n int)").await;
    let parameters = "?application_name=web";
    for sql in ["vacuum things", "set transaction isolation level serializable", "begin"] {
        let answer = send(&stack, parameters, &[], &json!({ "query": sql })).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.json());
    }
    let first = json!({"queries": [
        {"query": "set transaction isolation level serializable"},
        {"query": "select current_setting('transaction_isolation') as level, current_setting('application_name') as name"},
    ]});
    let answer = send(&stack, parameters, &[], &first).await.json();
    assert_eq!(answer["results"][1]["rows"], json!([{"level": "serializable", "name": "web"}]), "{answer}");
    let read_only = "?options=-c%20default_transaction_read_only%3Don";
    let answer = send(&stack, read_only, &[], &json!({"query": "insert into things values (1)"})).await;
    assert_eq!(answer.json()["code"], "25006");
}

#[tokio::test]
async fn arrays_of_users_own_types_are_arrays() {
    let stack = Stack::start("pool_size = 1").await;
    for sql in [
        "create type mood as enum ('sad', 'so so')",
        "create type pair as (a int, b text)",
        "create domain small as int check (value < 10)",
    ] {
        query(&stack, sql).await;
    }
    let sql = "select array['sad','so so']::mood[] as m, array[row(1,'x,y')::pair] as p, 'sad'::mood as s, \
               array[1,2]::small[] as d, '{}'::mood[] as e, '1 2'::int2vector as v, \
               array[box '((1,1),(0,0))', box '((2,2),(1,1))'] as b, '[0:1]={5,6}'::int[] as z";
    let expected = json!([{
        "m": ["sad", "so so"], "p": ["(1,\"x,y\")"], "s": "sad", "d": ["1", "2"], "e": [], "v": [1, 2],
        "b": ["(1,1),(0,0)", "(2,2),(1,1)"], "z": [5, 6],
    }]);
    for _ in 0..2 {
        assert_eq!(query(&stack, sql).await, expected);
    }
    let (flights, _) = flights(&stack, "", &[], &json!({ "query": sql })).await;
    assert_eq!(flights.len(), 1, "the types are known now: {flights:?}");
}

#[tokio::test]
async fn an_error_keeps_its_statement_and_the_connection() {
    let stack = Stack::start("pool_size = 1").await;
    let pid = query(&stack, "select pg_backend_pid() as pid").await;
    query(&stack, "create table parents (id int primary key)").await;
    query(&stack, "create table children (id int references parents deferrable initially deferred)").await;
    let statements = |last: &str| json!({"queries": [{"query": "select 1"}, {"query": "insert into parents values (1)"}, {"query": last}]});
    for (last, code, index) in [
        ("select 1/0", "22012", "2"),
        ("select * from nothing", "42P01", "2"),
        ("insert into children values (99)", "23503", ""),
        ("begin", "25000", ""),
    ] {
        let answer = send(&stack, "", &[], &statements(last)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{last}: {}", answer.json());
        assert_eq!(answer.header("onetrip-statement"), index, "{last}");
        assert_eq!(
            query(&stack, "select count(*)::int as n from parents").await,
            json!([{"n": 0}]),
            "{last}"
        );
    }
    let copy = json!({"queries": [{"query": "copy parents to stdout"}, {"query": "insert into parents values (8)"}]});
    let answer = send(&stack, "", &[], &copy).await;
    assert_eq!(
        (answer.status, &answer.json()["code"], answer.header("onetrip-statement")),
        (400, &json!("0A000"), "0")
    );
    let message = answer.json()["message"].to_string();
    assert!(message.contains("the other statements of the batch took effect"), "{message}");
    assert_eq!(query(&stack, "delete from parents returning id").await, json!([{"id": 8}]));
    let copy = json!({"queries": [{"query": "copy parents to stdout"}, {"query": "select 1/0"}]});
    assert_eq!(send(&stack, "", &[], &copy).await.json()["code"], "22012", "nothing took effect");
    for headers in [&[][..], &[("neon-batch-isolation-level", "RepeatableRead")]] {
        let answer = send(&stack, "", headers, &statements("select 1/0")).await;
        assert_eq!(answer.header("onetrip-statement"), "2");
    }
    assert_eq!(query(&stack, "select pg_backend_pid() as pid").await, pid, "a failure cost the connection");
}

#[tokio::test]
async fn an_answer_over_the_buffer_is_streamed_and_cut_where_it_fails() {
    let stack = Stack::start("[limits]\nbuffer_bytes = 10000").await;
    let rows = |sql: &str| json!({ "query": sql });
    let answer =
        send(&stack, "", &[], &rows("select g, repeat('x', 100) as t from generate_series(1, 5000) g")).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.json()["rows"].as_array().unwrap().len(), 5000);
    assert_eq!(answer.json()["rowCount"], 5000);
    assert_eq!(answer.header("content-length"), "");
    let failing = "select 1/(4000-g), repeat('x', 100) from generate_series(1, 5000) g";
    let answer = send(&stack, "", &[], &rows(failing)).await;
    assert_eq!((answer.status, answer.complete), (200, false), "nobody takes this for the whole");
    assert!(String::from_utf8_lossy(&answer.body).contains("\"code\":\"22012\""));
    // Within the buffer the status tells.
    let answer = send(&stack, "", &[], &rows("select 1/(4-g) from generate_series(1, 5) g")).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("22012")));
}

#[tokio::test]
async fn answers_are_compressed_for_who_accepts_it() {
    let stack = Stack::start("").await;
    let body = json!({"query": "select repeat('onetrip ', 1000) as t"});
    let answer = send(&stack, "", &[("accept-encoding", "gzip")], &body).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, "gzip"));
    assert!(answer.body.len() < 1000);
}

/// A session over WebSocket, driven by hand.
struct Session {
    socket: WebSocketStream<TcpStream>,
    incoming: Vec<u8>,
}

impl Session {
    async fn open(stack: &Stack, parameters: &[(&str, &str)]) -> (Session, (i32, i32)) {
        let database = &stack.database;
        let mut session =
            Session { socket: tunnel::open(stack.gateway.address(), "/v2").await, incoming: Vec::new() };
        let mut startup = vec![0, 3, 0, 0];
        for (name, value) in
            [("user", &*database.name), ("database", &*database.name)].iter().chain(parameters)
        {
            startup.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        startup.push(0);
        let mut message = u32::try_from(startup.len() + 4).unwrap().to_be_bytes().to_vec();
        message.extend_from_slice(&startup);
        message.extend_from_slice(&tagged(b'p', database.password.as_bytes()));
        session.send(message).await;
        let mut key = (0, 0);
        for (tag, body) in session.until_ready().await {
            assert_ne!(tag, b'E', "{}", String::from_utf8_lossy(&body));
            if tag == b'K' {
                let number = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
                key = (number(0), number(4));
            }
        }
        (session, key)
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The first value of each row; or the SQLSTATE of an error.
    async fn query(&mut self, sql: &str) -> Vec<String> {
        self.send(tagged(b'Q', sql.as_bytes())).await;
        self.values().await
    }

    async fn values(&mut self) -> Vec<String> {
        let frames = self.until_ready().await;
        let value = |(tag, body): &(u8, Vec<u8>)| match tag {
            b'D' => Some(String::from_utf8_lossy(&body[6..]).into_owned()),
            b'E' => {
                let error = onetrip_wire::backend::ErrorResponse::parse(body).unwrap();
                Some(error.code().to_owned())
            }
            _ => None,
        };
        frames.iter().filter_map(value).collect()
    }

    async fn until_ready(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        loop {
            while let Some(found) = frame::first(&self.incoming, &Limits::default()).unwrap() {
                frames.push((found.tag, found.body.to_vec()));
                let len = found.frame_len();
                self.incoming.drain(..len);
            }
            if frames.last().is_some_and(|(tag, _)| *tag == b'Z') {
                return frames;
            }
            let next = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await.unwrap();
            if let Message::Binary(bytes) = next.expect("the session ended").unwrap() {
                self.incoming.extend_from_slice(&bytes);
            }
        }
    }

    /// The code with which the endpoint closes the session.
    async fn close_code(&mut self) -> u16 {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await.unwrap();
            if let Message::Close(Some(close)) = next.expect("a close frame comes first").unwrap() {
                return close.code.into();
            }
        }
    }
}

fn tagged(tag: u8, text: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend_from_slice(&u32::try_from(text.len() + 5).unwrap().to_be_bytes());
    message.extend_from_slice(text);
    message.push(0);
    message
}

#[tokio::test]
async fn what_a_session_leaves_behind_is_gone_for_the_next_one_on_its_connection() {
    let stack = Stack::start("pool_size = 1").await;
    let (mut session, _) =
        Session::open(&stack, &[("application_name", "first"), ("options", "-c work_mem=1MB")]).await;
    let pid = session.query("select pg_backend_pid()").await;
    assert_eq!(session.query("show application_name").await, ["first"]);
    assert_eq!(session.query("show work_mem").await, ["1MB"]);
    for sql in [
        "create temp table kept (n int)",
        "prepare twice as select 2",
        "select pg_advisory_lock(7)",
        "set search_path = pg_catalog",
        "listen news",
        "begin",
    ] {
        session.query(sql).await;
    }
    session.send(b"X\0\0\0\x04".to_vec()).await;
    assert_eq!(session.close_code().await, 1000);

    let (mut session, _) = Session::open(&stack, &[]).await;
    assert_eq!(session.query("select pg_backend_pid()").await, pid, "the connection went back to its pool");
    assert_eq!(session.query("select to_regclass('pg_temp.kept') is null").await, ["t"]);
    assert_eq!(session.query("select count(*) from pg_prepared_statements where from_sql").await, ["0"]);
    assert_eq!(session.query("select count(*) from pg_locks where locktype = 'advisory'").await, ["0"]);
    assert_eq!(session.query("select count(*) from pg_listening_channels()").await, ["0"]);
    assert_eq!(session.query("show search_path").await, ["\"$user\", public"]);
    assert_eq!(session.query("show application_name").await, ["onetrip"]);
    assert_eq!(session.query("select 1/0").await, ["22012"]);
    drop(session);
    assert_eq!(
        query(&stack, "select current_setting('work_mem') = '1MB' as kept").await,
        json!([{"kept": false}])
    );
}

#[tokio::test]
async fn a_session_is_cancelled_by_its_own_key_and_by_no_other() {
    let stack = Stack::start("").await;
    let (mut session, (process_id, secret)) = Session::open(&stack, &[]).await;
    let real = session.query("select pg_backend_pid()").await;
    assert_ne!(real, [process_id.to_string()], "the key is the endpoint's own");
    session.send(tagged(b'Q', b"select pg_sleep(60)")).await;
    // Nothing is cancelled that has not begun.
    let begun = "select count(*) = 1 as begun from pg_stat_activity where datname = current_database() and \
                 query = 'select pg_sleep(60)' and wait_event = 'PgSleep'";
    let until = Instant::now() + Duration::from_secs(30);
    while query(&stack, begun).await != json!([{"begun": true}]) {
        assert!(Instant::now() < until, "the query does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for secret in [secret.wrapping_add(1), secret] {
        let mut socket = tunnel::open(stack.gateway.address(), "/").await;
        let mut request = vec![0, 0, 0, 16, 4, 210, 22, 46];
        request.extend_from_slice(&process_id.to_be_bytes());
        request.extend_from_slice(&secret.to_be_bytes());
        socket.send(Message::binary(request)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    }
    assert_eq!(session.values().await, ["57014"]);
    assert_eq!(session.query("select 5").await, ["5"]);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_running() {
    let stack = Stack::start("pool_size = 1").await;
    let (mut session, _) = Session::open(&stack, &[]).await;
    session.query("create table beats (n int)").await;
    session.send(tagged(b'Q', b"select pg_sleep(600)")).await;
    drop(session);
    // The only seat of the pool is free again, long before the sleep would have ended.
    let (mut session, _) = Session::open(&stack, &[]).await;
    for _ in 0..200 {
        let running = session
            .query("select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()")
            .await;
        if running == ["0"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the query is still running");
}

#[tokio::test]
async fn what_is_not_postgresqls_protocol_closes_the_session_and_says_why() {
    let stack = Stack::start("[limits]\nrequest_bytes = 100000").await;
    let (mut session, _) = Session::open(&stack, &[]).await;
    session.socket.send(Message::text("select 1")).await.unwrap();
    assert_eq!(session.close_code().await, 1003);
    let (mut session, _) = Session::open(&stack, &[]).await;
    session.send(b"p\0\0\0\x05\0".to_vec()).await;
    assert_eq!(session.close_code().await, 1008);
    let (mut session, _) = Session::open(&stack, &[]).await;
    session.send(vec![b'Q'; 200_000]).await;
    assert_eq!(session.close_code().await, 1009);
    let mut socket = tunnel::open(stack.gateway.address(), "/v2").await;
    socket.send(Message::binary(b"GET / HTTP/1.1\r\n\r\n".to_vec())).await.unwrap();
    let refused = socket.next().await.unwrap().unwrap().into_data();
    assert_eq!(refused[0], b'E');
    assert!(String::from_utf8_lossy(&refused).contains("08P01"));
    // A query larger than one message, in several.
    let (mut session, _) = Session::open(&stack, &[]).await;
    let large = tagged(b'Q', format!("select length('{}')", "x".repeat(300_000)).as_bytes());
    for part in large.chunks(50_000) {
        session.send(part.to_vec()).await;
    }
    assert_eq!(session.values().await, ["300000"]);
}

#[tokio::test]
async fn a_session_ends_when_the_endpoint_does() {
    let stack = Stack::start("").await;
    let (mut session, _) = Session::open(&stack, &[]).await;
    assert_eq!(session.query("select 1").await, ["1"]);
    let Stack { gateway, .. } = stack;
    let (code, ()) = tokio::join!(session.close_code(), gateway.stop());
    assert_eq!(code, 1001);
}
