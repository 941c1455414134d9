//! The connections of one role, and the lease of one of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::verifier::Proof;
use crate::postgres::{Connection, Target};

/// The connections of one role to one database. Open ones are either idle here or out on a [`Lease`], and never more
/// than there are seats.
pub(crate) struct Pool {
    pub(super) seats: Arc<Semaphore>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// The one used last is at the back.
    idle: VecDeque<Idle>,
    pub(super) proof: Option<Proof>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(size: u32) -> Pool {
        let seats = usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS);
        Pool {
            seats: Arc::new(Semaphore::new(seats)),
            state: Mutex::new(State { idle: VecDeque::new(), proof: None }),
        }
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

/// A connection that is out of its pool. It goes back only by [`release`](Self::release); dropping the lease closes it.
pub(crate) struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
    target: Arc<Target>,
    seat: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn new(
        connection: Connection,
        pool: Arc<Pool>,
        target: Arc<Target>,
        seat: OwnedSemaphorePermit,
    ) -> Lease {
        Lease { connection, pool, target, seat }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Gives the connection back. Its session must be as after a login: idle, reset, nothing left to read.
    pub(crate) fn release(mut self) {
        self.connection.rest();
        let idle = Idle { connection: self.connection, since: Instant::now() };
        self.pool.state().idle.push_back(idle);
        // The seat is free only now, so that whoever gets it finds the connection.
        drop(self.seat);
    }

    /// Cancels what the connection runs, then closes it.
    pub(crate) async fn cancel(self) {
        if let Some(key) = self.connection.key() {
            self.target.cancel(key).await;
        }
    }
}
