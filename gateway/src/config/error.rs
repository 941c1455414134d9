//! What is wrong with a configuration: every mistake at once, each with its place and what is allowed there.

use std::fmt;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A line, from 1, of a configuration file; the name is `None` for a text that came from elsewhere.
    File { name: Option<String>, line: usize },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// No place in particular.
    Whole,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File { name: Some(name), line } => write!(formatter, "{name}, line {line}"),
            Source::File { name: None, line } => write!(formatter, "line {line}"),
            Source::Environment(name) => write!(formatter, "the environment variable {name}"),
            Source::Flag(name) => write!(formatter, "the flag {name}"),
            Source::Whole => formatter.write_str("the configuration"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) source: Source,
    /// The key, dotted; empty where none is meant.
    pub(crate) key: String,
    /// What is wrong, and what is allowed.
    pub(crate) text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(formatter, "{}: {}", self.source, self.text),
            key => write!(formatter, "{}: {key}: {}", self.source, self.text),
        }
    }
}

/// A configuration that cannot be used. `Display` gives one line for each mistake: where it is, which key, what is
/// wrong and what is allowed. It never holds a password: a URL that has one is not quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(crate) mistakes: Vec<Mistake>,
}

impl ConfigError {
    pub(crate) fn one(source: Source, text: impl Into<String>) -> ConfigError {
        ConfigError { mistakes: vec![Mistake { source, key: String::new(), text: text.into() }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// ` Did you mean "x"?` where a known word is near, or else the list of what is allowed.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let longer = |known: &&&str| word.len() > 2 && (known.starts_with(word) || word.starts_with(**known));
    match nearest(word, known).or_else(|| known.iter().find(longer).copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("allowed: {}", known.join(", ")),
    }
}

/// The known word that at most two (in short words one) changed letters make of `word`.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    let near =
        known.iter().map(|known| (distance(word, known), *known)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= allowed).map(|(_, known)| known)
}

/// The Levenshtein distance, with one row of its table.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (&other, &up) in to.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != other)).min(up + 1).min(left + 1);
            diagonal = up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_a_misspelt_word_and_no_other() {
        let known = ["listen", "limits", "databases"];
        for (word, expected) in [
            ("listn", Some("listen")),
            ("database", Some("databases")),
            ("lmits", Some("limits")),
            ("port", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn distance_counts_changed_letters() {
        for (from, to, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("abc", "abc", 0)] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
