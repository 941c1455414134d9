//! A connection that is out of its pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::queue::Passenger;
use super::role_pool::RolePool;
use crate::metrics::DatabaseMetrics;
use crate::postgres::{BackendKey, Connection, Target};

/// A connection that is out of its pool. It goes back only by [`release`](Self::release); dropping the lease closes it.
pub(crate) struct Lease {
    /// Always there until the lease ends.
    connection: Option<Box<Connection>>,
    pool: Arc<RolePool>,
    since: Instant,
    /// Whether it is a request that holds it, so that the time for which it does says something about the next one.
    for_request: bool,
    _in_use: InUse,
}

/// Counts a connection while it is out.
struct InUse(Arc<DatabaseMetrics>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.in_use.add(-1);
    }
}

impl Lease {
    pub(super) fn new(connection: Box<Connection>, pool: Arc<RolePool>) -> Lease {
        let metrics = pool.metrics().clone();
        metrics.in_use.add(1);
        Lease {
            connection: Some(connection),
            pool,
            since: Instant::now(),
            for_request: true,
            _in_use: InUse(metrics),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }

    pub(crate) fn metrics(&self) -> &Arc<DatabaseMetrics> {
        self.pool.metrics()
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        self.pool.target()
    }

    /// What cancelling a query of the connection takes.
    pub(crate) fn canceller(&self) -> Option<(Arc<Target>, BackendKey)> {
        Some((self.target().clone(), self.connection.as_ref()?.key()?))
    }

    /// Cancels what the connection runs, then closes it.
    pub(crate) async fn cancel(self) {
        if let Some((target, key)) = self.canceller() {
            target.cancel(key).await;
        }
    }

    /// Takes requests from the queue of the pool that `fits` lets go along in the next flight of the connection.
    pub(crate) fn passengers(&mut self, mut fits: impl FnMut(&Connection, &Bytes) -> bool) -> Vec<Passenger> {
        let Some(connection) = &self.connection else { return Vec::new() };
        self.pool.passengers(|frames| fits(connection, frames))
    }

    /// The next request of the flight has it now.
    pub(crate) fn passed_on(&mut self) {
        self.pool.observe_hold(self.since.elapsed());
        self.since = Instant::now();
    }

    pub(super) fn for_a_session(mut self) -> Lease {
        self.for_request = false;
        self
    }

    /// Gives the connection back. Its session must be as after a login, or owe nothing more than the confirmation of that.
    pub(crate) fn release(mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.rest();
            self.pool.put(connection, self.for_request.then(|| self.since.elapsed()));
        }
    }

    /// Starts the time anew for which the connection is held.
    pub(super) fn handed_over(mut self) -> Lease {
        self.since = Instant::now();
        self
    }

    /// Gives the connection back without having used it.
    pub(super) fn put_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.put(connection, None);
        }
    }

    /// Waits until the session is as after a login, but not longer than until then, and not longer than a reset may take.
    /// Cancel safe: the connection goes back to the pool.
    pub(super) async fn settle(mut self, until: Option<Instant>) -> Settled {
        // What has arrived in the meantime takes a moment to be read.
        let over = (self.connection().rested() + SETTLING).max(Instant::now() + Duration::from_secs(1));
        let limit = until.map_or(over, |until| until.min(over));
        let mut settling = Settling(Some(self));
        let settled = tokio::time::timeout_at(limit.into(), settling.settle()).await;
        match (settled, settling.0.take()) {
            (Ok(true), Some(lease)) => Settled::Clean(lease),
            // The reset has time left, but not the request. Whoever is next goes on waiting for it.
            (Err(_), Some(lease)) if limit < over => {
                lease.put_back();
                Settled::TooLate
            }
            _ => Settled::Lost,
        }
    }
}

/// A lease whose reset is waited for. Who leaves while he waits leaves the connection to others.
struct Settling(Option<Lease>);

impl Settling {
    async fn settle(&mut self) -> bool {
        match &mut self.0 {
            Some(lease) => lease.connection().settle().await,
            None => false,
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.put_back();
        }
    }
}

/// How long the reset behind a request may take before its connection is closed.
const SETTLING: Duration = Duration::from_secs(10);

/// What has come of waiting for a reset.
pub(super) enum Settled {
    /// The session is as after a login.
    Clean(Lease),
    /// The connection is closed.
    Lost,
    /// It was put back before the reset had ended.
    TooLate,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection);
            self.pool.closed();
        }
    }
}
