//! What connections to one database may rely on: what the configuration says, and what has shown itself since.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::config::DatabaseConfig;

/// So often the gateway's own statements must be missing before it stops keeping any. Code of a database may drop them,
/// too (`EXECUTE 'DEALLOCATE ALL'` in a function), but hardly so often.
const STRIKES: u32 = 5;

/// What connections to one database may rely on.
pub(crate) struct Traits {
    statements: usize,
    /// Whether a reset follows each request.
    pub(crate) resets: bool,
    /// How long requests take at most that share a flight.
    pub(super) short_request: Duration,
    strikes: AtomicU32,
    pooled: AtomicBool,
}

impl Traits {
    pub(crate) fn new(config: &DatabaseConfig) -> Traits {
        Traits {
            statements: usize::try_from(config.statement_cache).unwrap_or(0),
            resets: config.session_reset,
            short_request: config.short_request,
            strikes: AtomicU32::new(0),
            pooled: AtomicBool::new(false),
        }
    }

    /// How many statements a connection may keep.
    pub(crate) fn statements(&self) -> usize {
        if self.pooled.load(Ordering::Relaxed) { 0 } else { self.statements }
    }

    /// A statement was not where the gateway had prepared it: perhaps because a pooler that knows nothing of prepared
    /// statements has changed the server behind the connection.
    pub(crate) fn suspect_pooler(&self) {
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
        if strikes >= STRIKES && !self.pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "statements that the endpoint has prepared keep disappearing, as they do behind a pooler that does not \
                 know them (PgBouncer in transaction mode without max_prepared_statements): none are kept from now on; \
                 statement_cache = 0 says so from the start"
            );
        }
    }
}
