//! Where a database is: `postgresql://host:port/dbname?sslmode=…&sslrootcert=…`, without credentials.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::error::suggestion;

/// Where a PostgreSQL database is, and how safe the way there has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseUrl {
    /// The server.
    pub host: Host,
    /// The port, 1 to 65535. Default: 5432.
    pub port: u16,
    /// The name of the database on the server.
    pub database: String,
    /// Default: [`TlsMode::Prefer`], as libpq's.
    pub tls: TlsMode,
    /// The file of root certificates (PEM). `None`: those of the operating system, as libpq's `sslrootcert=system`.
    pub root_certificates: Option<PathBuf>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A host name or an IP address.
    Tcp(String),
    /// The directory of a Unix-domain socket.
    Unix(PathBuf),
}

/// libpq's `sslmode` (PostgreSQL manual, "SSL Support" of libpq). `allow` is not there: it protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS where the server offers it; the certificate is not verified.
    Prefer,
    /// TLS; the certificate is not verified, unless `sslrootcert` is given: then as `verify-ca`.
    Require,
    /// TLS; the certificate must lead to a known root.
    VerifyCa,
    /// TLS; the certificate must lead to a known root and name the host.
    VerifyFull,
}

const TLS_MODES: [(&str, TlsMode); 5] = [
    ("disable", TlsMode::Disable),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

impl TlsMode {
    /// As it stands in a URL.
    pub(crate) fn name(self) -> &'static str {
        TLS_MODES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

const FORM: &str = "the form is postgresql://host:port/dbname?sslmode=verify-full";

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A text that says what is wrong and what is allowed. It quotes nothing that may be a password.
    pub(crate) fn parse(url: &str) -> Result<DatabaseUrl, String> {
        let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"));
        let rest = rest.ok_or_else(|| format!("this is no URL of a PostgreSQL database; {FORM}"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some((user, _)) = authority.rsplit_once('@') {
            let what = if user.contains(':') { "a role and a password" } else { "a role" };
            return Err(format!(
                "the URL holds {what}, which the endpoint does not use and should not keep: each request brings its \
                 own role and password in its Authorization header. Remove what stands before the @ ({FORM})"
            ));
        }
        let database = decoded(database, "the name of the database")?;
        if database.is_empty() {
            return Err(format!("the URL names no database; {FORM}"));
        }
        if database.contains('/') || database.contains('\0') {
            return Err(format!("the name of the database holds a character that is not allowed; {FORM}"));
        }
        let (host, port) = host_and_port(authority)?;
        let mut parsed = DatabaseUrl { host, port, database, tls: TlsMode::Prefer, root_certificates: None };
        let mut mode_given = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value, key)?;
            match key {
                "sslmode" => {
                    parsed.tls = tls_mode(&value)?;
                    mode_given = true;
                }
                "sslrootcert" if value.is_empty() => return Err("sslrootcert names no file".to_owned()),
                "sslrootcert" if value == "system" => {
                    if !mode_given {
                        parsed.tls = TlsMode::VerifyFull;
                    }
                }
                "sslrootcert" => parsed.root_certificates = Some(PathBuf::from(value)),
                "host" if value.starts_with('/') && parsed.host == Host::Tcp(String::new()) => {
                    parsed.host = Host::Unix(PathBuf::from(value));
                }
                "host" => {
                    return Err("host= is only for the directory of a Unix-domain socket: \
                                      postgresql:///dbname?host=/run/postgresql"
                        .to_owned());
                }
                "user" | "password" => {
                    return Err(format!(
                        "{key}= is refused: each request brings its own role and password in its Authorization header"
                    ));
                }
                _ => {
                    let known = ["sslmode", "sslrootcert", "host"];
                    return Err(format!(
                        "the URL has the unknown parameter {key:?}; {}",
                        suggestion(key, &known)
                    ));
                }
            }
        }
        if parsed.host == Host::Tcp(String::new()) {
            return Err(format!("the URL names no host; {FORM}"));
        }
        if parsed.tls == TlsMode::Require && parsed.root_certificates.is_some() {
            parsed.tls = TlsMode::VerifyCa;
        }
        Ok(parsed)
    }
}

fn host_and_port(authority: &str) -> Result<(Host, u16), String> {
    if authority.contains(',') {
        return Err("one host is allowed, not a list".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the IPv6 address has no closing bracket")?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address needs brackets: postgresql://[::1]:5432/dbname".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None | Some("") => 5432,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            format!("the port {:?} is not allowed; a port is a number from 1 to 65535", shortened(port))
        })?,
    };
    let host = decoded(host, "the host")?;
    let host = if host.starts_with('/') { Host::Unix(PathBuf::from(host)) } else { Host::Tcp(host) };
    Ok((host, port))
}

fn tls_mode(value: &str) -> Result<TlsMode, String> {
    let known = TLS_MODES.iter().find(|(name, _)| *name == value);
    known.map(|(_, mode)| *mode).ok_or_else(|| {
        if value == "allow" {
            return "sslmode=allow protects nothing and is not supported; use prefer or, better, verify-full"
                .to_owned();
        }
        let names = TLS_MODES.map(|(name, _)| name);
        format!("sslmode={:?} is unknown; {}", shortened(value), suggestion(value, &names))
    })
}

fn decoded(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| format!("{what} is not UTF-8 after percent-decoding"))
}

fn shortened(text: &str) -> String {
    text.chars().take(30).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, host: Host, port: u16, database: &str, tls: TlsMode) -> DatabaseUrl {
        let parsed = DatabaseUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let found = (parsed.host.clone(), parsed.port, parsed.database.as_str(), parsed.tls);
        assert_eq!(found, (host, port, database, tls), "{url}");
        parsed
    }

    #[test]
    fn a_url_says_where_the_database_is() {
        let tcp = |host: &str| Host::Tcp(host.to_owned());
        check("postgresql://db.example/app", tcp("db.example"), 5432, "app", TlsMode::Prefer);
        check("postgres://127.0.0.1:6000/my%20db", tcp("127.0.0.1"), 6000, "my db", TlsMode::Prefer);
        check("postgresql://[::1]:5433/app?sslmode=disable", tcp("::1"), 5433, "app", TlsMode::Disable);
        check("postgresql://h/d?sslmode=verify-full", tcp("h"), 5432, "d", TlsMode::VerifyFull);
        check("postgresql://h/d?sslrootcert=system", tcp("h"), 5432, "d", TlsMode::VerifyFull);
        let unix = Host::Unix(PathBuf::from("/run/postgresql"));
        check("postgresql:///d?host=/run/postgresql", unix.clone(), 5432, "d", TlsMode::Prefer);
        check("postgresql://%2Frun%2Fpostgresql/d", unix, 5432, "d", TlsMode::Prefer);
        // As libpq: a root certificate given with `require` is used.
        let parsed = check(
            "postgresql://h/d?sslmode=require&sslrootcert=%2Fca.pem",
            tcp("h"),
            5432,
            "d",
            TlsMode::VerifyCa,
        );
        assert_eq!(parsed.root_certificates, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn a_wrong_url_is_explained_and_its_password_never_quoted() {
        for (url, expected) in [
            ("mysql://h/d", "no URL of a PostgreSQL database"),
            ("h/d", "the form is postgresql://host:port/dbname"),
            ("postgresql://ada:sesame@h/d", "holds a role and a password"),
            ("postgresql://ada@h/d", "holds a role,"),
            ("postgresql://h/d?password=sesame", "password= is refused"),
            ("postgresql://h", "names no database"),
            ("postgresql://h/", "names no database"),
            ("postgresql:///d", "names no host"),
            ("postgresql://h:0/d", "a number from 1 to 65535"),
            ("postgresql://h:70000/d", "a number from 1 to 65535"),
            ("postgresql://h:x/d", "a number from 1 to 65535"),
            ("postgresql://::1/d", "needs brackets"),
            ("postgresql://[::1/d", "no closing bracket"),
            ("postgresql://a,b/d", "one host"),
            ("postgresql://h/d?sslmode=verify_full", "did you mean \"verify-full\"?"),
            ("postgresql://h/d?sslmode=yes", "allowed: disable, prefer"),
            ("postgresql://h/d?sslmode=allow", "protects nothing"),
            ("postgresql://h/d?sslmod=require", "did you mean \"sslmode\"?"),
            ("postgresql://h/d?sslrootcert=", "names no file"),
            ("postgresql://h/d?host=other", "Unix-domain socket"),
            ("postgresql://h/%ff", "not UTF-8"),
        ] {
            let error = DatabaseUrl::parse(url).expect_err(url);
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("sesame"), "{url}: {error}");
        }
    }
}
