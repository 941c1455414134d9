//! The connections of one role, and the lease of one of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::verifier::Proof;
use crate::metrics::DatabaseMetrics;
use crate::postgres::{BackendKey, Connection, Target};

/// The connections of one role to one database. Open ones are either idle here or out on a [`Lease`], and never more
/// than there are seats.
pub(crate) struct Pool {
    pub(super) seats: Arc<Semaphore>,
    state: Mutex<State>,
    returned: Notify,
}

/// How long somebody waits for a connection that is on its way back. A reset takes far less, as a rule; and a login
/// takes about as long.
const RETURN_TIMEOUT: Duration = Duration::from_millis(20);

pub(super) struct State {
    /// The one used last is at the back.
    idle: VecDeque<Idle>,
    /// Connections whose answer is complete and whose reset is not.
    returning: usize,
    /// Requests that wait for one of those.
    waiting: usize,
    pub(super) proof: Option<Proof>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(size: u32) -> Pool {
        let seats = usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS);
        let state = State { idle: VecDeque::new(), returning: 0, waiting: 0, proof: None };
        Pool { seats: Arc::new(Semaphore::new(seats)), state: Mutex::new(state), returned: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; and if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idle connection used last that still has its server and is not too old; the others are closed on the way.
    pub(super) fn idle(&self, lifetime: Duration) -> Option<Connection> {
        loop {
            let connection = self.state().idle.pop_back()?.connection;
            if connection.opened().elapsed() < lifetime && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// As [`idle`](Self::idle), but waits for a connection that is on its way back, if there is one for this request.
    /// Without that, a client that sends one request after the other would have two connections opened for it.
    pub(super) async fn idle_soon(&self, lifetime: Duration) -> Option<Connection> {
        loop {
            let returned = self.returned.notified();
            if let Some(connection) = self.idle(lifetime) {
                return Some(connection);
            }
            let waiting = Waiting::new(self)?;
            let came = timeout(RETURN_TIMEOUT, returned).await;
            drop(waiting);
            if came.is_err() {
                return self.idle(lifetime);
            }
        }
    }

    pub(super) fn close_idle(&self) {
        self.state().idle.clear();
    }

    pub(super) fn idle_count(&self) -> usize {
        self.state().idle.len()
    }

    /// Closes idle connections for which there is no seat.
    pub(super) fn trim(&self) {
        let mut state = self.state();
        while state.idle.len() > self.seats.available_permits() {
            state.idle.pop_front();
        }
    }

    /// Closes connections that were unused for long, are too old, or have lost their server.
    pub(super) fn reap(&self, idle_timeout: Duration, lifetime: Duration) {
        self.state().idle.retain(|idle| {
            idle.since.elapsed() < idle_timeout
                && idle.connection.opened().elapsed() < lifetime
                && idle.connection.is_quiet()
        });
    }
}

/// A request that waits for a connection on its way back.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn new(pool: &'a Pool) -> Option<Waiting<'a>> {
        let mut state = pool.state();
        if state.waiting >= state.returning {
            return None;
        }
        state.waiting += 1;
        Some(Waiting(pool))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

/// A connection on its way back.
struct Returning(Arc<Pool>);

impl Drop for Returning {
    fn drop(&mut self) {
        self.0.state().returning -= 1;
        self.0.returned.notify_waiters();
    }
}

/// A connection that is out of its pool. It goes back only by [`release`](Self::release); dropping the lease closes it.
pub(crate) struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
    target: Arc<Target>,
    returning: Option<Returning>,
    seat: OwnedSemaphorePermit,
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
    pub(super) fn new(
        connection: Connection,
        pool: Arc<Pool>,
        target: Arc<Target>,
        seat: OwnedSemaphorePermit,
        metrics: Arc<DatabaseMetrics>,
    ) -> Lease {
        metrics.in_use.add(1);
        Lease { connection, pool, target, returning: None, seat, _in_use: InUse(metrics) }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// What cancelling a query of the connection takes.
    pub(crate) fn canceller(&self) -> Option<(Arc<Target>, BackendKey)> {
        Some((self.target.clone(), self.connection.key()?))
    }

    /// Says that the connection will be given back soon, or closed.
    pub(crate) fn announce(&mut self) {
        if self.returning.is_none() {
            self.pool.state().returning += 1;
            self.returning = Some(Returning(self.pool.clone()));
        }
    }

    /// Gives the connection back. Its session must be as after a login: idle, reset, nothing left to read.
    pub(crate) fn release(mut self) {
        self.connection.rest();
        let idle = Idle { connection: self.connection, since: Instant::now() };
        self.pool.state().idle.push_back(idle);
        // Only now, so that whoever waits for them finds the connection.
        drop(self.returning);
        drop(self.seat);
    }

    /// Cancels what the connection runs, then closes it.
    pub(crate) async fn cancel(self) {
        if let Some(key) = self.connection.key() {
            self.target.cancel(key).await;
        }
    }
}
