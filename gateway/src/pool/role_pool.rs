//! The connections of one role to one database, and the queue of the requests that wait for one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::problem::Code;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::admission::{self, HoldTime, Until};
use super::database::{Context, Timing};
use super::lease::{Lease, Settled};
use super::queue::{Claim, Leased, Passenger, Place, Waiting};
use super::verifier::Proof;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::metrics::DatabaseMetrics;
use crate::postgres::{Connection, Target};

/// The connections of one role to one database: idle here, out on a [`Lease`], or being opened, and never more of all
/// three than `pool_size`.
///
/// Requests get connections in the order in which they ask. Nobody opens a connection for himself: where requests wait
/// and there is room, connections are opened beside, and whoever is first in line gets the first that is free.
pub(crate) struct RolePool {
    pub(super) context: Arc<Context>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The one used last is at the back.
    idle: VecDeque<Idle>,
    /// All connections: idle, out, or being opened.
    pub(super) open: usize,
    pub(super) opening: usize,
    pub(super) waiting: VecDeque<Waiting>,
    tickets: u64,
    hold: HoldTime,
    /// After a connection could not be opened although others are open: not to try again before then.
    pub(super) open_after: Option<Instant>,
    pub(super) proof: Option<Proof>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl RolePool {
    pub(super) fn new(context: Arc<Context>) -> RolePool {
        RolePool { context, state: Mutex::default() }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.context.target
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; and if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_proof(&self, proof: Option<Proof>) {
        self.state().proof = proof;
    }

    /// Whether `check` accepts what is proven.
    pub(super) fn is_proven(&self, check: impl FnOnce(&Proof) -> bool) -> bool {
        self.state().proof.as_ref().is_some_and(check)
    }

    pub(super) fn metrics(&self) -> &Arc<DatabaseMetrics> {
        &self.context.metrics
    }

    pub(super) fn idle_count(&self) -> usize {
        self.state().idle.len()
    }

    pub(super) fn close_idle(&self) {
        let mut state = self.state();
        state.open -= state.idle.len();
        state.idle.clear();
    }

    /// A connection whose session is as after a login, or a place in the flight of another request.
    pub(super) async fn lease(
        self: &Arc<Self>,
        credentials: &Credentials,
        claim: Claim,
        timing: &mut Timing,
    ) -> Result<Leased, Failure> {
        let Claim { deadline, frames, mut again } = claim;
        let begun = Instant::now();
        let config = &self.context.config;
        let until = deadline.within(begun, config.pool_timeout);
        if let Some(lease) = self.idle(until).await {
            return Ok(Leased::Own(lease));
        }
        // For whom a connection is being opened.
        let until_open = deadline.within(begun, config.pool_timeout + config.connect_timeout);
        let mut connecting = Duration::ZERO;
        let result = loop {
            let handed = match self.queue(credentials, until, frames.clone(), again) {
                Err(failure) => break Err(failure),
                Ok(Queued::Idle(connection)) => {
                    Ok((Leased::Own(Lease::new(connection, self.clone())), Duration::ZERO))
                }
                Ok(Queued::Place(place)) => {
                    let until = if place.is_opening() { until_open } else { until };
                    place.wait(until).await
                }
            };
            let (lease, connect) = match handed {
                Ok((Leased::Own(lease), connect)) => (lease.handed_over(), connect),
                Ok((along, _)) => break Ok(along),
                Err(failure) => break Err(failure),
            };
            connecting += connect;
            match lease.settle(Some(until.instant.into_std())).await {
                Settled::Clean(lease) => break Ok(Leased::Own(lease)),
                Settled::TooLate => break Err(self.too_late(until)),
                // A server that went away, or a session that could not be reset. Its place in the queue was well deserved.
                Settled::Lost => again = true,
            }
        };
        timing.connect += connecting;
        timing.queue += begun.elapsed().saturating_sub(connecting);
        result
    }

    /// The idle connection used last whose session is known to be clean; those that have lost their server or are too
    /// old are closed on the way.
    async fn idle(self: &Arc<Self>, until: Until) -> Option<Lease> {
        let mut unsettled: Option<Lease> = None;
        let found = loop {
            let Some(connection) = self.pop_idle() else { break unsettled.take() };
            let mut lease = Lease::new(connection, self.clone());
            if self.is_too_old(lease.connection()) {
                continue;
            }
            match lease.connection().settle_now().await {
                Some(true) => break Some(lease),
                Some(false) => {}
                None => {
                    if let Some(other) = unsettled.replace(lease) {
                        // Two that are not yet settled: wait for one of them.
                        break Some(other);
                    }
                }
            }
        };
        if let Some(lease) = unsettled {
            lease.put_back();
        }
        let mut found = found?;
        if found.connection().is_settled() {
            return Some(found);
        }
        match found.settle(Some(until.instant.into_std())).await {
            Settled::Clean(lease) => Some(lease),
            Settled::Lost | Settled::TooLate => None,
        }
    }

    fn pop_idle(&self) -> Option<Box<Connection>> {
        Some(self.state().idle.pop_back()?.connection)
    }

    fn is_too_old(&self, connection: &Connection) -> bool {
        connection.opened().elapsed() >= self.context.config.max_lifetime
    }

    /// Takes a place in the queue, or a connection that has become free in the meantime.
    pub(super) fn queue(
        self: &Arc<Self>,
        credentials: &Credentials,
        until: Until,
        frames: Option<Bytes>,
        first: bool,
    ) -> Result<Queued, Failure> {
        let mut state = self.state();
        if let Some(idle) = state.idle.pop_back() {
            return Ok(Queued::Idle(idle.connection));
        }
        let waiting = state.waiting.len();
        let working = state.open - state.opening;
        let expected = state.hold.expected_wait(waiting, working);
        if waiting >= self.context.config.queue_size as usize && !first {
            return Err(admission::full(waiting, expected));
        }
        // Not of a few that wait: a single slow request says nothing about the next ones.
        if waiting >= working.max(1) * 2 && Instant::now() + expected > until.instant && !first {
            return Err(admission::in_vain(expected));
        }
        let (hand, receiver) = oneshot::channel();
        let ticket = state.tickets;
        state.tickets += 1;
        let waiting = Waiting { ticket, credentials: Arc::new(credentials.clone()), frames, hand };
        if first {
            state.waiting.push_front(waiting);
        } else {
            state.waiting.push_back(waiting);
        }
        self.open_more(&mut state);
        let opening = first || state.opening >= state.waiting.len();
        Ok(Queued::Place(Place::new(self.clone(), ticket, opening, receiver)))
    }

    /// Takes a request out of the queue that waits no longer.
    pub(super) fn leave_queue(&self, ticket: u64) {
        self.state().waiting.retain(|waiting| waiting.ticket != ticket);
    }

    /// The refusal of a request that has waited until then for a connection.
    pub(super) fn too_late(&self, until: Until) -> Failure {
        let config = &self.context.config;
        if until.is_deadline {
            return admission::expired();
        }
        Failure::new(
            Code::PoolTimeout,
            format!(
                "all {} connections of this role were in use for {:?}; try again later, or let the operator raise \
                 pool_size or pool_timeout",
                config.pool_size, config.pool_timeout
            ),
        )
        .retry_after(1)
    }

    /// Gives a connection to the first in line, or keeps it.
    pub(super) fn hand_out(self: &Arc<Self>, mut lease: Lease, connect: Duration) {
        loop {
            let Some(waiting) = self.state().waiting.pop_front() else { break lease.put_back() };
            match waiting.hand.send(Ok((Leased::Own(lease), connect))) {
                Err(Ok((Leased::Own(back), _))) => lease = back,
                _ => return,
            }
        }
    }

    /// Takes requests from the front of the queue for which `fits` is true: as many as there are more waiting than
    /// connections, for each of these, and no more than may share a flight.
    pub(super) fn passengers(&self, mut fits: impl FnMut(&Bytes) -> bool) -> Vec<Passenger> {
        let mut state = self.state();
        let most = usize::try_from(self.context.config.requests_in_flight).unwrap_or(1).saturating_sub(1);
        let most = most.min(state.waiting.len() / state.open.max(1));
        let mut passengers = Vec::new();
        // Soon there is another connection for who waits.
        if most == 0 || state.opening > 0 {
            return passengers;
        }
        let (mut place, mut looked_at) = (0, 0);
        while passengers.len() < most && looked_at < most * 2 {
            let Some(waiting) = state.waiting.get(place) else { break };
            looked_at += 1;
            let frames = waiting.frames.clone().filter(|frames| !waiting.hand.is_closed() && fits(frames));
            match frames {
                None => place += 1,
                Some(frames) => {
                    let waiting = state.waiting.remove(place);
                    passengers.extend(waiting.map(|waiting| Passenger::new(frames, waiting.hand)));
                }
            }
        }
        passengers
    }

    /// Learns for how long a request held a connection.
    pub(super) fn observe_hold(&self, held: Duration) {
        self.state().hold.observe(held);
    }

    /// Takes a connection that was opened for a proof of a password, if there is room.
    pub(super) fn adopt(self: &Arc<Self>, connection: Box<Connection>) {
        let size = usize::try_from(self.context.config.pool_size).unwrap_or(usize::MAX);
        {
            let mut state = self.state();
            if state.open >= size {
                return;
            }
            state.open += 1;
        }
        self.put(connection, None);
    }

    /// Takes a connection back that was held for so long, and gives it to the first in line.
    pub(super) fn put(self: &Arc<Self>, connection: Box<Connection>, held: Option<Duration>) {
        let old = self.is_too_old(&connection);
        let mut state = self.state();
        if let Some(held) = held {
            state.hold.observe(held);
        }
        if old {
            drop(state);
            drop(connection);
            return self.closed();
        }
        if state.waiting.is_empty() {
            state.idle.push_back(Idle { connection, since: Instant::now() });
            return;
        }
        drop(state);
        self.hand_out(Lease::new(connection, self.clone()), Duration::ZERO);
    }

    /// A connection is closed: there is room for another one.
    pub(super) fn closed(self: &Arc<Self>) {
        let mut state = self.state();
        state.open -= 1;
        self.open_more(&mut state);
    }

    /// Closes connections that were unused for long, are too old, or have lost their server.
    pub(super) fn reap(self: &Arc<Self>) {
        let config = &self.context.config;
        let least = usize::try_from(config.min_pool_size).unwrap_or(0);
        let mut closing = Vec::new();
        let mut unsettled = Vec::new();
        {
            let mut state = self.state();
            let now = Instant::now();
            for idle in std::mem::take(&mut state.idle) {
                let unused = now.saturating_duration_since(idle.since);
                if (unused >= config.idle_timeout && state.open - closing.len() > least)
                    || self.is_too_old(&idle.connection)
                {
                    closing.push(idle.connection);
                } else if !idle.connection.is_settled() {
                    unsettled.push(idle.connection);
                } else if idle.connection.is_quiet() {
                    state.idle.push_back(idle);
                } else {
                    closing.push(idle.connection);
                }
            }
        }
        for connection in closing {
            drop(connection);
            self.closed();
        }
        for connection in unsettled {
            let lease = Lease::new(connection, self.clone());
            tokio::spawn(async move {
                if let Settled::Clean(lease) = lease.settle(None).await {
                    lease.put_back();
                }
            });
        }
    }
}

pub(super) enum Queued {
    Idle(Box<Connection>),
    Place(Place),
}
