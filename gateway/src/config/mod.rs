//! What an endpoint is told: from a TOML file, the environment and flags, checked once, at start.

mod database_url;
mod error;
mod jwt;
mod operations;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use database_url::{DatabaseUrl, Host, TlsMode};
pub use error::ConfigError;
use error::{Source, suggestion};
pub use jwt::{ClaimsKey, JwtConfig, KeySource, RolePassword};
pub use operations::{Coding, Compression, LogFormat, Metrics, MetricsListener, Token};
use settings::{Setting, Settings};
use value::Value;

/// Everything that an endpoint is told. `gateway/onetrip.example.toml` shows each key with its default.
///
/// # Examples
/// ```
/// use onetrip_gateway::Config;
/// let config = Config::from_toml(r#"
///     [databases.app]
///     url = "postgresql://127.0.0.1:5432/app"
/// "#)?;
/// assert_eq!(config.listen.port(), 5480);
/// # Ok::<(), onetrip_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen. Port 0 takes a free one. Default: `127.0.0.1:5480`.
    pub listen: SocketAddr,
    /// How long requests are still taken after the endpoint was told to stop, while `/readyz` says 503. Default: 0 s, at
    /// most 1 hour.
    pub drain_delay: Duration,
    /// How long requests may go on after that. Default: 30 s, at most 1 hour.
    pub drain_timeout: Duration,
    /// The least severe events that are logged. Default: [`LogLevel::Info`].
    pub log: LogLevel,
    /// How the log is written. Default: [`LogFormat::Text`].
    pub log_format: LogFormat,
    /// Whether requests that went well are logged, too, at the level info. Default: false, at the level debug.
    pub log_requests: bool,
    /// Who can read `/metrics`, and where. Default: nobody.
    pub metrics: Metrics,
    /// The certificate to serve HTTPS with. Default: none, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The web origins whose pages may use the endpoint. Default: none.
    pub allowed_origins: AllowedOrigins,
    /// How answers are compressed. Default: zstd, br and gzip, from 4 KiB.
    pub compression: Compression,
    /// How much one client may ask for.
    pub limits: Limits,
    /// How long a session over WebSocket may do nothing before it ends. Default: 10 minutes, 1 s to 1 day.
    pub websocket_idle_timeout: Duration,
    /// The databases by the name that stands in the path of a request; at least one.
    pub databases: BTreeMap<String, DatabaseConfig>,
}

/// The least severe events that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Bugs, and what keeps the endpoint from working.
    Error,
    /// Also what a person should look at, such as an unreachable database.
    Warn,
    /// Also start, stop, and each request that failed; with `log_requests` all of them.
    Info,
    /// Also each request, and each connection to PostgreSQL.
    Debug,
}

/// The certificate and the private key to serve HTTPS with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// A PEM file: the certificate, and after it those that lead to its root.
    pub certificate: PathBuf,
    /// A PEM file: the private key, without a passphrase.
    pub key: PathBuf,
}

/// The web origins whose pages may use the endpoint (CORS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// All of them.
    Any,
    /// These, each as a browser writes it: `https://app.example`, or `http://localhost:*` for any port of a host.
    List(Vec<String>),
}

/// How much one client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest request body, in bytes. Default: 16 MiB, at most 1 GiB.
    pub request_bytes: usize,
    /// The largest row (or other frame) that is taken from PostgreSQL, in bytes. Default: 64 MiB, at most 1 GiB.
    pub row_bytes: usize,
    /// The most bytes of rows that one answer may have, as PostgreSQL sends them. Default: any; 8 KiB to 1 TiB.
    pub response_bytes: Option<u64>,
    /// How much of an answer to `POST /sql` is held back until it is complete, so that an error can still have its
    /// status, in bytes; a larger one is streamed. Default: 10 MiB, at most 1 GiB.
    pub buffer_bytes: usize,
    /// The largest head of a request, in bytes. Default: 64 KiB, 8 KiB to 1 MiB.
    pub header_bytes: usize,
    /// The most header fields of a request. Default: 100, 10 to 1000.
    pub headers: usize,
    /// How long the head of a request may take, and a kept-alive connection may be idle. Default: 60 s.
    pub header_timeout: Duration,
    /// How long the body of a request may take. Default: 60 s.
    pub body_timeout: Duration,
    /// How long a client may take none of its answer before it is cut off. Default: 60 s.
    pub send_timeout: Duration,
}

/// A database that the endpoint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseConfig {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The most connections of each role. Default: 10, 1 to 1000.
    pub pool_size: u32,
    /// How long a request waits for a connection before it gets 503. Default: 5 s, 1 ms to 5 minutes.
    pub pool_timeout: Duration,
    /// How long connecting and logging in may take. Default: 5 s, 1 ms to 5 minutes.
    pub connect_timeout: Duration,
    /// After how long an unused connection is closed. Default: 5 minutes, 1 s to 1 day.
    pub idle_timeout: Duration,
    /// How old a connection gets, and how long a password is good without being proven again. Default: 30 minutes,
    /// 1 s to 1 day.
    pub max_lifetime: Duration,
    /// How many connections of each role stay open however long they are unused. Default: 0, at most `pool_size`.
    pub min_pool_size: u32,
    /// The most requests of each role that wait for a connection; one more gets 429. Default: 1000, 1 to 100,000.
    pub queue_size: u32,
    /// The most statements that are kept prepared on each connection; 0 keeps none. Default: 256, at most 10,000.
    pub statement_cache: u32,
    /// The most requests that share one flight of a connection when more of them wait than there are connections; 1 lets
    /// none share. Default: 8, at most 32.
    pub requests_in_flight: u32,
    /// What is expected to take PostgreSQL longer than this does not share a flight, and nobody goes along behind requests
    /// that take longer all together. Default: 5 ms, 1 ms to 1 s.
    pub short_request: Duration,
    /// Whether session state is undone behind each request. Default: true.
    pub session_reset: bool,
    /// How many logins run at once, all roles together. Default: 4, 1 to 100.
    pub concurrent_logins: u32,
    /// Whether a role may be used that PostgreSQL lets in without a password (`trust`, `peer`, …), in which case the
    /// endpoint cannot tell who is calling. Default: false.
    pub allow_trust: bool,
    /// Tokens that stand in for the passwords of some roles. Default: none are taken.
    pub jwt: Option<JwtConfig>,
}

/// What the command line says; it wins over the environment, which wins over the file.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Flags {
    /// `--config`: the TOML file. Default: the variable `ONETRIP_CONFIG`, or else no file.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--log`.
    pub log: Option<String>,
    /// `--database`: `NAME=URL` texts.
    pub databases: Vec<String>,
}

impl Config {
    /// Reads a TOML text alone, without environment and flags.
    ///
    /// # Errors
    /// All mistakes at once, each with line, key and what is allowed.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let mut settings = Settings::default();
        settings.file(text, None)?;
        Config::from_settings(settings)
    }

    /// Reads the file that flags or environment name, if any, then the environment, then the flags.
    ///
    /// `environment` is the process's (`std::env::vars()`); only names that begin with `ONETRIP_` are looked at.
    ///
    /// # Errors
    /// All mistakes at once, each with its place, key and what is allowed; or that the file cannot be read.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let environment: Vec<_> =
            environment.into_iter().filter(|(name, _)| name.starts_with("ONETRIP_")).collect();
        let named = environment.iter().find(|(name, _)| name == "ONETRIP_CONFIG");
        let (path, source) = match (&flags.config, named) {
            (Some(path), _) => (Some(path.clone()), Source::Flag("--config")),
            (None, Some((name, path))) => (Some(PathBuf::from(path)), Source::Environment(name.clone())),
            (None, None) => (None, Source::Whole),
        };
        let mut settings = Settings::default();
        if let Some(path) = path {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                ConfigError::one(source, format!("{} cannot be read: {error}", path.display()))
            })?;
            settings.file(&text, Some(&path.display().to_string()))?;
        }
        settings.environment(environment);
        if let Some(listen) = &flags.listen {
            settings.flag("listen", "--listen", listen);
        }
        if let Some(log) = &flags.log {
            settings.flag("log", "--log", log);
        }
        settings.database_urls(&flags.databases, &Source::Flag("--database"));
        Config::from_settings(settings)
    }

    fn from_settings(mut settings: Settings) -> Result<Config, ConfigError> {
        let databases = std::mem::take(&mut settings.databases);
        let global = std::mem::take(&mut settings.global);
        let mut read = Reader { settings: &global, prefix: String::new(), mistakes: &mut settings.mistakes };

        let second = Duration::from_secs(1);
        let listen = read.value("listen", SocketAddr::from(([127, 0, 0, 1], 5480)), Value::address);
        let drain_timeout = read.duration("drain_timeout", 30 * second, Duration::ZERO..=3600 * second);
        let drain_delay = read.duration("drain_delay", Duration::ZERO, Duration::ZERO..=3600 * second);
        let log = read.value("log", LogLevel::Info, log_level);
        let log_format = read.value("log_format", LogFormat::Text, operations::log_format);
        let log_requests = read.value("log_requests", false, Value::boolean);
        let metrics = operations::metrics(&mut read);
        let compression = operations::compression(&mut read);
        let tls = tls_files(&mut read);
        let allowed_origins =
            read.value("cors.allowed_origins", AllowedOrigins::List(Vec::new()), allowed_origins);
        let timeouts = Duration::from_millis(10)..=3600 * second;
        let limits = Limits {
            request_bytes: read.bytes("limits.request_bytes", 16 << 20, 1..=1 << 30),
            row_bytes: read.bytes("limits.row_bytes", 64 << 20, 8192..=1 << 30),
            response_bytes: read
                .value("limits.response_bytes", None, |value| value.bytes(8192..=1 << 40).map(Some))
                .and_then(|bytes| u64::try_from(bytes).ok()),
            buffer_bytes: read.bytes("limits.buffer_bytes", 10 << 20, 0..=1 << 30),
            header_bytes: read.bytes("limits.header_bytes", 64 << 10, 8192..=1 << 20),
            headers: usize::try_from(read.number("limits.headers", 100, 10..=1000)).unwrap_or(100),
            header_timeout: read.duration("limits.header_timeout", 60 * second, timeouts.clone()),
            body_timeout: read.duration("limits.body_timeout", 60 * second, timeouts.clone()),
            send_timeout: read.duration("limits.send_timeout", 60 * second, timeouts),
        };
        let websocket_idle_timeout =
            read.duration("websocket.idle_timeout", 600 * second, second..=86_400 * second);
        let mut read_databases = BTreeMap::new();
        for (name, options) in &databases {
            let prefix = format!("databases.{name}.");
            let mut read = Reader { settings: options, prefix, mistakes: &mut *read.mistakes };
            if name.is_empty() {
                read.mistake(Source::Whole, "", "the name of a database is empty");
            }
            if let Some(database) = database(&mut read) {
                read_databases.insert(name.clone(), database);
            }
        }
        if databases.is_empty() && settings.mistakes.is_empty() {
            return Err(ConfigError::one(Source::Whole, NO_DATABASE));
        }
        if !settings.mistakes.is_empty() {
            return Err(ConfigError { mistakes: settings.mistakes });
        }
        Ok(Config {
            listen,
            drain_delay,
            drain_timeout,
            log,
            log_format,
            log_requests,
            metrics,
            tls,
            allowed_origins,
            compression,
            limits,
            websocket_idle_timeout,
            databases: read_databases,
        })
    }
}

const NO_DATABASE: &str = "no database is configured. Put one into a file and name it with --config:\n\
    \n    [databases.app]\n    url = \"postgresql://127.0.0.1:5432/app\"\n    pool_size = 10\n\n\
    or say it on the command line: onetrip serve --database app=postgresql://127.0.0.1:5432/app";

/// Reads settings into values and gathers the mistakes.
struct Reader<'a> {
    settings: &'a BTreeMap<&'static str, Setting>,
    prefix: String,
    mistakes: &'a mut Vec<error::Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, source: Source, key: &str, text: &str) {
        let key = format!("{}{key}", self.prefix);
        self.mistakes.push(error::Mistake { source, key, text: text.to_owned() });
    }

    fn value<T>(&mut self, key: &str, default: T, read: impl FnOnce(&Value) -> Result<T, String>) -> T {
        let Some(setting) = self.settings.get(key) else { return default };
        match read(&setting.value) {
            Ok(value) => value,
            Err(text) => {
                self.mistake(setting.source.clone(), key, &text);
                default
            }
        }
    }

    fn duration(&mut self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        self.value(key, default, |value| value.duration(range))
    }

    fn number(&mut self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.value(key, default, |value| value.number(range))
    }

    fn bytes(&mut self, key: &str, default: usize, range: RangeInclusive<u64>) -> usize {
        self.value(key, default, |value| value.bytes(range))
    }
}

fn database(read: &mut Reader<'_>) -> Option<DatabaseConfig> {
    let Some(setting) = read.settings.get("url") else {
        let source = read.settings.values().next().map_or(Source::Whole, |setting| setting.source.clone());
        read.mistake(source, "url", "this key is missing; url = \"postgresql://host:port/dbname\"");
        return None;
    };
    let url = match setting.value.text().and_then(|text| DatabaseUrl::parse(&text)) {
        Ok(url) => Some(url),
        Err(text) => {
            read.mistake(setting.source.clone(), "url", &text);
            None
        }
    };
    if let Some(path) = url.as_ref().and_then(|url| url.root_certificates.clone()) {
        readable(read, "url", setting.source.clone(), &path);
    }
    let second = Duration::from_secs(1);
    let waits = Duration::from_millis(1)..=300 * second;
    let ages = second..=86_400 * second;
    // Everything is read even without a URL, so that all mistakes are told at once.
    let pool_size = read.number("pool_size", 10, 1..=1000);
    let pool_timeout = read.duration("pool_timeout", 5 * second, waits.clone());
    let connect_timeout = read.duration("connect_timeout", 5 * second, waits);
    let idle_timeout = read.duration("idle_timeout", 300 * second, ages.clone());
    let max_lifetime = read.duration("max_lifetime", 1800 * second, ages);
    let min_pool_size = read.number("min_pool_size", 0, 0..=pool_size);
    let queue_size = read.number("queue_size", 1000, 1..=100_000);
    let statement_cache = read.number("statement_cache", 256, 0..=10_000);
    let requests_in_flight = read.number("requests_in_flight", 8, 1..=32);
    let millisecond = Duration::from_millis(1);
    let short_request = read.duration("short_request", 5 * millisecond, millisecond..=second);
    let session_reset = read.value("session_reset", true, Value::boolean);
    let concurrent_logins = read.number("concurrent_logins", 4, 1..=100);
    let allow_trust = read.value("allow_trust", false, Value::boolean);
    let jwt = jwt::jwt(read);
    Some(DatabaseConfig {
        url: url?,
        pool_size,
        pool_timeout,
        connect_timeout,
        idle_timeout,
        max_lifetime,
        min_pool_size,
        queue_size,
        statement_cache,
        requests_in_flight,
        short_request,
        session_reset,
        concurrent_logins,
        allow_trust,
        jwt,
    })
}

fn tls_files(read: &mut Reader<'_>) -> Option<TlsFiles> {
    let mut file = |key: &str| {
        let path = PathBuf::from(read.value(key, None, |value| value.text().map(Some))?);
        let source = read.settings.get(key).map_or(Source::Whole, |setting| setting.source.clone());
        readable(read, key, source, &path);
        Some(path)
    };
    match (file("tls.certificate"), file("tls.key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let (given, missing) = if certificate.is_some() {
                ("tls.certificate", "tls.key")
            } else {
                ("tls.key", "tls.certificate")
            };
            let source = read.settings.get(given).map_or(Source::Whole, |setting| setting.source.clone());
            read.mistake(source, missing, &format!("this key is missing: {given} needs it"));
            None
        }
    }
}

fn readable(read: &mut Reader<'_>, key: &str, source: Source, path: &Path) {
    if let Err(error) = std::fs::File::open(path) {
        read.mistake(source, key, &format!("{} cannot be read: {error}", path.display()));
    }
}

fn log_level(value: &Value) -> Result<LogLevel, String> {
    value.text()?.parse()
}

impl FromStr for LogLevel {
    type Err = String;

    /// Reads `off`, `error`, `warn`, `info` or `debug`.
    fn from_str(text: &str) -> Result<LogLevel, String> {
        Ok(match text {
            "off" => LogLevel::Off,
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            other => {
                let known = ["off", "error", "warn", "info", "debug"];
                return Err(format!("{other:?} is no log level; {}", suggestion(other, &known)));
            }
        })
    }
}

fn allowed_origins(value: &Value) -> Result<AllowedOrigins, String> {
    let list = value.list()?;
    if list.iter().any(|origin| origin == "*") {
        return Ok(AllowedOrigins::Any);
    }
    for origin in &list {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        // Any port of a host, for development: http://localhost:*
        let rest = rest.map(|rest| rest.strip_suffix(":*").unwrap_or(rest));
        let plain = rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(['/', '?', '#', '@', '*', ' ']) && rest.is_ascii()
        });
        if !plain || origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!(
                "{origin:?} is no origin; an origin is a scheme, a host in lower case and perhaps a port, without a \
                 path: \"https://app.example\", \"http://localhost:3000\", \"http://localhost:*\" for any port, or \"*\" for all"
            ));
        }
    }
    Ok(AllowedOrigins::List(list))
}
