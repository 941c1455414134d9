//! Whatever breaks under load: nothing acknowledged is lost, nothing is done twice, what is said not to be done is not, and
//! nobody gets another's rows. Each request has a tag of its own, and the database is asked in the end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onetrip_embedded_postgres::{Options, Postgres, Shutdown};
use onetrip_tests::{CountingProxy, Database, Faults, Gateway, Stack, http, installation};
use serde_json::json;
use tokio::task::JoinHandle;

/// So that requests share flights on a busy machine, too.
const SETTINGS: &str = "pool_size = 3\nrequests_in_flight = 6\nshort_request = '100ms'\npool_timeout = '2m'\n\
    [metrics]\nlisten = 'same'\ntoken = 'metrics-of-the-test'";

async fn metric(stack: &Stack, name: &str) -> u64 {
    let headers = [("authorization", "Bearer metrics-of-the-test")];
    let answer = http::send(stack.gateway.address(), "GET", "/metrics", &headers, Vec::new()).await;
    let text = String::from_utf8(answer.unwrap().body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

/// What a client was told of an insert.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// Its own row came back.
    Done,
    /// That nothing was executed.
    NotDone,
    /// Nothing certain.
    Unknown,
    /// Nothing at all: there was no answer.
    Unanswered,
}

/// How clients go about it.
#[derive(Clone)]
struct Manner {
    clients: i64,
    requests: i64,
    /// Whether some lose patience, and go away.
    impatient: bool,
    /// Ends them early.
    over: Arc<AtomicBool>,
}

impl Manner {
    fn new(clients: i64, requests: i64) -> Manner {
        Manner { clients, requests, impatient: true, over: Arc::default() }
    }
}

/// Numbers that look random, the same for each seed.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// One client: inserts with tags of its own, and questions about tags of its own.
async fn tagging(database: Database, gateway: SocketAddr, client: i64, manner: Manner) -> Vec<(i64, Told)> {
    let mut told = Vec::new();
    let mut state = u64::try_from(client).unwrap();
    for n in 0..manner.requests {
        if manner.over.load(Ordering::Relaxed) {
            break;
        }
        let tag = client * 1_000_000 + n;
        let insert = random(&mut state, 3) > 0;
        let sql = if insert {
            "insert into tags values ($1) returning tag, repeat('x', 300) as more"
        } else {
            "select $1::int8 as tag, repeat('y', 500) as more"
        };
        let request = json!({"sql": sql, "params": [tag]});
        let authorization = Gateway::basic(&database.name, &database.password);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let path = format!("/v1/{}/pipeline", database.name);
        let body = request.to_string().into_bytes();
        let sent = http::send(gateway, "POST", &path, &headers, body);
        // Some clients lose patience.
        let patience = if manner.impatient && random(&mut state, 20) == 0 { 3 } else { 60_000 };
        let said = match tokio::time::timeout(Duration::from_millis(patience), sent).await {
            Err(_) | Ok(Err(_)) => Told::Unanswered,
            Ok(Ok(answer)) => {
                let said = answer.json();
                match (answer.status, answer.complete) {
                    (200, true) if said["error"].is_null() => {
                        assert_eq!(said["rows"][0]["tag"], tag.to_string(), "somebody else's row: {said}");
                        assert_eq!(said["rows"].as_array().unwrap().len(), 1, "{said}");
                        Told::Done
                    }
                    // The session was ended under it, which undid it.
                    (200, true) => Told::NotDone,
                    (200, false) => Told::Unknown,
                    _ if said["retryable"] == true => Told::NotDone,
                    _ => Told::Unknown,
                }
            }
        };
        if insert {
            told.push((tag, said));
        }
    }
    told
}

/// Clients at work.
struct Load {
    database: Database,
    outside: tokio_postgres::Client,
    clients: Vec<JoinHandle<Vec<(i64, Told)>>>,
}

impl Load {
    async fn start(database: &Database, gateway: SocketAddr, manner: &Manner) -> Load {
        let outside = database.connect().await;
        outside.batch_execute("create table tags (tag int8)").await.unwrap();
        let one = |client| tokio::spawn(tagging(database.clone(), gateway, client, manner.clone()));
        Load { database: database.clone(), outside, clients: (1..=manner.clients).map(one).collect() }
    }

    fn is_over(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Compares what the clients were told with what the database holds; how many inserts were done, not done,
    /// unknown, without an answer.
    async fn check(self) -> [usize; 4] {
        let mut counts = [0; 4];
        let mut all = HashMap::new();
        for client in self.clients {
            for (tag, told) in client.await.unwrap() {
                counts[told as usize] += 1;
                all.insert(tag, told);
            }
        }
        let outside = self.database.connect().await;
        // What was cancelled or lost may still be under way.
        let busy = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and \
                    pid <> pg_backend_pid()";
        while outside.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut found = HashMap::new();
        for row in outside.query("select tag, count(*) from tags group by tag", &[]).await.unwrap() {
            found.insert(row.get::<_, i64>(0), row.get::<_, i64>(1));
        }
        for (tag, told) in &all {
            let times = found.remove(tag).unwrap_or(0);
            let right = match told {
                Told::Done => times == 1,
                Told::NotDone => times == 0,
                Told::Unknown | Told::Unanswered => times <= 1,
            };
            assert!(right, "{tag}: {told:?}, and it is there {times} times");
        }
        assert!(found.is_empty(), "nobody sent these: {found:?}");
        println!("inserts done, not done, unknown, unanswered: {counts:?}");
        counts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_at_random_while_requests_share_them_by_the_thousand() {
    let stack = Stack::start(SETTINGS).await;
    let load = Load::start(&stack.database, stack.gateway.address(), &Manner::new(40, 150)).await;
    let (mut state, mut rounds) = (7, 0_u32);
    while !load.is_over() {
        rounds += 1;
        // Long enough between two cuts that statements become known again.
        let cut = usize::try_from(random(&mut state, 12_000)).unwrap();
        let faults = match rounds % 3 {
            0 => Faults { cut_after_bytes: Some(cut), ..Faults::default() },
            _ => Faults::default(),
        };
        stack.proxy.set_faults(faults);
        if rounds.is_multiple_of(40) {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and \
                       pid <> pg_backend_pid()";
            load.outside.batch_execute(end).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(random(&mut state, 40))).await;
    }
    stack.proxy.set_faults(Faults::default());
    let [done, _, unknown, _] = load.check().await;
    let (shared, connections) =
        (metric(&stack, "onetrip_shared_total").await, stack.proxy.connections().len());
    println!("{shared} requests shared a flight; {connections} connections");
    assert!(done > 100 && unknown > 0 && shared > 100 && connections > 20, "too quiet to show anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_again_and_again() {
    let postgres = Postgres::start(&installation(), Options::for_tests()).unwrap();
    let database = Database::create_in(&postgres, "app").await;
    let proxy = CountingProxy::start(database.address).await.unwrap();
    let stack =
        Stack { gateway: Gateway::start(&database, proxy.address(), SETTINGS).await, proxy, database };
    let load = Load::start(&stack.database, stack.gateway.address(), &Manner::new(16, 400)).await;
    let mut restarts = 0;
    while !load.is_over() && restarts < 8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        postgres.stop(Shutdown::Fast).unwrap();
        postgres.restart().unwrap();
        restarts += 1;
    }
    let [done, ..] = load.check().await;
    assert!(restarts >= 2 && done > 100, "{restarts} restarts, {done} done: too quiet to show anything");
    // And it is over when it is over.
    let answer = stack.gateway.pipeline(&json!({"sql": "select 1 as one"})).await;
    assert_eq!(answer.json()["rows"], json!([{"one": 1}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_drained_answers_all_that_it_has_taken() {
    let stack = Stack::start(SETTINGS).await;
    let manner = Manner { impatient: false, ..Manner::new(16, 1_000_000) };
    let load = Load::start(&stack.database, stack.gateway.address(), &manner).await;
    // On a busy machine it takes longer until what the statements are like is known.
    let enough = async {
        while metric(&stack, "onetrip_requests_answered_total").await < 200
            || metric(&stack, "onetrip_shared_total").await == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.unwrap();
    let shared = metric(&stack, "onetrip_shared_total").await;
    let Stack { gateway, proxy, .. } = stack;
    gateway.stop().await;
    manner.over.store(true, Ordering::Relaxed);
    let [done, _, unknown, _] = load.check().await;
    assert!(done > 50 && shared > 0, "{done} done, {shared} shared: too quiet to show anything");
    assert_eq!(unknown, 0, "an answer was cut, or a request in flight was given up");
    drop(proxy);
}
