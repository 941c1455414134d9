//! Pools: a bounded number of connections for each role of each database, handed out in the order of asking.
//!
//! | file | one concept |
//! | --- | --- |
//! | `database` | whose password is proven, and the pools of the roles |
//! | `role_pool` | the connections of one role and the queue for them |
//! | `opening` | connections that are being opened |
//! | `lease` | one connection that is out of its pool |
//! | `admission` | who may wait, and how long that would take |
//! | `reach` | whether the server answers at all |

mod admission;
mod database;
mod lease;
mod opening;
mod queue;
mod reach;
mod role_pool;
mod verifier;

pub(crate) use admission::Deadline;
pub(crate) use database::{Access, Database, Timing};
pub(crate) use lease::Lease;
pub(crate) use queue::{Claim, Leased, Passenger};
pub(crate) use verifier::VerifierKey;
