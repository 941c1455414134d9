//! PostgreSQL's side: connecting, logging in, and one flight for one request.

mod connection;
mod exchange;
mod login;
mod reset;
mod stream;
mod tls;

pub(crate) use connection::Connection;
pub(crate) use exchange::{Broken, Exchange, Part};
pub(crate) use login::{LoginError, Target};
