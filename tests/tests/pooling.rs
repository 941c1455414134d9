//! Pools under pressure: crowds, deadlines, clients that go away, servers that do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::Duration;

use onetrip_embedded_postgres::{Options, Postgres, Shutdown};
use onetrip_tests::{
    CountingProxy, Database, Faults, Gateway, METRICS, STARTUP, Stack, http::Response, installation,
};
use onetrip_wire::frontend::{self, Format, Statement};
use onetrip_wire::representation::FRAMES;
use serde_json::{Value, json};

/// A request with a deadline.
async fn with_deadline(stack: &Stack, sql: &str, deadline_ms: &str) -> Response {
    let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("onetrip-deadline", deadline_ms),
    ];
    let path = format!("/v1/{}/pipeline", stack.database.name);
    let body = json!({ "sql": sql }).to_string().into_bytes();
    onetrip_tests::http::send(stack.gateway.address(), "POST", &path, &headers, body).await.unwrap()
}

async fn value(stack: &Stack, sql: &str) -> Value {
    let answer = stack.gateway.pipeline(&json!({ "sql": sql })).await;
    assert_eq!(answer.status, 200, "{sql}: {}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    let row = answer["rows"][0].as_object().unwrap_or_else(|| panic!("{sql}: {answer}"));
    row.values().next().unwrap().clone()
}

/// Asks the database itself until the answer is right.
async fn eventually(stack: &Stack, what: &str, sql: &str) {
    let client = stack.database.connect().await;
    for _ in 0..1000 {
        if client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn running(stack: &Stack, what: &str) -> String {
    format!(
        "select count(*) = 1 from pg_stat_activity where datname = '{}' and state = 'active' and query like '%{what}%' \
         and pid <> pg_backend_pid()",
        stack.database.name
    )
}

fn logins(stack: &Stack) -> usize {
    let connections = stack.proxy.connections();
    connections
        .iter()
        .filter(|connection| connection.flights.iter().any(|f| f.frontend.contains(STARTUP)))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_cold_clients_are_all_served_by_no_more_logins_than_the_pool_has_room_for() {
    // Each has a connection of its own, both ends of which are in this process.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find(|line| line.starts_with("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse().ok());
    let clients = files.unwrap_or(256_usize).saturating_sub(200).div_ceil(2).min(1000);
    let stack = Stack::start("pool_size = 5\nconcurrent_logins = 8\npool_timeout = '4m'").await;
    let clients: Vec<_> = (0..clients)
        .map(|n| {
            let gateway = stack.gateway.address();
            let database = stack.database.clone();
            async move {
                let authorization = Gateway::basic(&database.name, &database.password);
                let headers =
                    [("authorization", authorization.as_str()), ("content-type", "application/json")];
                let path = format!("/v1/{}/pipeline", database.name);
                let body = json!({"sql": "select $1::int4 as n", "params": [n]}).to_string().into_bytes();
                let sent = onetrip_tests::http::send(gateway, "POST", &path, &headers, body).await;
                let answer = sent.unwrap();
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                assert_eq!(answer.json()["rows"], json!([{"n": n}]));
            }
        })
        .map(tokio::spawn)
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let logins = logins(&stack);
    assert!((1..=5).contains(&logins), "{logins} logins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_those_in_it_are_served_in_the_end() {
    let stack = Stack::start("pool_size = 1\nqueue_size = 2\npool_timeout = '4m'").await;
    assert_eq!(value(&stack, "select 1").await, 1);
    let database = stack.database.connect().await;
    database.batch_execute("select pg_advisory_lock(7)").await.unwrap();
    let stack = std::sync::Arc::new(stack);
    let ask = |sql: &'static str| {
        let stack = stack.clone();
        tokio::spawn(async move { stack.gateway.pipeline(&json!({ "sql": sql })).await })
    };
    let first = ask("select pg_advisory_xact_lock(7)");
    eventually(&stack, "the first waits for the lock", &running(&stack, "xact_lock")).await;
    let others: Vec<_> = (0..6).map(|_| ask("select 2 as n")).collect();
    let mut refused = 0;
    let mut waiting = Vec::new();
    for other in others {
        // The refused are answered at once; the two in the queue are not before the lock is free.
        let mut other = other;
        match tokio::time::timeout(Duration::from_secs(2), &mut other).await {
            Ok(answer) => {
                let answer = answer.unwrap();
                assert_eq!((answer.status, answer.json()["code"].as_str()), (429, Some("too_many_requests")));
                assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
                assert_eq!(answer.json()["retryable"], true);
                refused += 1;
            }
            Err(_) => waiting.push(other),
        }
    }
    assert_eq!((refused, waiting.len()), (4, 2));
    database.batch_execute("select pg_advisory_unlock(7)").await.unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().json()["rows"], json!([{"n": 2}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_postgresql_works_cancels_the_query_and_keeps_the_connection() {
    let stack = Stack::start("pool_size = 1").await;
    let pid = value(&stack, "select pg_backend_pid()").await;
    for _ in 0..3 {
        let answer = with_deadline(&stack, "select pg_sleep(600) /* too long */", "300").await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (504, Some("deadline_exceeded")), "{problem}");
        assert_eq!(problem["retryable"], false);
        assert_eq!(value(&stack, "select pg_backend_pid()").await, pid);
    }
    // The cancelled statement is prepared no longer, nor is anything else taken for prepared that is not.
    assert_eq!(value(&stack, "select 40 + 2").await, 42);
    // A late cancel does not hit the next one: it would show as 57014.
    for _ in 0..30 {
        let answer = with_deadline(&stack, "select pg_sleep(0.003)", "3").await;
        assert!(matches!(answer.status, 200 | 408 | 504), "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(value(&stack, "select 1 from pg_sleep(0.002)").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_in_the_queue_is_a_408_and_nothing_was_executed() {
    let stack = std::sync::Arc::new(Stack::start("pool_size = 1").await);
    value(&stack, "select 1").await;
    let database = stack.database.connect().await;
    database.batch_execute("create table late (a int); select pg_advisory_lock(8)").await.unwrap();
    let busy = tokio::spawn({
        let stack = stack.clone();
        async move { stack.gateway.pipeline(&json!({"sql": "select pg_advisory_xact_lock(8)"})).await }
    });
    eventually(&stack, "the connection is busy", &running(&stack, "xact_lock")).await;
    let answer = with_deadline(&stack, "insert into late values (1)", "100").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["code"].as_str()), (408, Some("deadline_in_queue")), "{problem}");
    assert_eq!(problem["retryable"], true);
    database.batch_execute("select pg_advisory_unlock(8)").await.unwrap();
    assert_eq!(busy.await.unwrap().status, 200);
    assert_eq!(value(&stack, "select count(*) from late").await, "0");
    for wrong in ["0", "-1", "soon", "1.5", ""] {
        let answer = with_deadline(&stack, "select 1", wrong).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("malformed_request")),
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_it_waits_gives_up_its_place() {
    let stack = std::sync::Arc::new(Stack::start("pool_size = 1\nqueue_size = 1").await);
    value(&stack, "select 1").await;
    let database = stack.database.connect().await;
    database.batch_execute("select pg_advisory_lock(9)").await.unwrap();
    let ask = |sql: &'static str| {
        let stack = stack.clone();
        tokio::spawn(async move { stack.gateway.pipeline(&json!({ "sql": sql })).await })
    };
    let first = ask("select pg_advisory_xact_lock(9)");
    eventually(&stack, "the connection is busy", &running(&stack, "xact_lock")).await;
    let mut leaving = ask("select 'never'");
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut leaving).await.is_err());
    leaving.abort();
    // In the end somebody else has it.
    let staying = loop {
        let mut next = ask("select 'place' as a");
        match tokio::time::timeout(Duration::from_millis(300), &mut next).await {
            Ok(refused) => assert_eq!(refused.unwrap().status, 429),
            Err(_) => break next,
        }
    };
    database.batch_execute("select pg_advisory_unlock(9)").await.unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(staying.await.unwrap().json()["rows"], json!([{"a": "place"}]));
    assert_eq!(value(&stack, "select 3").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ends_while_they_are_idle_are_replaced_unseen() {
    let stack = Stack::start("pool_size = 4").await;
    let database = stack.database.connect().await;
    for _ in 0..5 {
        let warm = (0..4).map(|_| value(&stack, "select 1 from pg_sleep(0.05)"));
        for answer in futures(warm.collect()).await {
            assert_eq!(answer, 1);
        }
        let end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
                   where datname = current_database() and pid <> pg_backend_pid()";
        database.batch_execute(end).await.unwrap();
        for _ in 0..8 {
            assert_eq!(value(&stack, "select 1").await, 1);
        }
    }
}

/// All of them at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, result) in &mut all {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, result)| result).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_no_error_while_connections_of_the_role_work() {
    // Three are reserved for superusers.
    let postgres = Postgres::start(&installation(), Options::for_tests().max_connections(8)).unwrap();
    let database = Database::create_in(&postgres, "app").await;
    let proxy = CountingProxy::start(database.address).await.unwrap();
    let gateway = Gateway::start(&database, proxy.address(), "pool_size = 50\npool_timeout = '2m'").await;
    let stack = Stack { database, proxy, gateway };
    assert_eq!(value(&stack, "select 1").await, 1);
    let answers = futures((0..40).map(|_| value(&stack, "select 7 from pg_sleep(0.02)")).collect()).await;
    assert_eq!(answers, vec![json!(7); 40]);
    // And the first requests after a restart succeed.
    for shutdown in [Shutdown::Fast, Shutdown::Immediate] {
        postgres.stop(shutdown).unwrap();
        postgres.restart().unwrap();
        let answers = futures((0..20).map(|_| value(&stack, "select 8")).collect()).await;
        assert_eq!(answers, vec![json!(8); 20]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_alone_gets_a_connection_as_soon_as_one_can_be_opened_again() {
    let stack =
        std::sync::Arc::new(Stack::start(&format!("pool_size = 2\npool_timeout = '1m'\n{METRICS}")).await);
    assert_eq!(value(&stack, "select 1").await, 1);
    let database = stack.database.connect().await;
    database.batch_execute("select pg_advisory_lock(13)").await.unwrap();
    let ask = |sql: &'static str| {
        let stack = stack.clone();
        tokio::spawn(async move { value(&stack, sql).await })
    };
    let busy = ask("select 2 from pg_advisory_xact_lock(13)");
    eventually(&stack, "the connection is busy", &running(&stack, "xact_lock(13)")).await;
    stack.proxy.set_faults(Faults { refuse: true, ..Faults::default() });
    let alone = ask("select 3");
    while stack.metric("onetrip_logins_failed_total").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stack.proxy.set_faults(Faults::default());
    let answer = tokio::time::timeout(Duration::from_secs(10), alone).await;
    assert_eq!(answer.expect("it waits although there is room").unwrap(), 3);
    assert!(!busy.is_finished(), "nothing else has woken it");
    database.batch_execute("select pg_advisory_unlock(13)").await.unwrap();
    assert_eq!(busy.await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_password_in_the_queue_is_the_failure_of_who_brings_it_alone() {
    let stack =
        std::sync::Arc::new(Stack::start(&format!("pool_size = 1\npool_timeout = '1m'\n{METRICS}")).await);
    let database = stack.database.connect().await;
    let ask = |sql: &str, password: &str| {
        let (stack, name) = (stack.clone(), stack.database.name.clone());
        let body = json!({ "sql": sql }).to_string().into_bytes();
        let authorization = Gateway::basic(&name, password);
        tokio::spawn(async move { stack.gateway.pipeline_as(&authorization, &name, body).await })
    };
    let waiting = async |many| {
        while stack.metric("onetrip_requests_waiting").await != many {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (name, old) = (stack.database.name.clone(), stack.database.password.clone());
    database.batch_execute("select pg_advisory_lock(14)").await.unwrap();
    let busy = ask("select pg_advisory_xact_lock(14)", &old);
    eventually(&stack, "the connection is busy", &running(&stack, "xact_lock(14)")).await;
    let first = ask("select 1", &old);
    waiting(1).await;
    database.batch_execute(&format!("alter role {name} password 'a new one'")).await.unwrap();
    let second = ask("select 2", "a new one");
    waiting(2).await;
    // When its password is proven, there is no room for the connection that was opened for that.
    while stack.proxy.connections().iter().filter(|connection| connection.closed).count() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%xact_lock(14)%' and datname = \
               current_database() and pid <> pg_backend_pid()";
    database.batch_execute(end).await.unwrap();
    assert_eq!(busy.await.unwrap().status, 502);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.status, second.status), (401, 200), "{}", String::from_utf8_lossy(&second.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_encoding_spoils_neither_its_answer_nor_the_next_one() {
    let stack = Stack::start("pool_size = 1").await;
    for set in ["set client_encoding = 'LATIN1'", "select set_config('client_encoding', 'LATIN1', false)"] {
        assert_eq!(value(&stack, "select 'é€' as a").await, "é€");
        let batch = json!({"batch": [{"sql": set}, {"sql": "select 'é' as a"}]});
        let answer = stack.gateway.pipeline(&batch).await;
        if answer.status == 200 {
            // Right, or an error; nothing in between.
            let body = answer.json();
            assert!(!body["error"].is_null() || body["results"][1]["rows"] == json!([{"a": "é"}]), "{body}");
        } else {
            assert_eq!(answer.json()["code"], "internal");
        }
        assert_eq!(value(&stack, "select 'é€' as a").await, "é€");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_wait_in_vain_is_refused_at_once_and_who_would_not_is_served() {
    let stack = std::sync::Arc::new(Stack::start("pool_size = 1\npool_timeout = '1s'").await);
    let slow = "select 1 from pg_sleep(0.1)";
    for _ in 0..3 {
        value(&stack, slow).await;
    }
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let stack = stack.clone();
            tokio::spawn(async move {
                let begun = std::time::Instant::now();
                (stack.gateway.pipeline(&json!({ "sql": slow })).await, begun.elapsed())
            })
        })
        .collect();
    let (mut served, mut refused) = (0, 0);
    for asked in asked {
        let (answer, taken) = asked.await.unwrap();
        match answer.status {
            200 => served += 1,
            429 => {
                refused += 1;
                let problem = answer.json();
                assert!(
                    problem["detail"].as_str().unwrap().contains("would not get one in time"),
                    "{problem}"
                );
                assert_eq!(
                    (problem["code"].as_str(), problem["retryable"].as_bool()),
                    (Some("too_many_requests"), Some(true))
                );
                assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
                // Before anybody who waits as long as it would have to.
                assert!(taken < Duration::from_millis(900), "{taken:?}");
            }
            // The estimate was a little too good.
            status => assert_eq!(status, 503),
        }
    }
    assert!(served >= 3 && refused >= 30, "{served} served, {refused} refused");
    assert_eq!(value(&stack, "select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reset_is_not_waited_for_past_a_deadline_or_by_who_leaves_and_does_not_cost_the_connection() {
    let stack = std::sync::Arc::new(Stack::start("pool_size = 1").await);
    let pid = value(&stack, "select pg_backend_pid()").await;
    let database = stack.database.connect().await;
    database.batch_execute("select pg_advisory_lock(12)").await.unwrap();
    // The first group makes a table that the reset has to drop; the second one waits until it is locked.
    let mut body = Vec::new();
    for sql in ["create temp table held (a int4)", "select pg_advisory_xact_lock(12)"] {
        let statement = Statement { sql, parameters: &[], result_format: Format::Text };
        frontend::statement(&mut body, &statement).unwrap();
        frontend::sync(&mut body);
    }
    let busy = tokio::spawn({
        let stack = stack.clone();
        async move {
            let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
            let headers = [("authorization", authorization.as_str()), ("content-type", FRAMES)];
            let path = format!("/v1/{}/pipeline", stack.database.name);
            onetrip_tests::http::send(stack.gateway.address(), "POST", &path, &headers, body).await.unwrap()
        }
    });
    eventually(&stack, "the connection is busy", &running(&stack, "xact_lock(12)")).await;
    let schema = "select relnamespace::regnamespace::text from pg_class where relname = 'held'";
    let schema: String = database.query_one(schema, &[]).await.unwrap().get(0);
    // Only a superuser gets at the temporary tables of others.
    let server = onetrip_tests::postgres();
    let mut superuser = tokio_postgres::Config::new();
    superuser.host("127.0.0.1").port(server.port()).dbname(&stack.database.name);
    superuser.user(server.superuser()).password(server.password());
    let (superuser, connection) = superuser.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    superuser.batch_execute(&format!("begin; lock table {schema}.held in access share mode")).await.unwrap();
    database.batch_execute("select pg_advisory_unlock(12)").await.unwrap();
    assert_eq!(busy.await.unwrap().status, 200);
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        let answer = with_deadline(&stack, "select 1", "300").await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("deadline_in_queue")));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let impatient = with_deadline(&stack, "select 1", "60000");
        tokio::time::timeout(Duration::from_millis(200), impatient).await.unwrap_err();
    }
    let answer = with_deadline(&stack, "select 1", "300").await;
    assert_eq!(answer.status, 408, "it is the same connection that is waited for");
    superuser.batch_execute("commit").await.unwrap();
    assert_eq!(value(&stack, "select pg_backend_pid()").await, pid);
}
