//! The `onetrip` program: `onetrip serve` runs an endpoint.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use onetrip_gateway::{Config, Flags, LogLevel, Server};
use tracing::level_filters::LevelFilter;

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
    /// the file. gateway/onetrip.example.toml shows every key with its default.
    Serve {
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
    },
}

fn main() -> ExitCode {
    let Command::Serve { config, listen, databases, log } = Arguments::parse().command;
    let mut flags = Flags::default();
    (flags.config, flags.listen, flags.databases, flags.log) = (config, listen, databases, log);
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match Config::load(&flags, environment) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("onetrip: {error}");
            return ExitCode::from(2);
        }
    };
    log_to_stderr(config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("onetrip: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let server = match Server::bind(config).await {
            Ok(server) => server,
            Err(error) => {
                eprintln!("onetrip: {error}");
                return ExitCode::FAILURE;
            }
        };
        match stop_signal() {
            Ok(stop) => {
                server.run(stop).await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("onetrip: signals cannot be waited for: {error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn log_to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        _ => LevelFilter::OFF,
    };
    tracing_subscriber::fmt()
        .compact()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(130);
        });
    })
}

/// Ready at the first Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
