//! The onetrip v1 protocol as pure functions: bytes and values in, bytes and values out.
//!
//! `PROTOCOL.md` at the top of the repository is the normative text. This crate does no I/O, reads no clock, rolls no
//! dice and compiles for wasm32 and for the host alike. The driver, the gateway and the npm package all stand on it, so
//! a wire type is written once.
//!
//! | module | one concept |
//! | --- | --- |
//! | [`frontend`] | writing a pipeline of frames |
//! | [`request`] | reading a pipeline on the endpoint's side, and refusing what is none |
//! | [`backend`] | PostgreSQL's answers: fields, rows, errors, tags |
//! | [`response`] | reading an answer as its bytes arrive |
//! | [`representation`] | what a client may ask for by `Accept` |
//! | [`encoder`] | frames into the representation that was asked for |
//! | [`blocks`] | rows as column blocks |
//! | [`json`] | results as typed JSON |
//! | [`problem`] | errors before PostgreSQL |
//! | [`sqlstate`] | what a SQLSTATE means for a client |

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[doc(hidden)]
pub mod ascii;
pub mod backend;
pub mod blocks;
pub mod encoder;
mod error;
pub mod frame;
pub mod frontend;
pub mod json;
pub mod oid;
pub mod problem;
pub mod representation;
pub mod request;
pub mod response;
mod row;
pub mod sqlstate;

pub use error::{Error, Kind};
pub use frame::{Frame, Limits};
