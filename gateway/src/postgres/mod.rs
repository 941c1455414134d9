//! PostgreSQL's side: connecting, logging in, and one flight for one request.

mod abandoned;
mod connection;
mod convoy;
mod exchange;
mod flight;
mod login;
mod output;
mod probe;
mod progress;
mod refusal;
mod reset;
mod script;
mod session;
mod statements;
mod stream;
mod tls;
mod traits;

pub(crate) use connection::Connection;
pub(crate) use convoy::Ride;
pub(crate) use exchange::{Broken, Exchange, Order, Part};
pub(crate) use login::{BackendKey, LoginError, Target};
pub(crate) use progress::Summary;
pub(crate) use script::ScriptError;
pub(crate) use session::{apply, restore};
