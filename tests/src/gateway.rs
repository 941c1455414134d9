//! A gateway in this process, in front of one database.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Database,
    http::{self, Response},
};

/// A gateway on a loopback port of its own. Dropping it shuts it down.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    database: Database,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Gateway {
    /// Starts one that reaches `database` at `upstream`: the database's own address, or a proxy's.
    ///
    /// `settings` is TOML that follows the database's URL in its table, for example
    /// `"pool_size = 2\n[limits]\nrequest_bytes = 1000"`. Pages of any origin may call it.
    ///
    /// # Panics
    /// With the reason, when it does not start.
    pub async fn start(database: &Database, upstream: SocketAddr, settings: &str) -> Self {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nlog = \"warn\"\n[cors]\nallowed_origins = [\"*\"]\n\
             [databases.{name}]\nurl = \"postgresql://{upstream}/{name}?sslmode=disable\"\n{settings}\n",
            name = database.name,
        );
        let config = onetrip_gateway::Config::from_toml(&text)
            .unwrap_or_else(|error| panic!("the gateway refuses its configuration:\n{text}\n{error}"));
        let server = onetrip_gateway::Server::bind(config)
            .await
            .unwrap_or_else(|error| panic!("the gateway does not start: {error}"));
        let address = server.local_addr();
        let (shutdown, asked_to_stop) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stopped = server.run(async {
                let _ = asked_to_stop.await;
            });
            stopped.await;
        });
        Self { address, database: database.clone(), shutdown: Some(shutdown), running }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with credentials and database, as the runners in other languages take it.
    pub fn url(&self) -> String {
        let Database { name, password, .. } = &self.database;
        format!("http://{name}:{password}@{}/{name}", self.address)
    }

    /// The value of an `Authorization` header for this role and password.
    pub fn basic(role: &str, password: &str) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("Basic {}", STANDARD.encode(format!("{role}:{password}")))
    }

    /// Sends a JSON request with the owner's credentials to the database's pipeline.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn pipeline(&self, request: &Value) -> Response {
        let authorization = Self::basic(&self.database.name, &self.database.password);
        self.pipeline_as(&authorization, &self.database.name, request.to_string().into_bytes()).await
    }

    /// Sends a JSON body with other credentials, or to another database.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn pipeline_as(&self, authorization: &str, database: &str, body: Vec<u8>) -> Response {
        let path = format!("/v1/{database}/pipeline");
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        let answer = http::send(self.address, "POST", &path, &headers, body).await;
        answer.unwrap_or_else(|error| panic!("the gateway does not answer: {error}"))
    }

    /// Shuts it down and waits until it has ended.
    pub async fn stop(mut self) {
        drop(self.shutdown.take());
        let _ = (&mut self.running).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.running.abort();
    }
}
