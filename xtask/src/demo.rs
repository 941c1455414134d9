//! `cargo xtask demo`.

use crate::step::Failure;

/// Runs it.
pub fn run(_: &[&str]) -> Result<(), Failure> {
    Err(Failure::new("being written"))
}
