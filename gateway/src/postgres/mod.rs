//! PostgreSQL's side: connecting, logging in, and one flight for one request.

mod abandoned;
mod connection;
mod exchange;
mod flight;
mod login;
mod probe;
mod reset;
mod script;
mod session;
mod statements;
mod stream;
mod tls;
mod traits;

pub(crate) use connection::Connection;
pub(crate) use exchange::{Broken, Exchange, Part, Summary};
pub(crate) use login::{BackendKey, LoginError, Target};
pub(crate) use script::ScriptError;
pub(crate) use session::{apply, restore};
