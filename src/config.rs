//! What a client must know: where the endpoint is, who asks, and how patiently.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::metrics::{Observer, Watch};
use crate::policy::Policy;
use onetrip_wire::ascii;

use crate::Error;

/// Where the endpoint is, who asks, and how patiently. Made from a URL, then refined by setters.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let config: onetrip::Config = "https://app:secret@db.example.com/shop".parse()?;
/// let config = config.timeout(Duration::from_secs(5)).response_limit_bytes(1 << 20);
/// assert_eq!((config.origin(), config.database(), config.role()), ("https://db.example.com", "shop", "app"));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), onetrip::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    // Scheme and authority, without a slash at the end: `https://db.example.com:8443`.
    origin: String,
    database: String,
    credentials: Credentials,
    pub(crate) timeout: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) response_limit_bytes: usize,
    pub(crate) observer: Option<Watch>,
}

impl Config {
    /// A configuration for `database` at `origin`, for example `https://db.example.com`.
    ///
    /// The database is a name in the endpoint's configuration. Unlike in a URL, nothing is percent-encoded here.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage) when the origin is not `https://host[:port]` or `http://host[:port]`, or when
    /// the database is empty.
    ///
    /// # Examples
    /// ```
    /// use onetrip::{Config, Credentials};
    /// let credentials = Credentials::password("app", "p@ss/word")?;
    /// let config = Config::new("https://db.example.com", "shop", credentials)?;
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    pub fn new(origin: &str, database: &str, credentials: Credentials) -> Result<Config, Error> {
        let (scheme, rest) = scheme(origin)?;
        let authority = rest.strip_suffix("/").unwrap_or(rest);
        Config::of_parts(scheme, authority, database.to_owned(), credentials)
    }

    fn of_parts(
        scheme: &str,
        authority: &str,
        database: String,
        credentials: Credentials,
    ) -> Result<Config, Error> {
        host_and_port(authority)?;
        // The dots would be steps in the URL's path.
        if matches!(database.as_str(), "" | "." | "..") {
            return Err(url_with("a database whose name is empty or only dots"));
        }
        Ok(Config {
            origin: format!("{scheme}://{authority}"),
            database,
            credentials,
            timeout: Some(Duration::from_secs(30)),
            policy: Policy::default(),
            response_limit_bytes: 64 << 20,
            observer: None,
        })
    }

    /// Sets how long a call may take, all attempts and waits together. Default: 30 seconds.
    ///
    /// When it is over, the client gives up and the request is aborted; whether PostgreSQL executed it is then unknown.
    pub fn timeout(mut self, timeout: Duration) -> Config {
        self.timeout = Some(timeout);
        self
    }

    /// Lets a call take as long as it takes.
    ///
    /// # Examples
    /// ```
    /// let config: onetrip::Config = "https://app:secret@db.example.com/shop".parse()?;
    /// let patient = onetrip::Client::new(config.no_timeout());
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    pub fn no_timeout(mut self) -> Config {
        self.timeout = None;
        self
    }

    /// Sets how often and how patiently a request is tried: what never left, what the endpoint refused for a reason that
    /// passes, and queries and changes that PostgreSQL rolled back because of other transactions (`40001`, `40P01`). What
    /// may have been executed is never sent again, whatever the policy, unless
    /// [`Client::repeatable`](crate::Client::repeatable) allows it.
    pub fn policy(mut self, policy: Policy) -> Config {
        self.policy = policy;
        self
    }

    /// Sets the largest answer, in bytes, that the client takes in. Default: 64 MiB, for a Worker has 128 MB of memory.
    pub fn response_limit_bytes(mut self, limit_bytes: usize) -> Config {
        self.response_limit_bytes = limit_bytes;
        self
    }

    /// Sets who hears of each call, for spans and logs. Default: nobody.
    pub fn observer(mut self, observer: impl Observer) -> Config {
        self.observer = Some(Watch::new(observer));
        self
    }

    /// The scheme, host and port of the endpoint.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The name of the database in the endpoint's configuration.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.credentials.role
    }

    /// The host, and the port: the one that is named, or that of the scheme.
    pub(crate) fn host(&self) -> (&str, Option<u16>) {
        let authority = ascii::split_last(&self.origin, b'/').map_or("", |(_, authority)| authority);
        let (host, port) = divided(authority);
        let of_scheme = if self.origin.starts_with("https:") { 443 } else { 80 };
        (host, port.map_or(Some(of_scheme), port_number))
    }

    /// The URL that pipelines are posted to. It holds no credentials.
    pub(crate) fn pipeline_url(&self) -> String {
        let mut url = format!("{}/v1/", self.origin);
        percent_encode(&mut url, &self.database);
        url.push_str("/pipeline");
        url
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        let Credentials { role, password } = &self.credentials;
        let mut value = String::from("Basic ");
        base64(&mut value, format!("{role}:{password}").as_bytes());
        value
    }
}

impl FromStr for Config {
    type Err = Error;

    /// Reads `https://role:password@host[:port]/database`. Role, password and database are percent-decoded.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage), with a text that says which part is missing or wrong, never with a part of
    /// the credentials.
    fn from_str(url: &str) -> Result<Config, Error> {
        let (scheme, rest) = scheme(url.trim_ascii())?;
        if rest.bytes().any(|byte| matches!(byte, b'#' | b'?')) {
            return Err(url_with(
                "a query or a fragment ('?' or '#'): options are set on onetrip::Config, and in a password these characters \
                 are written %3F and %23",
            ));
        }
        let (authority, path) = ascii::split(rest, b'/').unwrap_or((rest, ""));
        let Some((credentials, host)) = ascii::split_last(authority, b'@') else {
            return Err(url_with("no role (a / in a password is written %2F)"));
        };
        let Some((role, password)) = ascii::split(credentials, b':') else {
            return Err(url_with("no password"));
        };
        let database = path.strip_suffix("/").unwrap_or(path);
        if database.is_empty() {
            return Err(url_with("no database"));
        }
        if database.bytes().any(|byte| byte == b'/') {
            return Err(url_with(
                "a path of more than one part: it is only the name of the database, /v1/…/pipeline is added to it",
            ));
        }
        let decode = |text, what| {
            percent_decode(text).ok_or_else(|| {
                Error::usage(format!(
                    "the {what} in the URL is not percent-encoded UTF-8: write % itself as %25"
                ))
            })
        };
        let credentials = Credentials::password(decode(role, "role")?, decode(password, "password")?)?;
        Config::of_parts(scheme, host, decode(database, "database")?, credentials)
    }
}

impl fmt::Debug for Config {
    /// Shows no password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("origin", &self.origin)
            .field("database", &self.database)
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("policy", &self.policy)
            .field("response_limit_bytes", &self.response_limit_bytes)
            .finish()
    }
}

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    role: String,
    password: String,
}

impl Credentials {
    /// A PostgreSQL role and its password, as they are: nothing is percent-encoded here.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage) when the role is empty or holds a colon, which HTTP cannot carry.
    pub fn password(role: impl Into<String>, password: impl Into<String>) -> Result<Credentials, Error> {
        let (role, password) = (role.into(), password.into());
        if role.is_empty() {
            return Err(Error::usage("the role is empty"));
        }
        if role.bytes().any(|byte| byte == b':') {
            return Err(Error::usage(
                "the role holds a colon, which HTTP's Basic authentication cannot carry",
            ));
        }
        Ok(Credentials { role, password })
    }
}

impl fmt::Debug for Credentials {
    /// Shows no password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({}, …)", self.role)
    }
}

/// What the URL has instead of what it should have.
fn url_with(wrong: &str) -> Error {
    Error::usage(format!("the URL has {wrong}; its form is https://role:password@host/database"))
}

fn scheme(url: &str) -> Result<(&str, &str), Error> {
    let parts = ascii::split(url, b':').and_then(|(scheme, rest)| Some((scheme, rest.strip_prefix("//")?)));
    match parts {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok(("https", rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok(("http", rest)),
        Some((scheme, _))
            if scheme.eq_ignore_ascii_case("postgres") || scheme.eq_ignore_ascii_case("postgresql") =>
        {
            Err(url_with("PostgreSQL's own scheme, but onetrip talks to an onetrip endpoint"))
        }
        _ => Err(url_with("another scheme than https:// or http://")),
    }
}

fn host_and_port(authority: &str) -> Result<(), Error> {
    let (host, port) = divided(authority);
    let host_is_name = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let host_is_address = host
        .strip_prefix("[")
        .and_then(|rest| rest.strip_suffix("]"))
        // Roughly, for the sake of wasm's size; what is no address after all does not resolve.
        .is_some_and(|inner| {
            inner.bytes().any(|byte| byte == b':')
                && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        });
    if !host_is_name && !host_is_address {
        return Err(url_with("no host, or one that is no host name (an @ in a password is written %40)"));
    }
    if port.is_some_and(|port| port_number(port).is_none()) {
        return Err(url_with("a port that is not a number from 0 to 65535"));
    }
    Ok(())
}

/// The host and the port of an authority.
fn divided(authority: &str) -> (&str, Option<&str>) {
    match ascii::split_last(authority, b':') {
        // A colon within [] belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with("]") => (host, Some(port)),
        _ => (authority, None),
    }
}

fn port_number(text: &str) -> Option<u16> {
    u16::try_from(ascii::number(text)?).ok()
}

/// Appends base64 with padding (RFC 4648). The usual crate is made for speed and takes 3 KB of wasm.
fn base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |at| u32::from(bytes.get(at).copied().unwrap_or(0));
    for place in 0..bytes.len().div_ceil(3) * 4 {
        // Six bits, which begin in this byte.
        let at = place * 3 / 4;
        let digit = (byte(at) << 8 | byte(at + 1)) >> (10 - place * 6 % 8) & 63;
        let digit = DIGITS.get(digit as usize).filter(|_| at < bytes.len());
        out.push(digit.map_or('=', |&digit| char::from(digit)));
    }
}

fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(if digit < 10 { b'0' + digit } else { b'A' - 10 + digit }));
            }
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(ascii::hex(&mut bytes, 2)?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_url_gives_its_parts_decoded() {
        for (url, origin, database, pipeline, basic) in [
            (
                "https://app:secret@db.example.com/shop",
                "https://db.example.com",
                "shop",
                "/v1/shop/pipeline",
                "app:secret",
            ),
            ("HTTP://a:b@127.0.0.1:8080/x/", "http://127.0.0.1:8080", "x", "/v1/x/pipeline", "a:b"),
            ("http://a:@[::1]:80/x", "http://[::1]:80", "x", "/v1/x/pipeline", "a:"),
            (
                "https://a%40b:p%2F%3a%25@h/w%C3%BC%20r",
                "https://h",
                "wü r",
                "/v1/w%C3%BC%20r/pipeline",
                "a@b:p/:%",
            ),
            ("https://a:p@ss@h/d", "https://h", "d", "/v1/d/pipeline", "a:p@ss"),
        ] {
            use base64::Engine;
            let config: Config = url.parse().unwrap();
            assert_eq!(config.origin(), origin, "{url}");
            assert_eq!(config.database(), database, "{url}");
            assert_eq!(config.pipeline_url(), format!("{origin}{pipeline}"), "{url}");
            let port = origin.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            let of_scheme = if origin.starts_with("https") { 443 } else { 80 };
            assert_eq!(config.host().1, Some(port.unwrap_or(of_scheme)), "{url}");
            let expected = base64::prelude::BASE64_STANDARD.encode(basic);
            assert_eq!(config.authorization(), format!("Basic {expected}"), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_work_says_which_part_and_shows_no_credentials() {
        for (url, part) in [
            ("postgres://app:hunter2@h/d", "PostgreSQL's own"),
            ("postgresql://app:hunter2@h/d", "PostgreSQL's own"),
            ("app:hunter2@h/d", "https://"),
            ("ftp://app:hunter2@h/d", "https://"),
            ("", "https://"),
            ("https://h/d", "no role"),
            ("https://app@h/d", "no password"),
            ("https://:hunter2@h/d", "role is empty"),
            ("https://app:hunter2@h", "no database"),
            ("https://app:hunter2@h/", "no database"),
            ("https://app:hunter2@h/a/b", "more than one part"),
            ("https://app:hunter2@h/%2e.", "only dots"),
            ("https://app:hunter2@/d", "host"),
            ("https://app:hunter2@h:99999/d", "port"),
            ("https://app:hunter2@h:/d", "port"),
            ("https://app:hunter2@h:+1/d", "port"),
            ("https://app:hunter2@h h/d", "host"),
            ("https://app:hunter2@[::g]/d", "host"),
            ("https://app:hunter2%@h/d", "password in the URL"),
            ("https://app:hunter2%ff@h/d", "password in the URL"),
            ("https://app:hunter2@h/d?sslmode=require", "query"),
            ("https://app%3A:hunter2@h/d", "colon"),
        ] {
            let error = url.parse::<Config>().unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{url}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(part), "{url}: {text}");
            assert!(!text.contains("hunter2") && !text.contains("app"), "{url}: {text}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let config: Config = "https://app:hunter2@h/d".parse().unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
