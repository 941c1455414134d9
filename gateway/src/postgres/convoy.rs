//! Several requests in one flight on one connection, for when more of them wait than there are connections.
//!
//! The first in line for a connection takes along others that wait, if what all of them send is known to be short. Each
//! has its own group and its own reset behind it, and between two of them stands a guard
//! ([`reset::guard`](super::reset::guard)): nobody runs in a session that was not reset. PostgreSQL answers in order, so at
//! any moment one of them reads the connection: it has the [`Baton`], and passes it on when its own answer is read.
//!
//! Whoever leaves before its turn is skipped. What a request in the middle suffers stays with it: an error, a cancellation
//! and its own limits; only a connection that is lost is lost for all that had not been answered. Why it is so, and what
//! it brings: docs/decisions/0007.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::flight::{self, Written};
use super::reset::{self, Before};
use super::{Broken, Connection, abandoned};
use crate::codec::Pipeline;
use crate::metrics::DatabaseMetrics;
use crate::pool::{Lease, Passenger};

/// The largest answer, as seen before, and the largest request of those that share a flight.
const ANSWER_BYTES: u64 = 64 << 10;
const REQUEST_BYTES: usize = 32 << 10;

/// The right and the duty to read the connection.
pub(crate) struct Baton {
    pub(super) lease: Lease,
    /// Who gets it next.
    pub(super) behind: Behind,
    /// Whether something in the flight was cancelled, which may have hit what is behind it.
    pub(super) cancelled: bool,
}

type Passed = Result<Baton, Broken>;

/// The requests behind one in its flight. They learn that the connection is lost when this is dropped.
#[derive(Default)]
pub(crate) struct Behind(VecDeque<oneshot::Sender<Passed>>);

impl Behind {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The server has given up the session, and said so, before it came to them.
    pub(super) fn were_not_begun(&mut self, sqlstate: Option<&str>) {
        for waiting in self.0.drain(..) {
            // Who went away need not know.
            let _ = waiting.send(Err(Broken::Unsent { sqlstate: sqlstate.map(str::to_owned) }));
        }
    }
}

/// Where a request that is in a flight waits for the baton. Dropping it leaves the answer to be skipped.
pub(crate) struct Turn(Option<oneshot::Receiver<Passed>>);

impl Turn {
    /// Waits for it. Cancel safe.
    pub(super) async fn come(&mut self) -> Passed {
        // A sender that is gone without a word has lost the connection.
        let lost = Broken::Lost { sqlstate: None };
        let Some(receiver) = &mut self.0 else { return Err(lost) };
        let passed = receiver.await.unwrap_or(Err(lost));
        self.0 = None;
        passed
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut receiver) = self.0.take() else { return };
        receiver.close();
        // Passed at the last moment.
        if let Ok(Ok(baton)) = receiver.try_recv()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            skip(baton);
        }
    }
}

/// A request that was sent in the flight of another one.
pub(crate) struct Ride {
    pub(super) turn: Turn,
    pub(super) written: Written,
}

/// Finds requests that can go along with `pipeline`, which is the next on the connection of `lease`.
pub(super) fn board(lease: &mut Lease, pipeline: &Pipeline) -> Vec<Passenger> {
    let connection = lease.connection();
    // Behind a pooler the guard may be on another server than the reset.
    if !connection.traits().resets || !connection.is_direct {
        return Vec::new();
    }
    let Some(mut ahead) = pipeline.shared_frames().and_then(|frames| expected(connection, frames)) else {
        return Vec::new();
    };
    let short = connection.traits().short_request;
    lease.passengers(|connection, frames| {
        let Some(taken) = expected(connection, frames).filter(|_| ahead <= short) else { return false };
        ahead += taken;
        true
    })
}

/// How long a request takes, if it is known that it may share a flight: all its statements are prepared on the connection,
/// neither open nor end transactions, and had small answers.
fn expected(connection: &Connection, frames: &Bytes) -> Option<Duration> {
    if frames.len() > REQUEST_BYTES {
        return None;
    }
    let mut micros = 0;
    for key in flight::keys(frames) {
        let habits = connection.statements.habits(key)?;
        if habits.answer_bytes > ANSWER_BYTES {
            return None;
        }
        // Each is known to take as long as the requests that it was part of.
        micros = habits.micros.max(micros);
    }
    Some(Duration::from_micros(micros)).filter(|taken| *taken <= connection.traits().short_request)
}

/// Appends the requests of `aboard`, each behind a guard and before a reset.
pub(super) fn append(
    connection: &mut Connection,
    aboard: Vec<Passenger>,
    metrics: &DatabaseMetrics,
    out: &mut Vec<u8>,
) -> Behind {
    let mut behind = Behind::default();
    let mut aboard = aboard.into_iter().peekable();
    while let Some(passenger) = aboard.next() {
        let start = out.len();
        reset::guard(connection, out);
        let written = Written::prepared(connection, passenger.frames(), out);
        let (sender, receiver) = oneshot::channel();
        if !passenger.goes_along(Ride { turn: Turn(Some(receiver)), written }) {
            // Its client went away.
            out.truncate(start);
            continue;
        }
        let before = if aboard.peek().is_some() { Before::PreparedAndMore } else { Before::Prepared };
        reset::append(connection, before, out);
        behind.0.push_back(sender);
        metrics.shared.add(1);
    }
    behind
}

/// Gives a connection whose last answer is read, except for the reset behind it, to the next request of the flight, or
/// back to its pool.
pub(super) fn pass_on(mut lease: Lease, mut behind: Behind, cancelled: bool) {
    let Some(next) = behind.0.pop_front() else { return lease.release() };
    lease.passed_on();
    if let Err(Ok(baton)) = next.send(Ok(Baton { lease, behind, cancelled })) {
        skip(baton);
    }
}

/// Skips the answer of a request that went away before its turn, and the reset in front of it.
fn skip(baton: Baton) {
    tokio::spawn(abandoned::step_aside(baton, 0, 2));
}
