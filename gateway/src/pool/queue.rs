//! Waiting for a connection: what a request brings to the queue of its pool, what it gets there, and its place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::problem::Code;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::admission::{Deadline, Until};
use super::lease::Lease;
use super::role_pool::RolePool;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::postgres::Ride;

/// A request in the queue, as the pool sees it.
pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) credentials: Arc<Credentials>,
    /// What it sends, if that may share a flight.
    pub(super) frames: Option<Bytes>,
    pub(super) hand: oneshot::Sender<Handed>,
}

/// A connection, and how long it took to open it for this request; or a place in the flight of another one.
pub(super) type Handed = Result<(Leased, Duration), Failure>;

/// What a request runs on.
pub(crate) enum Leased {
    /// A connection of its own.
    Own(Lease),
    /// It was sent on the connection of another one.
    Along(Ride),
}

/// What a request asks of the pool.
pub(crate) struct Claim {
    /// When it has to be over.
    pub(crate) deadline: Deadline,
    /// Its frames, if it may share a flight with others.
    pub(crate) frames: Option<Bytes>,
    /// Whether it has waited before, and in vain through no fault of its own.
    pub(crate) again: bool,
}

/// A request out of the queue that goes along with another one.
pub(crate) struct Passenger {
    frames: Bytes,
    hand: oneshot::Sender<Handed>,
}

impl Passenger {
    pub(super) fn new(frames: Bytes, hand: oneshot::Sender<Handed>) -> Passenger {
        Passenger { frames, hand }
    }

    pub(crate) fn frames(&self) -> &Bytes {
        &self.frames
    }

    /// Tells it; `false` if it does not wait any longer.
    pub(crate) fn goes_along(self, ride: Ride) -> bool {
        self.hand.send(Ok((Leased::Along(ride), Duration::ZERO))).is_ok()
    }
}

/// A place in the queue. Dropping it leaves the queue.
pub(super) struct Place {
    pool: Arc<RolePool>,
    ticket: u64,
    /// Whether a connection is being opened for this one.
    opening: bool,
    receiver: Option<oneshot::Receiver<Handed>>,
}

impl Place {
    pub(super) fn new(
        pool: Arc<RolePool>,
        ticket: u64,
        opening: bool,
        receiver: oneshot::Receiver<Handed>,
    ) -> Place {
        Place { pool, ticket, opening, receiver: Some(receiver) }
    }

    pub(super) fn is_opening(&self) -> bool {
        self.opening
    }

    pub(super) async fn wait(mut self, until: Until) -> Handed {
        let Some(receiver) = &mut self.receiver else { return Err(gone()) };
        match timeout_at(until.instant, receiver).await {
            Ok(handed) => {
                self.receiver = None;
                handed.unwrap_or_else(|_| Err(gone()))
            }
            Err(_) => self.leave().unwrap_or_else(|| Err(self.pool.too_late(until))),
        }
    }

    /// Leaves the queue; what was handed over at the last moment.
    fn leave(&mut self) -> Option<Handed> {
        let mut receiver = self.receiver.take()?;
        self.pool.leave_queue(self.ticket);
        receiver.close();
        receiver.try_recv().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(Ok((Leased::Own(lease), _))) = self.leave() {
            lease.put_back();
        }
    }
}

fn gone() -> Failure {
    Failure::new(Code::Internal, "the queue for connections has lost a request")
}
