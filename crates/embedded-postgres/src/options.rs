//! How a server is set up: everything a caller may choose.

use std::{fmt, path::PathBuf};

use crate::error::{Error, Kind};

/// How a server is set up. Start from [`Options::default`] or [`Options::for_tests`] and change what you need.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The superuser's password. Default: 32 random hexadecimal digits. Kept data keep the password that they were
    /// created with.
    pub password: Option<String>,
    /// A directory whose data are kept when the server stops, and found again by the next start. It is made when it is
    /// not there; in it are the server's log and the superuser's password, too. Default: none, the data go with the server.
    pub data_directory: Option<PathBuf>,
    /// The port to take if it is free. Default: the one of the last time, of kept data, or else any that is free.
    pub port: Option<u16>,
    /// Whether a commit reaches the disk. Default: [`Durability::Full`].
    pub durability: Durability,
    /// How many connections the server takes at once. Default: 100.
    pub max_connections: u16,
    /// The certificate to offer TLS with. Default: none, TLS is off.
    pub tls: Option<Tls>,
    /// The lines of `pg_hba.conf`. Default: everybody from loopback by `scram-sha-256`, with or without TLS.
    pub host_based_authentication: Vec<String>,
    /// Further settings for `postgresql.conf`, as name and plain value; the last one of a name wins.
    pub settings: Vec<(String, String)>,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As PostgreSQL is installed: a commit survives a power failure.
    Full,
    /// `fsync`, `synchronous_commit` and `full_page_writes` are off: for data that is thrown away anyway.
    None,
}

/// A server certificate and its private key, both as PEM text.
#[derive(Clone)]
pub struct Tls {
    /// The certificate, with intermediate certificates after it if there are any.
    pub certificate_pem: String,
    /// Its private key, without a passphrase.
    pub key_pem: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            password: None,
            data_directory: None,
            port: None,
            durability: Durability::Full,
            max_connections: 100,
            tls: None,
            host_based_authentication: vec!["host all all 127.0.0.1/32 scram-sha-256".into()],
            settings: Vec::new(),
        }
    }
}

impl Options {
    /// The default without durability: fast, for data that dies with the test.
    pub fn for_tests() -> Self {
        Self::default().durability(Durability::None)
    }

    /// Sets the superuser's password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Keeps the data in this directory.
    pub fn data_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_directory = Some(directory.into());
        self
    }

    /// Sets the port to take if it is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets whether a commit waits for the disk.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how many connections the server takes at once.
    pub fn max_connections(mut self, max_connections: u16) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Offers TLS with this certificate.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Replaces the lines of `pg_hba.conf`.
    pub fn host_based_authentication<L: Into<String>>(mut self, lines: impl IntoIterator<Item = L>) -> Self {
        self.host_based_authentication = lines.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a setting to `postgresql.conf`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The text of these options for a file that `postgresql.conf` includes.
    ///
    /// # Errors
    /// [`Kind::InvalidOption`] when a name or a value cannot stand in that file.
    pub(crate) fn configuration(&self) -> Result<String, Error> {
        let mut settings: Vec<(&str, String)> = vec![
            ("listen_addresses", "127.0.0.1".into()),
            ("unix_socket_directories", String::new()),
            // Leaves nothing behind in /dev/shm when the server is killed.
            ("dynamic_shared_memory_type", "mmap".into()),
            ("max_connections", self.max_connections.to_string()),
            ("timezone", "UTC".into()),
            ("log_timezone", "UTC".into()),
        ];
        if self.durability == Durability::None {
            settings
                .extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name, "off".into())));
        }
        if self.tls.is_some() {
            settings.push(("ssl", "on".into()));
        }
        settings.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));

        let mut text = String::from("# written by the process that starts this server, at each start\n");
        for (name, value) in settings {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
                return Err(Error::new(
                    Kind::InvalidOption,
                    format!("{name:?} is not the name of a PostgreSQL setting"),
                ));
            }
            if value.contains(['\n', '\r', '\0']) {
                return Err(Error::new(
                    Kind::InvalidOption,
                    format!("the value of the setting {name} must be a single line"),
                ));
            }
            text.push_str(&format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")));
        }
        Ok(text)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("data_directory", &self.data_directory)
            .field("port", &self.port)
            .field("durability", &self.durability)
            .field("max_connections", &self.max_connections)
            .field("tls", &self.tls)
            .field("host_based_authentication", &self.host_based_authentication)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_quotes_and_backslashes_is_escaped() {
        let text = Options::default().setting("application_name", r"it's a \ here").configuration().unwrap();
        assert!(text.contains(r"application_name = 'it''s a \\ here'"), "{text}");
    }

    #[test]
    fn a_setting_that_would_start_a_second_line_is_refused() {
        for (name, value) in [("port\nssl", "1"), ("port", "1\nssl = on"), ("", "1")] {
            let error = Options::default().setting(name, value).configuration().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidOption, "{name:?} {value:?}");
        }
    }

    #[test]
    fn debug_shows_no_password_and_no_key() {
        let options = Options::default()
            .password("sesame-1")
            .tls(Tls { certificate_pem: "cert-2".into(), key_pem: "key-3".into() });
        let shown = format!("{options:?}");
        assert!(!shown.contains("sesame-1") && !shown.contains("key-3"), "{shown}");
    }
}
