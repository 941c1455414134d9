//! The onetrip endpoint: takes pipelines over HTTP, runs each in one flight on a pooled PostgreSQL connection, and
//! streams the answer back. `PROTOCOL.md` says what goes over the wire.
//!
//! | module | one concept |
//! | --- | --- |
//! | `config` | what the endpoint is told |
//! | `server` | listening, serving, draining |
//! | `http` | from a request to an answer, and every failure as problem details |
//! | `codec` | request bodies into pipelines, one codec for each content type |
//! | `websocket` | PostgreSQL's own protocol, tunnelled |
//! | `authorization` | tokens in place of passwords, and how often a stranger may guess |
//! | `credentials`, `pool` | who is asking, and which connection they get |
//! | `postgres` | logging in, and one flight for one request |
//! | `dev`, `env_file` | an endpoint with a PostgreSQL of its own, for development |
//! | `metrics` | what is counted, and its text for Prometheus |
//!
//! A request goes down this list and its answer comes back up. Nothing below `http` knows HTTP, and nothing above
//! `postgres` knows a socket of PostgreSQL's.

mod authorization;
mod check;
mod codec;
mod config;
mod credentials;
mod dev;
mod env_file;
mod failure;
mod http;
mod metrics;
mod pool;
mod postgres;
mod server;
mod session_settings;
mod websocket;

pub use check::Report;
pub use config::{
    AllowedOrigins, ClaimsKey, Coding, Compression, Config, ConfigError, DatabaseConfig, DatabaseUrl, Flags,
    Host, JwtConfig, KeySource, Limits, LogFormat, LogLevel, Metrics, MetricsListener, RolePassword,
    TlsFiles, TlsMode, Token,
};
pub use dev::{Dev, DevError, DevOptions};
pub use server::{Reloader, Server, StartError};
