//! What a failed statement can have left behind, by its first word.
//!
//! A statement that fails is rolled back, and its transaction with it; except that procedures (`CALL`, `DO`) and transaction
//! commands commit on their own before something behind them fails. The first word is enough to tell: what this does not
//! know counts as the worse case.

use onetrip_wire::ascii;

/// What can remain of statements that failed. The greatest of a transaction's statements is that of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// Nothing: after a conflict they may run again.
    Atomic,
    /// Nothing, as far as data goes; running them again is for the caller to decide.
    Whole,
    /// Anything: they can commit on their own.
    Open,
}

impl Effect {
    /// That of one statement.
    pub(crate) fn of(sql: &str) -> Effect {
        let start = ascii::trim_start(sql);
        let word = ascii::first_word(start);
        if holds("select insert update delete with merge values table ", word) {
            Effect::Atomic
        } else if matches!(start.as_bytes().first(), Some(b'-' | b'/' | b'(' | b';'))
            || holds("call do begin start commit end rollback abort prepare execute ", word)
        {
            Effect::Open
        } else {
            Effect::Whole
        }
    }
}

/// Whether a word is one of these, each with a space behind it: an array of them is twice as large.
fn holds(words: &str, word: &str) -> bool {
    let mut words = words;
    while let Some((known, rest)) = ascii::split(words, b' ') {
        if known.eq_ignore_ascii_case(word) {
            return true;
        }
        words = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The package's retry rule has the same line in TypeScript, and reads the same table.
    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn what_may_be_sent_again_after_a_conflict_is_what_the_shared_table_says() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/conflicts.json")).unwrap();
        let statements = table["statements"].as_array().unwrap();
        assert!(statements.len() > 10);
        for statement in statements {
            let sql = statement[0].as_str().unwrap();
            assert_eq!(Effect::of(sql) == Effect::Atomic, statement[1].as_bool().unwrap(), "{sql}");
            assert_eq!(Effect::of(sql) == Effect::Open, statement[2].as_bool().unwrap_or(false), "{sql}");
        }
    }

    #[test]
    fn the_first_word_says_what_can_remain() {
        for (sql, effect) in [
            ("select 1", Effect::Atomic),
            ("\n  INSERT into t values (1)", Effect::Atomic),
            ("With x as (select 1) delete from t", Effect::Atomic),
            ("table t", Effect::Atomic),
            ("create table t ()", Effect::Whole),
            ("selec 1", Effect::Whole),
            ("selects 1", Effect::Whole),
            ("", Effect::Whole),
            ("call p()", Effect::Open),
            ("DO $$ begin commit; end $$", Effect::Open),
            ("commit", Effect::Open),
            ("Begin", Effect::Open),
            ("-- a comment\ncall p()", Effect::Open),
            ("/* a comment */ select 1", Effect::Open),
            ("(select 1)", Effect::Open),
        ] {
            assert_eq!(Effect::of(sql), effect, "{sql}");
        }
    }
}
