//! `onetrip dev`: an embedded PostgreSQL and an endpoint before it, for one developer on one machine.

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use onetrip_embedded_postgres::{Durability, Installation, Kind, Options, Postgres};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::env_file;
use crate::postgres::{ScriptError, Target};
use crate::server::Server;

/// How a development endpoint is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DevOptions {
    /// Where the data are kept. Default: `.onetrip` in the current directory.
    pub data: Option<PathBuf>,
    /// A file of variables (`.dev.vars`, `.env`) that is told the URL as `ONETRIP_URL`. Default: none.
    pub write_env: Option<PathBuf>,
    /// Whether the data go when the endpoint ends. Default: false.
    pub ephemeral: bool,
    /// A JSON Web Key Set: tokens signed with its keys are taken for the role `authenticated`. Default: none.
    pub jwks: Option<PathBuf>,
    /// Where the endpoint listens, on loopback; 0 takes a free port. Default: 5480.
    pub port: u16,
    /// A script of plain SQL that is run when the database is new. Default: none.
    pub sql: Option<PathBuf>,
    /// Where PostgreSQL's programs are kept. Default: `onetrip` in the user's cache directory.
    pub tools: Option<PathBuf>,
}

impl Default for DevOptions {
    fn default() -> DevOptions {
        DevOptions {
            data: None,
            ephemeral: false,
            jwks: None,
            port: 5480,
            sql: None,
            tools: None,
            write_env: None,
        }
    }
}

/// Why there is no development endpoint. `Display` says what to do about it.
#[derive(Debug)]
pub struct DevError(String);

impl fmt::Display for DevError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for DevError {}

impl From<onetrip_embedded_postgres::Error> for DevError {
    fn from(error: onetrip_embedded_postgres::Error) -> DevError {
        match error.kind() {
            Kind::InUse => DevError(format!(
                "{error}, perhaps another onetrip dev in this directory. End it, or give this one data of its own: \
                 --data DIRECTORY, or --ephemeral"
            )),
            _ => DevError(error.to_string()),
        }
    }
}

/// A development endpoint that is ready. `Display` says how to use it.
pub struct Dev {
    server: Server,
    postgres: Postgres,
    /// Where the data are kept, if they are.
    kept: Option<PathBuf>,
    /// What became of the script of SQL.
    seed: Option<String>,
    /// The file that was told the URL.
    write_env: Option<PathBuf>,
    /// Whether tokens are taken.
    takes_tokens: bool,
}

impl Dev {
    /// Starts both. The first time PostgreSQL's programs are downloaded; `progress` is told so, one line a step.
    ///
    /// The database is `dev`, and so is its owner, an ordinary role with a random password that is kept with the data.
    ///
    /// # Errors
    /// When something cannot be installed or started, or the script fails: then the database is new the next time, too.
    pub async fn start(
        options: DevOptions,
        progress: impl FnMut(&str) + Send + 'static,
    ) -> Result<Dev, DevError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        // Before anything takes time; a race for the port is noticed below, too.
        if TcpListener::bind(address).is_err() {
            return Err(DevError(format!(
                "another program listens at {address}, perhaps another onetrip dev. Choose another port with --port, \
                 or --port 0 for any that is free"
            )));
        }
        let seed = options.sql.as_deref().map(read).transpose()?;
        let kept = if options.ephemeral { None } else { Some(data_directory(options.data.clone())?) };
        let tools = options.tools.clone().map_or_else(cache_directory, Ok)?;
        let directory = kept.clone();
        let started = tokio::task::spawn_blocking(move || start_postgres(&tools, directory, progress));
        let postgres = started.await.map_err(|error| DevError(error.to_string()))??;

        let url = format!("postgresql://127.0.0.1:{}/", postgres.port());
        let is_new = prepare(&url, &postgres).await?;
        let tokens = match &options.jwks {
            Some(path) => {
                prepare_tokens(&url, &postgres).await?;
                // Hexadecimal digits need no escaping; a path may.
                let (path, password) = (path.display().to_string(), postgres.password());
                format!(
                    "[databases.{NAME}.jwt]\njwks_file = {path:?}\nroles = [\"{TOKEN_ROLE}:{password}\"]\n\
                     claims_key = \"{password}\"\n"
                )
            }
            None => String::new(),
        };
        let seed = match (seed, options.sql) {
            (Some(sql), Some(path)) if is_new => {
                run_seed(&url, &postgres, &sql, &path).await?;
                Some(format!("{} has been run", path.display()))
            }
            (_, Some(path)) => {
                Some(format!("{} has not been run: the database was there already", path.display()))
            }
            _ => None,
        };
        let config = Config::from_toml(&format!(
            "listen = \"{address}\"\ndrain_timeout = \"2s\"\n\
             cors.allowed_origins = [\"http://localhost:*\", \"https://localhost:*\", \"http://127.0.0.1:*\"]\n\
             [databases.{NAME}]\nurl = \"{url}{NAME}?sslmode=disable\"\n{tokens}"
        ))
        .map_err(|error| DevError(error.to_string()))?;
        let server = Server::bind(config).await.map_err(|error| DevError(error.to_string()))?;
        let dev = Dev {
            server,
            postgres,
            kept,
            seed,
            write_env: options.write_env,
            takes_tokens: !tokens.is_empty(),
        };
        if let Some(path) = &dev.write_env {
            env_file::write(path, VARIABLE, &dev.url()).map_err(DevError)?;
        }
        Ok(dev)
    }

    /// The URL for a driver, credentials included.
    fn url(&self) -> String {
        format!("http://{NAME}:{}@{}/{NAME}", self.postgres.password(), self.server.local_addr())
    }

    /// Answers requests until `stop` is ready, then ends both.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        self.server.run(stop).await;
        // Waits until PostgreSQL has stopped. It does not fail, and if it did, the guardian would still stop it.
        let _ = tokio::task::spawn_blocking(move || drop(self.postgres)).await;
    }
}

impl fmt::Display for Dev {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port, password) =
            (self.server.local_addr(), self.postgres.port(), self.postgres.password());
        writeln!(formatter, "onetrip dev is ready; Ctrl-C ends it.\n")?;
        writeln!(formatter, "  driver  {}", self.url())?;
        match &self.write_env {
            Some(path) => writeln!(formatter, "  env     {VARIABLE} in {} is that URL", path.display())?,
            None => writeln!(
                formatter,
                "  env     keep it in {VARIABLE}: --write-env .dev.vars (wrangler) or .env writes it there for you"
            )?,
        }
        if self.takes_tokens {
            writeln!(
                formatter,
                "  tokens  http://{TOKEN_ROLE}@{address}/{NAME} with Authorization: Bearer …; \
                 claims.verified() has their claims"
            )?;
        }
        writeln!(formatter, "  psql    postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}")?;
        writeln!(
            formatter,
            "  curl    curl -u {NAME}:{password} http://{address}/v1/{NAME}/pipeline \
             -H 'content-type: application/json' -d '{{\"sql\": \"select $1::int + 1 as answer\", \"params\": [41]}}'"
        )?;
        match &self.kept {
            Some(directory) => {
                writeln!(formatter, "  data    {} (kept; remove it to begin anew)", directory.display())?
            }
            None => writeln!(formatter, "  data    gone when this ends")?,
        }
        if let Some(seed) = &self.seed {
            writeln!(formatter, "  sql     {seed}")?;
        }
        Ok(())
    }
}

fn start_postgres(
    tools: &Path,
    kept: Option<PathBuf>,
    mut progress: impl FnMut(&str),
) -> Result<Postgres, DevError> {
    let installation = Installation::ensure(tools, &mut progress)?;
    let options = match kept {
        Some(directory) => {
            if !directory.join("data").exists() {
                progress("making a database");
            }
            Options::default().data_directory(directory)
        }
        None => Options::default().durability(Durability::None),
    };
    Ok(Postgres::start(&installation, options)?)
}

/// Makes the role and the database where they are missing; whether the database is new.
async fn prepare(url: &str, postgres: &Postgres) -> Result<bool, DevError> {
    let superuser = credentials(postgres.superuser(), postgres.password())?;
    let server = target(&format!("{url}postgres"))?;
    let made = async |sql: &str| match server.script(&superuser, sql).await {
        Ok(()) => Ok(true),
        // The role or the database is there already.
        Err(ScriptError::Refused(error)) if matches!(error.code(), "42710" | "42P04") => Ok(false),
        Err(error) => Err(DevError(format!("the database cannot be made: {error}"))),
    };
    // Of hexadecimal digits only, so that it needs no escaping.
    made(&format!("create role {NAME} login createdb password '{}'", postgres.password())).await?;
    made(&format!("create database {NAME} owner {NAME}")).await
}

/// Makes the role that tokens stand for and what tells its policies who is asking (docs/neon.md), where they are missing.
async fn prepare_tokens(url: &str, postgres: &Postgres) -> Result<(), DevError> {
    let superuser = credentials(postgres.superuser(), postgres.password())?;
    let server = target(&format!("{url}{NAME}"))?;
    let role = format!("create role {TOKEN_ROLE} login password '{}'", postgres.password());
    let claims = include_str!("../claims.sql").replace("'KEY'", &format!("'{}'", postgres.password()));
    for sql in [&role, &claims] {
        match server.script(&superuser, sql).await {
            Ok(()) => {}
            // The role or the schema is there already.
            Err(ScriptError::Refused(error)) if matches!(error.code(), "42710" | "42P06") => {}
            Err(error) => {
                return Err(DevError(format!("the database cannot be made ready for tokens: {error}")));
            }
        }
    }
    Ok(())
}

async fn run_seed(url: &str, postgres: &Postgres, sql: &str, path: &Path) -> Result<(), DevError> {
    let owner = credentials(NAME, postgres.password())?;
    let Err(error) = target(&format!("{url}{NAME}"))?.script(&owner, sql).await else { return Ok(()) };
    let line = match &error {
        ScriptError::Refused(refused) => refused
            .position()
            .map(|position| format!(", line {}", line_of(sql, position)))
            .unwrap_or_default(),
        _ => String::new(),
    };
    let superuser = credentials(postgres.superuser(), postgres.password())?;
    let dropped = format!("drop database {NAME} with (force)");
    let undone = target(&format!("{url}postgres"))?.script(&superuser, &dropped).await;
    let undone = if undone.is_ok() {
        "; the database has been dropped, so that the next start runs it again"
    } else {
        ""
    };
    Err(DevError(format!("{}{line}: {error}{undone}", path.display())))
}

/// The line, from 1, of a character position, from 1.
fn line_of(sql: &str, position: u32) -> usize {
    let before = usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX);
    1 + sql.chars().take(before).filter(|character| *character == '\n').count()
}

fn credentials(role: &str, password: &str) -> Result<Credentials, DevError> {
    Credentials::new(role, password).map_err(|error| DevError(error.to_owned()))
}

fn target(url: &str) -> Result<Target, DevError> {
    let config = Config::from_toml(&format!("[databases.{NAME}]\nurl = \"{url}?sslmode=disable\""));
    let config = config.map_err(|error| DevError(error.to_string()))?;
    let database = config.databases.get(NAME).expect("the database that was just configured");
    let mut target = Target::new(database).map_err(DevError)?;
    target.connect_timeout = Duration::from_secs(30);
    Ok(target)
}

fn read(path: &Path) -> Result<String, DevError> {
    let cannot = |error| DevError(format!("--sql: {} cannot be read: {error}", path.display()));
    String::from_utf8(std::fs::read(path).map_err(cannot)?)
        .map_err(|_| DevError(format!("--sql: {} is not UTF-8", path.display())))
}

/// `.onetrip` here, hidden from git; or, for root where PostgreSQL's own user cannot reach that, a directory of this
/// directory's name below `/var/lib/onetrip`.
fn data_directory(wanted: Option<PathBuf>) -> Result<PathBuf, DevError> {
    if let Some(directory) = wanted {
        return Ok(directory);
    }
    let here = std::env::current_dir().map_err(|error| {
        DevError(format!("the current directory cannot be found ({error}); choose one with --data"))
    })?;
    let usual = here.join(".onetrip");
    if Postgres::reaches(&usual)? {
        if !usual.exists() {
            std::fs::create_dir(&usual)
                .and_then(|()| std::fs::write(usual.join(".gitignore"), "*\n"))
                .map_err(|error| DevError(format!("{} cannot be made: {error}", usual.display())))?;
        }
        return Ok(usual.join("dev"));
    }
    let name: String = here
        .to_string_lossy()
        .chars()
        .map(|character| if character.is_alphanumeric() { character } else { '-' })
        .collect();
    Ok(Path::new("/var/lib/onetrip").join(name.trim_matches('-')))
}

fn cache_directory() -> Result<PathBuf, DevError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        DevError(
            "neither XDG_CACHE_HOME nor HOME is set; say with --tools where to keep PostgreSQL's programs"
                .to_owned(),
        )
    })?;
    Ok(cache.join("onetrip"))
}

/// The name of the database, in the path and on the server, and of its owner.
const NAME: &str = "dev";
/// The role that tokens stand for, as Neon and PostgREST call it.
const TOKEN_ROLE: &str = "authenticated";
/// What the examples call the URL.
const VARIABLE: &str = "ONETRIP_URL";
