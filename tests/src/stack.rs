//! The usual arrangement of a test: a database of its own, a gateway, and the counting proxy between them.

use std::time::Duration;

use serde_json::Value;

use crate::{CountingProxy, Database, Gateway, http::Response};

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
