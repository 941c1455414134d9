//! `onetrip check-config`: what a configuration means, what in it deserves a second look, and whether its databases
//! answer.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{AllowedOrigins, Config, DatabaseConfig, Host, MetricsListener, TlsMode};
use crate::postgres::Target;
use crate::server::{Served, StartError};

/// What there is to say about a configuration. `Display` is the text for a person.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    warnings: Vec<String>,
    unreachable: usize,
}

impl Report {
    /// Looks at a configuration, its files included; with `connect` every database's server is asked, too, whether it
    /// takes connections. That needs no credentials.
    ///
    /// # Errors
    /// When a certificate, a key or a file of roots cannot be used.
    pub async fn of(config: &Config, connect: bool) -> Result<Report, StartError> {
        Served::check(config)?;
        let mut report = Report::default();
        report.listeners(config);
        for (name, database) in &config.databases {
            report.database(name, database);
            if connect {
                report.connect(database).await?;
            }
        }
        Ok(report)
    }

    /// Whether every database that was asked has answered.
    pub fn is_good(&self) -> bool {
        self.unreachable == 0
    }

    fn listeners(&mut self, config: &Config) {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        self.lines.push(format!("listens   {scheme}://{}", config.listen));
        self.lines.push(match config.metrics.listener {
            MetricsListener::Off => "metrics   off".to_owned(),
            MetricsListener::Own(address) => format!("metrics   http://{address}/metrics"),
            MetricsListener::Same => {
                format!("metrics   {scheme}://{}/metrics, with the token", config.listen)
            }
        });
        if config.tls.is_none() && is_public(config.listen) {
            self.warnings.push(format!(
                "listen: {} is plain HTTP; role and password of each request can be read on the way unless a proxy \
                 before the endpoint does TLS. Set tls.certificate and tls.key otherwise",
                config.listen
            ));
        }
        if let MetricsListener::Own(address) = config.metrics.listener
            && is_public(address)
            && config.metrics.token.is_none()
        {
            self.warnings.push(format!(
                "metrics.listen: everybody who reaches {address} can read names of databases and how much is going on; \
                 set metrics.token, or keep the port within your network"
            ));
        }
        if config.allowed_origins == AllowedOrigins::Any {
            self.warnings.push(
                "cors.allowed_origins: pages of every origin may use the endpoint, with a password that their visitor \
                 gives them"
                    .to_owned(),
            );
        }
    }

    fn database(&mut self, name: &str, database: &DatabaseConfig) {
        let url = &database.url;
        let (place, remote) = match &url.host {
            Host::Tcp(host) => {
                let local =
                    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
                (format!("{host}:{}", url.port), !local)
            }
            Host::Unix(directory) => (format!("{}, port {}", directory.display(), url.port), false),
        };
        self.lines.push(format!(
            "database  {name}: {} at {place}, sslmode {}, up to {} connections for each role",
            url.database,
            url.tls.name(),
            database.pool_size
        ));
        if remote && !matches!(url.tls, TlsMode::VerifyFull) {
            let what = match url.tls {
                TlsMode::Disable => "nothing is encrypted on the way",
                TlsMode::Prefer => {
                    "nothing is verified, and nothing encrypted if somebody on the way wants it so"
                }
                TlsMode::Require => "the server's certificate is not verified",
                TlsMode::VerifyCa | TlsMode::VerifyFull => "the certificate need not name the host",
            };
            let mode = url.tls.name();
            self.warnings.push(format!(
                "databases.{name}.url: with sslmode={mode} {what}; use sslmode=verify-full for another machine"
            ));
        }
        if database.allow_trust {
            self.warnings.push(format!(
                "databases.{name}.allow_trust: roles that PostgreSQL lets in without a password can be used by everybody \
                 who reaches the endpoint"
            ));
        }
    }

    async fn connect(&mut self, database: &DatabaseConfig) -> Result<(), StartError> {
        let target = Target::new(database).map_err(StartError::new)?;
        let begun = Instant::now();
        match target.probe().await {
            Ok(probed) => {
                let how = if probed.private { "privately (TLS or a local socket)" } else { "without TLS" };
                let ms = begun.elapsed().as_secs_f64() * 1e3;
                self.lines.push(format!("          takes connections, {how}, asked in {ms:.1} ms"));
            }
            Err(cause) => {
                self.unreachable += 1;
                self.lines.push(format!("          CANNOT BE REACHED: {cause}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(formatter, "{line}")?;
        }
        for warning in &self.warnings {
            writeln!(formatter, "warning   {warning}")?;
        }
        match self.unreachable {
            0 => writeln!(formatter, "good      the configuration can be used"),
            count => writeln!(formatter, "bad       {count} of the databases cannot be reached"),
        }
    }
}

fn is_public(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}
