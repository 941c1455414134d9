//! How many wrong passwords an address may send for a role: some each minute, and some more for all roles together.
//!
//! Only passwords that are not known to be right are counted, so nobody is kept from a role that is in use.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long a guess counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong passwords of one address for one role, and for all roles, in a window.
const EACH: u32 = 10;
const ALL: u32 = 50;

/// Over it what is oldest is forgotten.
const ENTRIES_LIMIT: usize = 20_000;

/// The guesses of the last minute.
#[derive(Default)]
pub(crate) struct Guesses(Mutex<HashMap<(IpAddr, Option<String>), Window>>);

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

/// A guess that is under way. It counts until it is found [`right`](Self::right).
pub(crate) struct Guess {
    guesses: Arc<Guesses>,
    keys: [(IpAddr, Option<String>); 2],
}

impl Guesses {
    /// Counts a guess.
    ///
    /// # Errors
    /// After how many seconds another one may be made.
    pub(crate) fn begin(self: &Arc<Self>, address: IpAddr, role: &str, now: Instant) -> Result<Guess, u32> {
        let keys = [(address, Some(role.to_owned())), (address, None)];
        let mut windows = self.lock();
        if windows.len() >= ENTRIES_LIMIT {
            windows.retain(|_, window| window.left(now).is_some());
            if windows.len() >= ENTRIES_LIMIT {
                windows.clear();
            }
        }
        for (key, limit) in keys.iter().zip([EACH, ALL]) {
            if let Some(window) = windows.get(key)
                && window.count >= limit
                && let Some(left) = window.left(now)
            {
                return Err(u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1));
            }
        }
        for key in &keys {
            let window = windows.entry(key.clone()).or_insert(Window { since: now, count: 0 });
            if window.left(now).is_none() {
                *window = Window { since: now, count: 0 };
            }
            window.count += 1;
        }
        Ok(Guess { guesses: self.clone(), keys })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(IpAddr, Option<String>), Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn left(&self, now: Instant) -> Option<Duration> {
        WINDOW.checked_sub(now.saturating_duration_since(self.since))
    }
}

impl Guess {
    /// The password was right, or nobody could say.
    pub(crate) fn right(self) {
        let mut windows = self.guesses.lock();
        for key in &self.keys {
            if let Some(window) = windows.get_mut(key) {
                window.count = window.count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_guesses_are_bound_by_role_and_by_address_and_forgotten_after_a_minute() {
        let (guesses, now) = (Arc::new(Guesses::default()), Instant::now());
        let address = |last: u8| IpAddr::from([127, 0, 0, last]);
        for _ in 0..EACH {
            assert!(guesses.begin(address(1), "ada", now).is_ok());
        }
        for _ in 0..100 {
            guesses.begin(address(2), "ada", now).unwrap_or_else(|_| panic!()).right();
        }
        assert_eq!(guesses.begin(address(1), "ada", now + WINDOW / 2).err(), Some(31));
        assert!(guesses.begin(address(1), "grace", now).is_ok(), "another role");
        for role in 0..ALL {
            let _ = guesses.begin(address(1), &format!("role{role}"), now);
        }
        assert!(guesses.begin(address(1), "new", now).is_err(), "all roles together");
        assert!(guesses.begin(address(1), "ada", now + WINDOW * 2).is_ok());
    }
}
