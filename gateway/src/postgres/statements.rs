//! The statements that the gateway has prepared on one connection, so that one seen before is not parsed again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A statement with more SQL and parameter types than this is parsed each time: keeping it would cost more memory, here
/// and in PostgreSQL, than its parsing costs time.
const KEY_LIMIT_BYTES: usize = 16 << 10;

/// The statements of one connection by what was parsed: SQL text and declared parameter types, as they stand in a Parse
/// frame.
///
/// Names are unique among all connections of all endpoints: behind a pooler, two of them may meet on one server.
pub(crate) struct Statements {
    limit: usize,
    entries: HashMap<Box<[u8]>, Entry>,
    /// Prepared, and not wanted any longer: to be closed at the start of the next flight.
    closing: Vec<u32>,
    prefix: String,
    clock: u64,
    /// What the clock said before the flight that is being written.
    flight: u64,
    next: u32,
}

struct Entry {
    number: u32,
    used: u64,
    habits: Habits,
}

/// What a statement was like when it was executed on this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// How long it takes, a moving average in which the last eight count most.
    pub(super) micros: u64,
    /// The largest answer of a request that it was part of.
    pub(super) answer_bytes: u64,
    /// Whether its command tag said that it neither opens nor ends a transaction, nor prepares names. That is a matter of
    /// its text, so once is enough.
    pub(super) is_plain: bool,
}

impl Statements {
    /// At most `limit` statements; 0 keeps none.
    pub(crate) fn new(limit: usize) -> Statements {
        // Each RandomState has keys of its own, from the system's random numbers.
        let random = RandomState::new().hash_one(0);
        Statements {
            limit,
            entries: HashMap::new(),
            closing: Vec::new(),
            prefix: format!("onetrip_{random:016x}_"),
            clock: 0,
            flight: 0,
            next: 0,
        }
    }

    /// Whether a statement may be kept.
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        self.limit > 0 && key.len() <= KEY_LIMIT_BYTES
    }

    /// Begins with the writing of a flight: what is [found](Self::find) from here on is not evicted for its sake.
    pub(super) fn begin_flight(&mut self) {
        self.flight = self.clock;
    }

    /// The number of a statement that is prepared.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<u32> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.number)
    }

    /// What a statement was like that has been executed here without an error.
    pub(super) fn habits(&self, key: &[u8]) -> Option<Habits> {
        self.entries.get(key).map(|entry| entry.habits).filter(|habits| habits.is_plain)
    }

    /// Learns how a request went that a statement was part of; `plain` says that all its tags were plain ones.
    pub(super) fn observe(&mut self, key: &[u8], taken: Duration, answer_bytes: u64, plain: bool) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let habits = &mut entry.habits;
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX / 8);
        habits.micros = if *habits == Habits::default() { micros } else { (habits.micros * 7 + micros) / 8 };
        habits.answer_bytes = habits.answer_bytes.max(answer_bytes);
        habits.is_plain |= plain;
    }

    /// Learns that a request that a statement was part of takes longer than so; nothing from one that was given up sooner.
    pub(super) fn outlasted(&mut self, key: &[u8], least: Duration) {
        let known = self.habits(key).map(|habits| Duration::from_micros(habits.micros));
        if known.is_some_and(|known| least > known) {
            self.observe(key, least, 0, false);
        }
    }

    /// A number for a statement that is about to be prepared, and room for it beside so many others of the same flight:
    /// the one used longest ago has to go. `None` where the flight itself fills the cache, with those others and with what
    /// it uses, which must not be closed in front of it.
    pub(super) fn reserve(&mut self, beside: usize) -> Option<u32> {
        let room = self.limit.checked_sub(beside + 1)?;
        // A walk through all entries, which is nothing beside the parsing that follows.
        while self.entries.len() > room {
            let (key, entry) = self.entries.iter().min_by_key(|(_, entry)| entry.used)?;
            if entry.used > self.flight {
                return None;
            }
            let key = key.clone();
            self.evict(&key);
        }
        self.next = self.next.wrapping_add(1);
        Some(self.next)
    }

    /// Keeps a statement that PostgreSQL has prepared under this number.
    pub(super) fn insert(&mut self, key: &[u8], number: u32) {
        self.clock += 1;
        let entry = Entry { number, used: self.clock, habits: Habits::default() };
        if let Some(old) = self.entries.insert(key.into(), entry) {
            self.closing.push(old.number);
        }
    }

    /// Forgets a statement; it is closed in front of what the next flight prepares.
    pub(super) fn evict(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.closing.push(entry.number);
        }
    }

    /// Forgets everything: PostgreSQL has dropped, or is about to drop, all statements of the session.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.closing.clear();
    }

    /// The numbers of what is to be closed.
    pub(super) fn take_closing(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.closing)
    }

    /// What the names of this connection begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Appends the name of a number, without its zero byte.
    pub(super) fn write_name(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            at -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(digits.get(at..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(statements: &Statements, number: u32) -> String {
        let mut name = Vec::new();
        statements.write_name(number, &mut name);
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn the_statement_used_longest_ago_makes_room_and_is_closed() {
        let mut statements = Statements::new(2);
        for key in [b"a", b"b"] {
            let number = statements.reserve(0).unwrap();
            statements.insert(key, number);
        }
        let a = statements.find(b"a").unwrap();
        let b = statements.find(b"b").unwrap();
        assert_eq!(statements.find(b"a"), Some(a));
        statements.begin_flight();
        let c = statements.reserve(0).unwrap();
        statements.insert(b"c", c);
        assert_eq!(statements.find(b"b"), None);
        assert_eq!((statements.find(b"a"), statements.find(b"c")), (Some(a), Some(c)));
        assert_eq!(statements.take_closing(), [b]);
        assert!(statements.take_closing().is_empty());
        assert_eq!(statements.entries.len(), 2);
    }

    #[test]
    fn what_a_flight_uses_makes_no_room_for_the_rest_of_it() {
        let mut statements = Statements::new(2);
        for key in [b"a", b"b"] {
            statements.begin_flight();
            let number = statements.reserve(0).unwrap();
            statements.insert(key, number);
        }
        statements.begin_flight();
        statements.find(b"a").unwrap();
        assert!(statements.reserve(0).is_some(), "b was not used");
        assert_eq!(statements.reserve(1), None, "only a is left, and used");
        assert_eq!(statements.take_closing().len(), 1);
        statements.begin_flight();
        assert!(statements.reserve(1).is_some(), "not in this flight");
    }

    #[test]
    fn what_a_statement_is_like_is_known_once_it_ended_well_and_follows_what_it_does() {
        let mut statements = Statements::new(2);
        let number = statements.reserve(0).unwrap();
        statements.insert(b"a", number);
        assert_eq!(statements.habits(b"a"), None, "nothing is known yet");
        statements.observe(b"a", Duration::from_millis(1), 10, false);
        assert_eq!(statements.habits(b"a"), None, "it failed, or opened a transaction");
        statements.observe(b"a", Duration::from_millis(1), 10, true);
        let habits = statements.habits(b"a").unwrap();
        assert_eq!((habits.micros, habits.answer_bytes), (1000, 10));
        statements.observe(b"a", Duration::from_millis(81), 5, true);
        let habits = statements.habits(b"a").unwrap();
        assert_eq!((habits.micros, habits.answer_bytes), (11_000, 10));
        statements.evict(b"a");
        assert_eq!(statements.habits(b"a"), None);
        let number = statements.reserve(0).unwrap();
        statements.insert(b"a", number);
        assert_eq!(statements.habits(b"a"), None, "parsed anew it may be another one");
    }

    #[test]
    fn names_are_those_of_one_connection_and_one_number() {
        let (one, other) = (Statements::new(1), Statements::new(1));
        assert_ne!(name(&one, 1), name(&other, 1));
        for number in [0, 1, 9, 10, 99, 100, 12_345, u32::MAX] {
            assert_eq!(name(&one, number), format!("{}{number}", one.prefix()));
        }
    }

    #[test]
    fn a_cache_of_none_takes_nothing_and_no_cache_takes_giants() {
        assert!(!Statements::new(0).takes(b"select 1"));
        let statements = Statements::new(10);
        assert!(statements.takes(&[b'x'; KEY_LIMIT_BYTES]));
        assert!(!statements.takes(&[b'x'; KEY_LIMIT_BYTES + 1]));
    }
}
