//! The endpoint against a real PostgreSQL, seen from outside: over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point, in their helpers, too"
)]

mod answers;
mod authentication;
mod compression;
mod development;
mod faults;
mod http;
mod isolation;
mod operators;
mod pool;
mod program;
mod reload;
mod shutdown;
mod streaming;
mod support;
mod tls;
