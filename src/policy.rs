//! The retry policy: what to do after an attempt that failed. Pure: time and randomness are arguments.
//!
//! One rule stands above all others: **what may have been executed is never sent again, unless the caller said that it
//! may run twice** ([`Repeat::Allowed`]). The Rust client and the npm package follow this one implementation.

/// How often and how patiently a request is tried.
///
/// # Examples
/// ```
/// use onetrip::policy::{Attempt, Decision, Outcome, Policy, Repeat};
/// let failed = Attempt {
///     number: 1,
///     elapsed_ms: 12,
///     deadline_ms: Some(5_000),
///     outcome: Outcome::Lost,
///     repeat: Repeat::Forbidden,
/// };
/// // It may have been executed, and nobody said that it may run twice.
/// assert_eq!(Policy::default().decide(&failed, 0), Decision::Fail);
/// let repeatable = Attempt { repeat: Repeat::Allowed, ..failed };
/// assert_eq!(Policy::default().decide(&repeatable, u32::MAX), Decision::RetryAfter(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How many times a request is sent at most, the first time included. Default: 3. 1 and 0 mean: no retries.
    pub attempts: u32,
    /// The longest wait before the second attempt, in milliseconds; it doubles with every further one. Default: 50.
    pub base_ms: u32,
    /// The longest wait that doubling leads to, in milliseconds. Default: 2,000.
    pub cap_ms: u32,
    /// The longest `Retry-After` that is waited for, in milliseconds; a longer one fails at once. Default: 10,000.
    pub retry_after_limit_ms: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { attempts: 3, base_ms: 50, cap_ms: 2_000, retry_after_limit_ms: 10_000 }
    }
}

impl Policy {
    /// Sets how many times a request is sent at most, the first time included.
    ///
    /// # Examples
    /// ```
    /// use onetrip::policy::Policy;
    /// let patient = Policy::default().attempts(5).backoff_ms(100, 5_000).retry_after_limit_ms(30_000);
    /// let config: onetrip::Config = "https://app:secret@db.example.com/shop".parse()?;
    /// let client = onetrip::Client::new(config.policy(patient));
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    pub fn attempts(mut self, attempts: u32) -> Policy {
        self.attempts = attempts;
        self
    }

    /// Sets the longest wait before the second attempt and the longest wait of all, in milliseconds.
    pub fn backoff_ms(mut self, base_ms: u32, cap_ms: u32) -> Policy {
        self.base_ms = base_ms;
        self.cap_ms = cap_ms;
        self
    }

    /// Sets the longest `Retry-After` that is waited for, in milliseconds.
    pub fn retry_after_limit_ms(mut self, limit_ms: u32) -> Policy {
        self.retry_after_limit_ms = limit_ms;
        self
    }

    /// Decides what follows on a failed attempt. `random` is any number of 32 random bits.
    ///
    /// The wait is drawn evenly from 0 to a ceiling that doubles with each attempt ("full jitter"), so that clients that
    /// failed together do not come back together. A `Retry-After` is waited for in full, the jitter comes on top. A wait
    /// that would end at or after the deadline is not begun.
    pub fn decide(&self, attempt: &Attempt, random: u32) -> Decision {
        if attempt.number >= self.attempts || !attempt.may_be_sent_again() {
            return Decision::Fail;
        }
        let retry_after_ms = match attempt.outcome {
            Outcome::Refused { retry_after_ms: Some(ms), .. } if ms > self.retry_after_limit_ms => {
                return Decision::Fail;
            }
            Outcome::Refused { retry_after_ms: Some(ms), .. } => ms,
            _ => 0,
        };
        let doublings = attempt.number.saturating_sub(1).min(31);
        let ceiling = (u64::from(self.base_ms) << doublings).min(u64::from(self.cap_ms));
        // The product is under 2^64, and what is left of it after the shift is at most the ceiling.
        let jitter = u32::try_from((u64::from(random) * (ceiling + 1)) >> 32).unwrap_or(u32::MAX);
        let wait_ms = retry_after_ms.saturating_add(jitter);
        let end_ms = attempt.elapsed_ms.saturating_add(u64::from(wait_ms));
        match attempt.deadline_ms {
            Some(deadline_ms) if end_ms >= deadline_ms => Decision::Fail,
            _ => Decision::RetryAfter(wait_ms),
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which attempt it was, from 1.
    pub number: u32,
    /// Milliseconds since the first attempt began.
    pub elapsed_ms: u64,
    /// The milliseconds after the beginning of the first attempt by which all must be over; `None`: no deadline.
    pub deadline_ms: Option<u64>,
    /// How it failed.
    pub outcome: Outcome,
    /// Whether the caller allows that its statements run twice.
    pub repeat: Repeat,
}

impl Attempt {
    fn may_be_sent_again(&self) -> bool {
        match self.outcome {
            Outcome::NotSent | Outcome::RolledBack => true,
            Outcome::Refused { retryable, .. } => retryable,
            Outcome::Lost => self.repeat == Repeat::Allowed,
            Outcome::Failed => false,
        }
    }
}

/// How an attempt failed, as far as sending it again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request never left: no connection came about.
    NotSent,
    /// The endpoint refused it before PostgreSQL.
    Refused {
        /// What the problem says: nothing was executed, the same request may be sent again.
        retryable: bool,
        /// The `Retry-After` in milliseconds.
        retry_after_ms: Option<u32>,
    },
    /// PostgreSQL rolled the whole request back because of other transactions (`40001`, `40P01`).
    RolledBack,
    /// It was sent, and no complete answer came: nobody knows what it did.
    Lost,
    /// Any other failure: sending it again would fail again.
    Failed,
}

/// Whether the statements of a request may run twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// They may not, or nobody said so: the default.
    #[default]
    Forbidden,
    /// They may: they only read, or their effect is the same twice.
    Allowed,
}

/// What follows on a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Report the error.
    Fail,
    /// Wait that many milliseconds, then send the request again.
    RetryAfter(u32),
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempt(number: u32, outcome: Outcome, repeat: Repeat) -> Attempt {
        Attempt { number, elapsed_ms: 0, deadline_ms: None, outcome, repeat }
    }

    #[test]
    fn each_outcome_is_sent_again_only_where_nothing_can_happen_twice() {
        let refused = |retryable| Outcome::Refused { retryable, retry_after_ms: None };
        for (outcome, forbidden, allowed) in [
            (Outcome::NotSent, true, true),
            (Outcome::RolledBack, true, true),
            (refused(true), true, true),
            (refused(false), false, false),
            (Outcome::Lost, false, true),
            (Outcome::Failed, false, false),
        ] {
            for (repeat, expected) in [(Repeat::Forbidden, forbidden), (Repeat::Allowed, allowed)] {
                let decision = Policy::default().decide(&attempt(1, outcome, repeat), 7);
                assert_eq!(decision != Decision::Fail, expected, "{outcome:?} {repeat:?}");
            }
        }
    }

    #[test]
    fn a_retry_after_is_waited_for_in_full_and_a_long_one_not_at_all() {
        let refused = |ms| Outcome::Refused { retryable: true, retry_after_ms: Some(ms) };
        let decide = |ms| Policy::default().decide(&attempt(1, refused(ms), Repeat::Forbidden), 0);
        assert_eq!(decide(1_000), Decision::RetryAfter(1_000));
        assert_eq!(decide(10_000), Decision::RetryAfter(10_000));
        assert_eq!(decide(10_001), Decision::Fail);
    }

    #[test]
    fn the_ceiling_of_the_wait_doubles_up_to_the_cap() {
        let policy = Policy::default().attempts(40);
        let longest = |number| policy.decide(&attempt(number, Outcome::NotSent, Repeat::Forbidden), u32::MAX);
        for (number, ms) in [(1, 50), (2, 100), (3, 200), (6, 1_600), (7, 2_000), (39, 2_000)] {
            assert_eq!(longest(number), Decision::RetryAfter(ms), "attempt {number}");
        }
    }

    proptest! {
        #[test]
        fn no_wait_reaches_the_deadline_and_no_attempt_goes_past_the_limit(
            attempts in 0u32..10, base_ms: u32, cap_ms: u32, number in 1u32..20, elapsed_ms: u64,
            deadline_ms: Option<u64>, retry_after_ms: Option<u32>, random: u32,
        ) {
            let policy = Policy::default().attempts(attempts).backoff_ms(base_ms, cap_ms);
            let outcome = Outcome::Refused { retryable: true, retry_after_ms };
            let failed = Attempt { number, elapsed_ms, deadline_ms, outcome, repeat: Repeat::Forbidden };
            if let Decision::RetryAfter(wait_ms) = policy.decide(&failed, random) {
                prop_assert!(number < attempts);
                prop_assert!(wait_ms >= retry_after_ms.unwrap_or(0));
                prop_assert!(wait_ms <= retry_after_ms.unwrap_or(0).saturating_add(cap_ms));
                if let Some(deadline_ms) = deadline_ms {
                    prop_assert!(elapsed_ms.saturating_add(u64::from(wait_ms)) < deadline_ms);
                }
            }
        }
    }
}
