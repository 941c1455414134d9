//! The endpoint against a real PostgreSQL, seen from outside: over HTTP.

mod answers;
mod authentication;
mod http;
mod isolation;
mod pool;
mod program;
mod shutdown;
mod streaming;
mod support;
mod tls;
