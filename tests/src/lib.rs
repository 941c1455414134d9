//! What the tests, the demo and the benchmarks stand on: a PostgreSQL server, a gateway in front of it, and a proxy
//! between the two that counts round trips and makes faults.

mod database;
mod gateway;
pub mod http;
mod one_connection;
mod proxy;
mod recorder;
mod stack;

pub use database::{Database, installation, postgres};
pub use gateway::Gateway;
pub use one_connection::{BEHIND_A_GUARD, OneConnection};
pub use proxy::{CountingProxy, Faults};
pub use recorder::{CANCEL_REQUEST, Connection, Flight, SSL_REQUEST, STARTUP};
pub use stack::{METRICS, Stack};
