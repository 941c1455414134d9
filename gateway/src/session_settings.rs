//! Settings that hold for one request or one session: from a connection string, a startup message or a token.
//!
//! They are set by a statement of the endpoint's own (`set_config`), for the session and not for the transaction, so
//! that a statement that commits in its middle keeps them; the reset behind every request takes them away.

use bytes::Bytes;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};

/// Names and values of settings, in the order in which they are set.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionSettings(Vec<(String, String)>);

/// More settings than that are no honest request.
const SETTINGS_LIMIT: usize = 64;

impl SessionSettings {
    /// Adds a setting.
    ///
    /// # Errors
    /// A text when there are too many.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.0.len() >= SETTINGS_LIMIT {
            return Err(format!("more than {SETTINGS_LIMIT} settings in one request"));
        }
        self.0.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Adds what the parameter `options` of a connection asks for: `-c name=value`, `-cname=value` or `--name=value`,
    /// separated by white space, a backslash before what is to be taken as it is. What names an endpoint or a project
    /// of a hosting service is passed over.
    ///
    /// # Errors
    /// A text that does not quote the options.
    pub(crate) fn options(&mut self, options: &str) -> Result<(), String> {
        const EXPECTED: &str = "options: -c name=value is expected";
        let mut words = words(options).into_iter();
        while let Some(word) = words.next() {
            let setting = if word == "-c" {
                words.next().ok_or(EXPECTED)?
            } else if let Some(setting) = word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
                setting.to_owned()
            } else if word.starts_with("endpoint=")
                || word.starts_with("project=")
                || word.starts_with("neon_")
            {
                continue;
            } else {
                return Err(EXPECTED.to_owned());
            };
            let (name, value) = setting.split_once('=').ok_or(EXPECTED)?;
            // A hyphen stands for an underscore in an option, as on the server's command line.
            self.set(&name.replace('-', "_"), value)?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether they must be set before the transaction of the request begins: PostgreSQL looks at these only then.
    pub(crate) fn before_transaction(&self) -> bool {
        self.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("default_transaction_"))
    }

    /// The statement that sets them, as frames without a Sync; empty where there is nothing to set.
    pub(crate) fn frames(&self) -> Bytes {
        let mut frames = Vec::new();
        if self.is_empty() {
            return Bytes::new();
        }
        let mut sql = String::from("select");
        for index in 0..self.0.len() {
            let separator = if index == 0 { ' ' } else { ',' };
            let (name, value) = (2 * index + 1, 2 * index + 2);
            sql.push_str(&format!("{separator}pg_catalog.set_config(${name},${value},false)"));
        }
        let parameters: Vec<Parameter<'_>> = self
            .iter()
            .flat_map(|(name, value)| [name, value])
            .map(|text| Parameter { type_oid: 0, format: Format::Text, value: Some(text.as_bytes()) })
            .collect();
        let statement = Statement { sql: &sql, parameters: &parameters, result_format: Format::Text };
        frontend::statement(&mut frames, &statement)
            .expect("the SQL is ours, and the values came in the head of a request");
        Bytes::from(frames)
    }
}

/// The words of an `options` text.
fn words(options: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                word.extend(characters.next());
                inside = true;
            }
            space if space.is_ascii_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            other => {
                word.push(other);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &str) -> Result<Vec<(String, String)>, String> {
        let mut settings = SessionSettings::default();
        settings.options(options)?;
        Ok(settings.0)
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (options, expected) in [
            ("", vec![]),
            ("-c search_path=a", vec![pair("search_path", "a")]),
            (
                "-csearch_path=a,b  --statement-timeout=5s",
                vec![pair("search_path", "a,b"), pair("statement_timeout", "5s")],
            ),
            ("-c search_path=a,\\ b", vec![pair("search_path", "a, b")]),
            ("endpoint=x -c a.b=c=d", vec![pair("a.b", "c=d")]),
        ] {
            assert_eq!(of(options).unwrap(), expected, "{options}");
        }
        for options in ["-c", "-c a", "-d 5", "search_path=a"] {
            assert!(of(options).unwrap_err().starts_with("options"), "{options}");
        }
        assert!(of(&"-c a=b ".repeat(65)).is_err());
    }
}
