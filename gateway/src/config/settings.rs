//! Settings from a file, the environment and flags, laid over each other: the later one of the three wins.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Mistake, Source, nearest, suggestion};
use super::value::Value;

/// The keys that stand once, dotted.
pub(crate) const GLOBAL_KEYS: &[&str] = &[
    "listen",
    "drain_delay",
    "drain_timeout",
    "log",
    "log_format",
    "log_requests",
    "metrics.listen",
    "metrics.token",
    "compression.codings",
    "compression.least_bytes",
    "tls.certificate",
    "tls.key",
    "cors.allowed_origins",
    "limits.request_bytes",
    "limits.row_bytes",
    "limits.response_bytes",
    "limits.buffer_bytes",
    "limits.header_bytes",
    "limits.headers",
    "limits.header_timeout",
    "limits.body_timeout",
    "limits.send_timeout",
    "websocket.idle_timeout",
];

/// The keys of each `databases.NAME`.
pub(crate) const DATABASE_KEYS: &[&str] = &[
    "url",
    "pool_size",
    "pool_timeout",
    "connect_timeout",
    "idle_timeout",
    "max_lifetime",
    "min_pool_size",
    "queue_size",
    "statement_cache",
    "requests_in_flight",
    "short_request",
    "session_reset",
    "concurrent_logins",
    "allow_trust",
    "jwt.jwks_url",
    "jwt.jwks_file",
    "jwt.roles",
    "jwt.issuer",
    "jwt.audience",
    "jwt.role_claim",
    "jwt.claims_key",
    "jwt.clock_skew",
];

/// What stands at the top of a file.
const TOP: &[&str] = &[
    "listen",
    "drain_delay",
    "drain_timeout",
    "log",
    "log_format",
    "log_requests",
    "metrics",
    "tls",
    "cors",
    "compression",
    "limits",
    "websocket",
    "databases",
];

/// A value and where it was set.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// All settings, and the mistakes that were found on the way.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) global: BTreeMap<&'static str, Setting>,
    pub(crate) databases: BTreeMap<String, BTreeMap<&'static str, Setting>>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Settings {
    pub(crate) fn mistake(&mut self, source: Source, key: impl Into<String>, text: impl Into<String>) {
        self.mistakes.push(Mistake { source, key: key.into(), text: text.into() });
    }

    /// Lays a TOML text over what is there.
    pub(crate) fn file(&mut self, text: &str, name: Option<&str>) -> Result<(), ConfigError> {
        let source = |start: usize| {
            let line = 1 + text.as_bytes().iter().take(start).filter(|&&byte| byte == b'\n').count();
            Source::File { name: name.map(str::to_owned), line }
        };
        let table = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            ConfigError::one(
                source(start),
                format!("this is not TOML: {}", error.message().replace('\n', "; ")),
            )
        })?;
        for (key, value) in entries(table.get_ref()) {
            let at = source(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("databases", DeValue::Table(databases)) => {
                    for (name, options) in entries(databases) {
                        self.database(name.get_ref(), options, &source);
                    }
                }
                (
                    section @ ("metrics" | "tls" | "cors" | "compression" | "limits" | "websocket"),
                    DeValue::Table(table),
                ) => {
                    for (key, value) in entries(table) {
                        self.global(&format!("{section}.{}", key.get_ref()), value, source(key.span().start));
                    }
                }
                (
                    section @ ("metrics" | "tls" | "cors" | "compression" | "limits" | "websocket"
                    | "databases"),
                    _,
                ) => {
                    self.mistake(at, section, format!("a table is expected: [{section}]"));
                }
                (key, _) if !TOP.contains(&key) => {
                    self.mistake(at, key, format!("there is no such key; {}", suggestion(key, TOP)));
                }
                (key, _) => self.global(key, value, at),
            }
        }
        Ok(())
    }

    fn database(&mut self, name: &str, options: &Spanned<DeValue<'_>>, source: &dyn Fn(usize) -> Source) {
        let key = format!("databases.{name}");
        let DeValue::Table(table) = options.get_ref() else {
            let text = format!("a table is expected: [{key}] with url = \"postgresql://host:port/dbname\"");
            return self.mistake(source(options.span().start), key, text);
        };
        self.databases.entry(name.to_owned()).or_default();
        for (option, value) in entries(table) {
            match (option.get_ref().as_ref(), value.get_ref()) {
                ("jwt", DeValue::Table(jwt)) => {
                    for (option, value) in entries(jwt) {
                        let at = source(option.span().start);
                        self.database_option(name, &format!("jwt.{}", option.get_ref()), value, at);
                    }
                }
                (option_name, _) => {
                    self.database_option(name, option_name, value, source(option.span().start));
                }
            }
        }
    }

    fn database_option(&mut self, name: &str, option: &str, value: &Spanned<DeValue<'_>>, at: Source) {
        let key = format!("databases.{name}.{option}");
        match DATABASE_KEYS.iter().find(|known| **known == option) {
            None => {
                let text = format!("there is no such key; {}", suggestion(option, DATABASE_KEYS));
                self.mistake(at, key, text);
            }
            Some(known) => match plain(value.get_ref()) {
                Err(text) => self.mistake(at, key, text),
                Ok(value) => {
                    let setting = Setting { value, source: at };
                    self.databases.entry(name.to_owned()).or_default().insert(known, setting);
                }
            },
        }
    }

    fn global(&mut self, key: &str, value: &Spanned<DeValue<'_>>, source: Source) {
        let Some(known) = GLOBAL_KEYS.iter().find(|known| **known == key) else {
            let section = key.split('.').next().unwrap_or_default();
            let section = format!("{section}.");
            let names: Vec<&str> =
                GLOBAL_KEYS.iter().filter_map(|known| known.strip_prefix(&section)).collect();
            let name = key.strip_prefix(&section).unwrap_or(key);
            return self.mistake(source, key, format!("there is no such key; {}", suggestion(name, &names)));
        };
        match plain(value.get_ref()) {
            Err(text) => self.mistake(source, key, text),
            Ok(value) => {
                self.global.insert(known, Setting { value, source });
            }
        }
    }

    /// Lays the `ONETRIP_…` variables over what is there. Others are left alone, for programs that are clients of an
    /// endpoint have such variables, too; but a name that is nearly one of ours is a mistake.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let names: Vec<String> = GLOBAL_KEYS.iter().map(|key| variable(key)).collect();
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.extend(["ONETRIP_CONFIG", "ONETRIP_DATABASES"]);
        for (name, value) in variables {
            let source = Source::Environment(name.clone());
            if let Some(key) = GLOBAL_KEYS.iter().find(|key| variable(key) == name) {
                self.global.insert(key, Setting { value: Value::Text(value), source });
            } else if name == "ONETRIP_DATABASES" {
                let urls: Vec<&str> = value.split_whitespace().collect();
                self.database_urls(&urls, &source);
            } else if name != "ONETRIP_CONFIG"
                && name.starts_with("ONETRIP_")
                && let Some(near) = nearest(&name, &all)
            {
                self.mistake(source, "", format!("there is no such variable; did you mean {near}?"));
            }
        }
    }

    pub(crate) fn flag(&mut self, key: &'static str, flag: &'static str, value: &str) {
        let setting = Setting { value: Value::Text(value.to_owned()), source: Source::Flag(flag) };
        self.global.insert(key, setting);
    }

    /// Takes `NAME=URL` texts, each name once.
    pub(crate) fn database_urls(&mut self, urls: &[impl AsRef<str>], source: &Source) {
        let mut seen = Vec::new();
        for text in urls {
            // The text is not quoted in an error: somebody may have written a password into it.
            let Some((name, url)) = text.as_ref().split_once('=').filter(|(name, _)| !name.contains(':'))
            else {
                let text = "NAME=URL is expected, for example app=postgresql://127.0.0.1:5432/app";
                self.mistake(source.clone(), "", text);
                continue;
            };
            if seen.contains(&name) {
                self.mistake(source.clone(), format!("databases.{name}"), "this database is given twice");
                continue;
            }
            seen.push(name);
            let setting = Setting { value: Value::Text(url.to_owned()), source: source.clone() };
            self.databases.entry(name.to_owned()).or_default().insert("url", setting);
        }
    }
}

/// The environment variable of a key: `limits.row_bytes` is `ONETRIP_LIMITS_ROW_BYTES`.
fn variable(key: &str) -> String {
    format!("ONETRIP_{}", key.replace('.', "_").to_ascii_uppercase())
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

/// The entries of a table in the order in which they were written.
fn entries<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn plain(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(integer) => {
            let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
            Value::Integer(parsed.map_err(|_| "the number is too large".to_owned())?)
        }
        DeValue::Array(array) => {
            let texts = array.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            let texts: Option<Vec<String>> = texts.collect();
            Value::List(texts.ok_or("a list of texts in quotes is expected")?)
        }
        DeValue::Table(_) => return Err("a value is expected, not a table".to_owned()),
        DeValue::Float(_) | DeValue::Datetime(_) => {
            return Err("a text, a whole number, true or false, or a list of texts is expected".to_owned());
        }
    })
}
