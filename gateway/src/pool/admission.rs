//! Who may wait for a connection: a queue has an end, and nobody is let into it who would wait in vain.

use std::time::Duration;

use onetrip_wire::problem::Code;
use tokio::time::Instant;

use crate::failure::Failure;

/// When a request has to be answered, if it says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// A deadline so long after now.
    pub(crate) fn after(duration: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(duration))
    }

    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// How long a wait may take that began at `since` and may take at most `limit`.
    pub(super) fn within(self, since: Instant, limit: Duration) -> Until {
        let end = since + limit;
        match self.0 {
            Some(deadline) if deadline < end => Until { instant: deadline, is_deadline: true },
            _ => Until { instant: end, is_deadline: false },
        }
    }
}

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    pub(super) instant: Instant,
    /// Whether it is the request's own deadline, and not the endpoint's limit.
    pub(super) is_deadline: bool,
}

/// How long connections are held by a request: a moving average, in which the last sixteen count most.
#[derive(Debug, Default)]
pub(super) struct HoldTime {
    micros: u64,
}

impl HoldTime {
    pub(super) fn observe(&mut self, held: Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX / 32);
        self.micros = if self.micros == 0 { held } else { (self.micros * 15 + held) / 16 };
    }

    /// How long the next in line waits when so many wait already for so many connections.
    pub(super) fn expected_wait(&self, waiting: usize, connections: usize) -> Duration {
        let turns = u64::try_from(waiting + 1).unwrap_or(u64::MAX);
        let connections = u64::try_from(connections.max(1)).unwrap_or(u64::MAX);
        Duration::from_micros(self.micros.saturating_mul(turns) / connections)
    }
}

/// The refusal of a request that finds the queue full.
pub(super) fn full(waiting: usize, expected: Duration) -> Failure {
    Failure::new(
        Code::TooManyRequests,
        format!(
            "{waiting} requests of this role wait for a connection already; try again later, or let the operator raise \
             pool_size or queue_size"
        ),
    )
    .retry_after(seconds(expected))
}

/// The refusal of a request that would wait in vain.
pub(super) fn in_vain(expected: Duration) -> Failure {
    Failure::new(
        Code::TooManyRequests,
        "so many requests of this role wait for a connection that this one would not get one in time; try again later, \
         or let the operator raise pool_size or pool_timeout",
    )
    .retry_after(seconds(expected))
}

/// What a request is told whose deadline has passed before it got a connection.
pub(super) fn expired() -> Failure {
    Failure::new(
        Code::DeadlineInQueue,
        "the deadline of the request (Onetrip-Deadline) passed before a connection to PostgreSQL was free; nothing was \
         executed",
    )
}

/// For Retry-After: whole seconds, at least one, at most half a minute.
fn seconds(expected: Duration) -> u32 {
    u32::try_from(expected.as_secs() + 1).unwrap_or(30).min(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_wait_follows_how_long_connections_are_held() {
        let mut hold = HoldTime::default();
        assert_eq!(hold.expected_wait(1000, 1), Duration::ZERO, "nothing is known yet");
        for _ in 0..100 {
            hold.observe(Duration::from_millis(10));
        }
        assert_eq!(hold.expected_wait(0, 1), Duration::from_millis(10));
        assert_eq!(hold.expected_wait(99, 10), Duration::from_millis(100));
        for _ in 0..200 {
            hold.observe(Duration::from_micros(500));
        }
        assert!(hold.expected_wait(0, 1) < Duration::from_millis(1));
    }

    #[test]
    fn a_refusal_says_in_whole_seconds_when_to_come_back() {
        assert_eq!(full(3, Duration::from_millis(5)).retry_after_s, Some(1));
        assert_eq!(in_vain(Duration::from_millis(1500)).retry_after_s, Some(2));
        assert_eq!(in_vain(Duration::from_secs(10_000)).retry_after_s, Some(30));
    }
}
