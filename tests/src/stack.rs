//! The usual arrangement of a test: a database of its own, a gateway, and the counting proxy between them.

use std::time::Duration;

use serde_json::Value;

use crate::{CountingProxy, Database, Gateway, http, http::Response};

/// Settings for [`Stack::start`], at their end, with which [`Stack::metric`] works.
pub const METRICS: &str = "[metrics]\nlisten = 'same'\ntoken = 'metrics-of-the-test'";

/// A gateway that reaches a new database through a proxy.
#[derive(Debug)]
pub struct Stack {
    /// The database and its owner.
    pub database: Database,
    /// What stands between the gateway and PostgreSQL.
    pub proxy: CountingProxy,
    /// The gateway.
    pub gateway: Gateway,
}

impl Stack {
    /// Starts it; `settings` as for [`Gateway::start`].
    ///
    /// # Panics
    /// With the reason, when something does not start.
    pub async fn start(settings: &str) -> Self {
        let database = Database::create().await;
        let proxy = CountingProxy::start(database.address)
            .await
            .unwrap_or_else(|error| panic!("the proxy does not start: {error}"));
        let gateway = Gateway::start(&database, proxy.address(), settings).await;
        Self { database, proxy, gateway }
    }

    /// Sends a JSON request with the owner's credentials, and waits until PostgreSQL has nothing more to say:
    /// behind an answer the gateway resets the session.
    ///
    /// # Panics
    /// When the gateway does not answer, or PostgreSQL does not come to rest within 10 seconds.
    pub async fn pipeline(&self, request: &Value) -> Response {
        let answer = self.gateway.pipeline(request).await;
        let rest = async {
            while !self.is_at_rest() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let rested = tokio::time::timeout(Duration::from_secs(10), rest).await;
        rested.unwrap_or_else(|_| panic!("PostgreSQL is still busy: {:?}", self.proxy.flights()));
        answer
    }

    /// A number of the gateway's own, of a configuration with [`METRICS`].
    ///
    /// # Panics
    /// When there is none.
    pub async fn metric(&self, name: &str) -> u64 {
        let headers = [("authorization", "Bearer metrics-of-the-test")];
        let answer = http::send(self.gateway.address(), "GET", "/metrics", &headers, Vec::new()).await;
        let text =
            answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Whether each Sync and each Query on an open connection has had its ReadyForQuery. Counted over the connection, for
    /// what is sent while an answer comes begins a flight, and the rest of that answer is in it.
    fn is_at_rest(&self) -> bool {
        let connections = self.proxy.connections();
        connections.iter().filter(|connection| !connection.closed).all(|connection| {
            let (mut asked, mut answered) = (0, 0);
            for flight in &connection.flights {
                asked += flight.frontend.matches(['S', 'Q']).count();
                answered += flight.backend.matches('Z').count();
                // The login's is behind the BackendKeyData.
                answered -= flight.backend.matches("KZ").count();
            }
            answered >= asked
        })
    }
}
