//! An endpoint with one connection behind which requests wait, so that they share a flight.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Gateway, METRICS, Stack, http, http::Response};

/// An endpoint with one connection, whose requests wait while a lock of the test's is held.
///
/// Its methods panic when what they do does not go.
#[derive(Debug)]
pub struct OneConnection {
    /// The endpoint, PostgreSQL, and the proxy between them.
    pub stack: Arc<Stack>,
    /// A direct connection as the owner of the database.
    pub outside: tokio_postgres::Client,
}

/// What makes the connection busy. It is not known, so it takes nobody along.
const BUSY: &str = "select pg_advisory_xact_lock_shared(1)";

/// A guard between a reset and the next request, which is prepared.
pub const BEHIND_A_GUARD: &str = "SDBDES";

impl OneConnection {
    /// Starts it; `settings` as for [`Gateway::start`].
    pub async fn start(settings: &str) -> OneConnection {
        // On a busy machine everything takes long now and then.
        let short = if settings.contains("short_request") { "" } else { "short_request = '1s'" };
        let settings = format!("pool_size = 1\npool_timeout = '2m'\n{short}\n{settings}\n{METRICS}");
        let stack = Arc::new(Stack::start(&settings).await);
        let outside = stack.database.connect().await;
        OneConnection { stack, outside }
    }

    /// Executes requests until what they are like is known.
    pub async fn know(&self, requests: &[Value]) {
        for request in requests.iter().chain(requests).chain(requests) {
            let answer = self.stack.pipeline(request).await;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
    }

    /// Sends a request.
    pub fn ask(&self, request: Value) -> JoinHandle<Response> {
        self.ask_with(request, &[])
    }

    /// Sends a request with more headers.
    pub fn ask_with(
        &self,
        request: Value,
        headers: &'static [(&'static str, &'static str)],
    ) -> JoinHandle<Response> {
        let stack = self.stack.clone();
        tokio::spawn(async move {
            let authorization = Gateway::basic(&stack.database.name, &stack.database.password);
            let mut all =
                vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
            all.extend_from_slice(headers);
            let path = format!("/v1/{}/pipeline", stack.database.name);
            http::send(stack.gateway.address(), "POST", &path, &all, request.to_string().into())
                .await
                .unwrap()
        })
    }

    /// A number of the endpoint's own.
    pub async fn metric(&self, name: &str) -> u64 {
        self.stack.metric(name).await
    }

    /// Waits until something holds.
    pub async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut(&OneConnection) -> bool) {
        for _ in 0..1000 {
            if holds(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {what}");
    }

    /// Takes an advisory lock.
    pub async fn lock(&self, key: i64) {
        self.outside.execute("select pg_advisory_lock($1)", &[&key]).await.unwrap();
    }

    /// Gives it back.
    pub async fn unlock(&self, key: i64) {
        self.outside.execute("select pg_advisory_unlock($1)", &[&key]).await.unwrap();
    }

    /// Makes the connection busy for as long as lock 1 is held.
    pub async fn make_busy(&self) -> JoinHandle<Response> {
        let busy = self.ask(json!({ "sql": BUSY }));
        self.eventually("the connection is busy", async |it| it.blocked().await == 1).await;
        busy
    }

    /// Ends the sessions of the endpoint, and waits for that.
    pub async fn end_sessions(&self) {
        let end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() \
                   and pid <> pg_backend_pid()";
        self.outside.batch_execute(end).await.unwrap();
    }

    /// How many sessions of the database wait for an advisory lock.
    pub async fn blocked(&self) -> i64 {
        let sql = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = \
                   (select oid from pg_database where datname = current_database())";
        self.outside.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Sends requests while the only connection is busy, one after the other, and lets them go.
    pub async fn send_all(
        &self,
        requests: Vec<(Value, &'static [(&'static str, &'static str)])>,
    ) -> Vec<JoinHandle<Response>> {
        self.lock(1).await;
        let busy = self.make_busy().await;
        let mut asked = Vec::new();
        for (request, headers) in requests {
            asked.push(self.ask_with(request, headers));
            let waiting = asked.len() as u64;
            let all_wait = async |it: &OneConnection| it.metric("onetrip_requests_waiting").await == waiting;
            self.eventually("they wait", all_wait).await;
        }
        self.stack.proxy.forget();
        self.unlock(1).await;
        assert_eq!(busy.await.unwrap().status, 200);
        asked
    }

    /// As [`send_all`](Self::send_all), with their answers.
    pub async fn answers(&self, requests: Vec<Value>) -> Vec<Value> {
        let requests = requests.into_iter().map(|request| (request, &[][..])).collect();
        let mut answers = Vec::new();
        for asked in self.send_all(requests).await {
            let answer = asked.await.unwrap();
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            answers.push(answer.json());
        }
        answers
    }

    /// How many requests went in each flight that held some.
    pub fn flights(&self) -> Vec<usize> {
        let connections = self.stack.proxy.connections();
        let flights = connections.iter().flat_map(|connection| &connection.flights);
        let prepared = |tags: &str| tags.starts_with("BDES") || tags.starts_with("PBDES");
        flights
            .filter(|flight| prepared(&flight.frontend))
            .map(|flight| 1 + flight.frontend.matches(BEHIND_A_GUARD).count())
            .collect()
    }
}
