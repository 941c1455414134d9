//! A real PostgreSQL server for development and tests: installed from a registry package, started on a free
//! loopback port, gone with the process that started it, even if that process is killed; its data, too, unless they
//! are to be kept.
//!
//! ```no_run
//! use onetrip_embedded_postgres::{Installation, Options, Postgres};
//!
//! let installation = Installation::ensure("target/tools".as_ref(), &mut |line| eprintln!("{line}"))?;
//! let postgres = Postgres::start(&installation, Options::for_tests())?;
//! println!("{}", postgres.url("postgres"));
//! # Ok::<(), onetrip_embedded_postgres::Error>(())
//! ```
//!
//! Linux and macOS. The server binaries come from npm's `@embedded-postgres/<platform>`, so `npm` and `tar` must
//! be on the PATH for the first [`Installation::ensure`]; afterwards nothing but the installed files is needed.
//! PostgreSQL refuses to run as root: started by root it runs as the user `postgres`, or else `nobody`.

mod account;
mod error;
mod installation;
mod options;
mod place;
mod server;

pub use error::{Error, Kind};
pub use installation::{Installation, PACKAGE_VERSION};
pub use options::{Durability, Options, Tls};
pub use server::{Postgres, Shutdown};
