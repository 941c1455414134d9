//! A request that nobody waits for any longer: it is cancelled, and its connection proven clean before others use it.

use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use onetrip_wire::Limits;
use onetrip_wire::backend::tag;
use onetrip_wire::frame;

use super::Connection;
use super::convoy::{self, Baton};
use super::reset;
use crate::pool::Lease;

/// How long a cancelled connection gets to come to rest before it is closed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Cancels what the connection runs, skips what is `read` already and the rest of `readies` answers, undoes all that the
/// session has seen and gives the connection back; closes it where that does not go.
///
/// A CancelRequest names a session, not a query, so a late one could hit the next query. It cannot be late here: PostgreSQL
/// closes the connection that brought it when the signal is sent, and a session that waits for its next command forgets
/// signals. So the reset is sent only after both that end and the last answer have been read.
pub(super) async fn recover(mut lease: Lease, read: usize, readies: u32) {
    lease.connection().incoming.advance(read);
    let Some(key) = lease.connection().key() else { return };
    let target = lease.target().clone();
    let connection = lease.connection();
    let (cancelled, drained) = tokio::join!(target.cancel(key), async {
        tokio::time::timeout(TIMEOUT, drain(connection, readies)).await.unwrap_or(false)
    });
    if !(cancelled && drained && lease.connection().incoming.is_empty()) {
        return;
    }
    reset::start_over(lease.connection());
    let settled = tokio::time::timeout(TIMEOUT, lease.connection().settle()).await;
    if settled == Ok(true) {
        lease.release();
    }
}

/// How long the answer to a request that nobody waits for may take before it is cancelled for the sake of those behind it
/// in its flight: a cancellation may hit them, too, and then they have to be sent again.
const GRACE: Duration = Duration::from_millis(100);

/// Skips what is `read` already and the rest of `answers` of a request that nobody waits for any longer, and leaves the
/// connection to those behind it. Closes it where that does not go.
pub(super) async fn step_aside(baton: Baton, read: usize, answers: u32) {
    let Baton { mut lease, behind, mut cancelled } = baton;
    lease.connection().incoming.advance(read);
    let (key, target) = (lease.connection().key(), lease.target().clone());
    let metrics = lease.metrics().clone();
    let drained = {
        let mut draining = pin!(tokio::time::timeout(GRACE + TIMEOUT, drain(lease.connection(), answers)));
        match (tokio::time::timeout(GRACE, &mut draining).await, key) {
            (Ok(drained), _) => drained == Ok(true),
            (Err(_), None) => draining.await == Ok(true),
            (Err(_), Some(key)) => {
                cancelled = true;
                metrics.cancelled.add(1);
                tokio::join!(target.cancel(key), draining) == (true, Ok(true))
            }
        }
    };
    if drained {
        reset::owe(lease.connection());
        convoy::pass_on(lease, behind, cancelled);
    }
}

/// Reads and throws away everything up to so many ReadyForQuery; whether they came.
async fn drain(connection: &mut Connection, mut readies: u32) -> bool {
    let limits = Limits::default().frame_bytes(usize::MAX);
    while readies > 0 {
        let (tag, len) = loop {
            match frame::peek(&connection.incoming, &limits) {
                Ok(Some(header)) => break header,
                Ok(None) if matches!(connection.read().await, Ok(1..)) => {}
                _ => return false,
            }
        };
        // The server waits for data then, which would never come.
        if matches!(tag, tag::COPY_IN | tag::COPY_BOTH) {
            return false;
        }
        readies -= u32::from(tag == tag::READY);
        let mut rest = len;
        loop {
            let here = rest.min(connection.incoming.len());
            connection.incoming.advance(here);
            rest -= here;
            if rest == 0 {
                break;
            }
            if !matches!(connection.read().await, Ok(1..)) {
                return false;
            }
        }
    }
    true
}
