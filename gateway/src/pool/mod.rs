//! Pools: a bounded number of connections for each role of each database, handed out in the order of asking.

mod database;
mod lease;
mod reach;
mod verifier;

pub(crate) use database::{Database, Timing};
pub(crate) use lease::Lease;
pub(crate) use verifier::VerifierKey;
