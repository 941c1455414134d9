//! The driver's retry policy for JavaScript: numbers in, one number out.

use onetrip::policy::{Attempt, Decision, Outcome, Policy, Repeat};
use wasm_bindgen::prelude::wasm_bindgen;

/// Milliseconds to wait before a failed request is sent again; −1: it is not.
///
/// `attempts` is the limit, `number` which attempt failed, from 1. `deadline_ms` and `retry_after` are −1 for none.
/// `outcome` is 0 not sent, 1 refused by the endpoint, 2 rolled back by PostgreSQL because of other transactions, 3 lost;
/// anything else is a failure that would only happen again. `random` is any number of 32 random bits.
#[wasm_bindgen]
#[expect(
    clippy::too_many_arguments,
    reason = "an object would cost the boundary more than it gives the reader"
)]
pub fn retry_after_ms(
    attempts: u32,
    number: u32,
    elapsed_ms: f64,
    deadline_ms: f64,
    outcome: u32,
    retryable: bool,
    retry_after: f64,
    repeat: bool,
    random: u32,
) -> f64 {
    let attempt = Attempt {
        number,
        elapsed_ms: whole(elapsed_ms).unwrap_or(0),
        deadline_ms: whole(deadline_ms),
        outcome: match outcome {
            0 => Outcome::NotSent,
            1 => Outcome::Refused {
                retryable,
                retry_after_ms: whole(retry_after).map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            },
            2 => Outcome::RolledBack,
            3 => Outcome::Lost,
            _ => Outcome::Failed,
        },
        repeat: if repeat { Repeat::Allowed } else { Repeat::Forbidden },
    };
    match Policy::default().attempts(attempts).decide(&attempt, random) {
        Decision::Fail => -1.0,
        Decision::RetryAfter(ms) => f64::from(ms),
    }
}

/// A number of milliseconds; none if it is negative or not a number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is not negative")]
fn whole(ms: f64) -> Option<u64> {
    (ms >= 0.0).then_some(ms as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_decides_by_what_it_is_told() {
        let decide = |number, deadline_ms, outcome, retryable, retry_after, repeat| {
            retry_after_ms(3, number, 10.0, deadline_ms, outcome, retryable, retry_after, repeat, u32::MAX)
        };
        // Not sent: again, after the longest first wait of the policy.
        assert_eq!(decide(1, -1.0, 0, false, -1.0, false), 50.0);
        // The last attempt, and a deadline that the wait would reach.
        assert_eq!(decide(3, -1.0, 0, false, -1.0, false), -1.0);
        assert_eq!(decide(1, 60.0, 0, false, -1.0, false), -1.0);
        // Refused: as the endpoint says, after its Retry-After.
        assert_eq!(decide(1, -1.0, 1, true, 1000.0, false), 1050.0);
        assert_eq!(decide(1, -1.0, 1, false, 1000.0, true), -1.0);
        // Rolled back by PostgreSQL: again.
        assert_eq!(decide(2, -1.0, 2, false, -1.0, false), 100.0);
        // Lost: only what may run twice.
        assert_eq!(decide(1, -1.0, 3, false, -1.0, false), -1.0);
        assert_eq!(decide(1, -1.0, 3, false, -1.0, true), 50.0);
        // Unknown outcomes and numbers that are none.
        assert_eq!(decide(1, f64::NAN, 9, true, f64::NAN, true), -1.0);
    }
}
