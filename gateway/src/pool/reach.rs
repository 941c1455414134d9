//! Whether a database's server can be reached: asked without credentials, and not more often than its answer is of use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::postgres::Target;

/// For how long an answer is good. Whoever asks for `/readyz`, and however often, costs PostgreSQL no more than this.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// What was last known of a server.
#[derive(Default)]
pub(super) struct Reach {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Reach {
    /// Whether the server of the database `name` can be reached; one question at a time. A change is logged.
    pub(super) async fn is_reachable(&self, name: &str, target: &Arc<Target>) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, reachable)) = *last
            && at.elapsed() < GOOD_FOR
        {
            return reachable;
        }
        let before = last.is_none_or(|(_, reachable)| reachable);
        let found = target.probe().await;
        match &found {
            Err(cause) if before => tracing::warn!(database = name, cause, "PostgreSQL cannot be reached"),
            Ok(_) if !before => tracing::info!(database = name, "PostgreSQL can be reached again"),
            _ => {}
        }
        *last = Some((Instant::now(), found.is_ok()));
        found.is_ok()
    }
}
