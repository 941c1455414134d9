//! PostgreSQL from the edge in one round trip: tokio-postgres's habits over HTTP, on wasm32 and natively.
//!
//! A connection to PostgreSQL costs seven round trips before its first query, and PostgreSQL pays for each with a process.
//! onetrip moves the connections to an endpoint that keeps them warm: every call is one HTTP request, a whole transaction
//! included, and a client that does nothing holds nothing open.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> Result<(), onetrip::Error> {
//! let client = onetrip::Client::connect("https://app:secret@db.example.com/shop")?;
//!
//! let rows = client.query("select id, name from users where created > $1", &[&"2026-01-01"]).await?;
//! for row in &rows {
//!     let (id, name): (i64, &str) = (row.get("id"), row.get("name"));
//!     println!("{id}: {name}");
//! }
//!
//! // A transaction: all of it or nothing, in one request.
//! let (inserted, total) = client
//!     .transaction()
//!     .execute("insert into visits (user_id) values ($1)", &[&7i64])
//!     .query_one("select count(*) as n from visits", &[])
//!     .commit()
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `fetch` (default) | on wasm32: the transport by JavaScript's global `fetch`, for Workers, browsers, Node, Deno and Bun |
//! | `worker` | on wasm32: service bindings of workers-rs, by `transport::Service` |
//! | `native` (default) | elsewhere: the transport by hyper and rustls, on tokio |
//! | `client` | the client without a transport: bring your own |
//! | `derive` | `#[derive(FromRow)]` for structs |
//! | `serde` | `Row::deserialize` |
//! | `neon` | the same client for Neon-compatible endpoints |
//! | `with-chrono-0_4`, `with-time-0_3`, `with-uuid-1`, `with-serde_json-1`, … | types of other crates, as in `postgres-types` |
//!
//! Without any of them there is only the [`policy`], free of dependencies. The derives of `postgres-types` work with
//! `postgres-types = { version = "0.2", features = ["derive"] }` beside this crate.
//!
//! # Parameters
//!
//! tokio-postgres asks the server for the types of a statement's parameters before it sends them. A round trip is what
//! this crate saves, so the Rust value decides:
//!
//! | Rust value | sent as | so it works against |
//! | --- | --- | --- |
//! | `&str`, `String`, JSON | text without a declared type | whatever stands at its place: text, uuid, enum, citext, timestamptz, numeric, inet, … |
//! | `bool`, integers, floats, `Vec<u8>`, dates, `Uuid`, … | its own type (`i32` int4, `i64` int8, `u32` oid, …), in binary | that type, and all that PostgreSQL converts it to: an `i32` against int8 or numeric, an `i64` into an int4 column |
//! | `Vec<i32>` and other arrays | the array of that type, in binary | `= any($1)`, columns of that array |
//! | `Vec<String>`, `Vec<&str>` | an array literal without a declared type | `= any($1)` over text, uuid or enum; where nothing says the type (`unnest($1)`) write `$1::text[]` |
//! | `None` | NULL of the type that `Some` would have | as `Some` |
//! | `None::<&str>` | NULL without a declared type | everything |
//! | a derived enum, composite or domain | its type, once the client knows it | that type: [`Client::look_up_types`] asks for it once, [`Client::with_types`] tells it, [`Client::query_typed`] names it in one call |
//!
//! PostgreSQL finds a function or operator by the declared types. Where that is too narrow, as for a function of
//! `smallint`, cast in the SQL (`$1::int2`): that decides in any case.
//!
//! # Results
//!
//! Results come in PostgreSQL's binary format and are read by `FromSql`: one value by [`Row::get`], a row by [`FromRow`](trait@crate::FromRow) or
//! by serde. An enum or a type of an extension has another OID in each database, so its [`Column::type_`] is `unknown`; where
//! its binary form is text (enums, citext) it reads as `&str`, `String` and as a derived enum, in one round trip, and so
//! does an array of it. (Not a newtype around an array of them: from outside it looks as an enum does, and `postgres-types`
//! panics where it is not given an array. Look its type up.) A composite reads once the client has [looked its type up](Client::look_up_types). `numeric` reads
//! as [`Numeric`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "client"), no_std)]

pub mod policy;

#[cfg(feature = "client")]
mod answer;
#[cfg(feature = "client")]
mod batch;
#[cfg(feature = "client")]
mod catalogue;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod column;
#[cfg(feature = "client")]
mod config;
#[cfg(feature = "serde")]
mod deserialize;
#[cfg(feature = "client")]
mod effect;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod exchange;
#[cfg(feature = "client")]
mod foreign;
#[cfg(feature = "client")]
mod from_row;
#[cfg(feature = "client")]
pub mod metrics;
#[cfg(feature = "neon")]
pub mod neon;
#[cfg(feature = "client")]
mod numeric;
#[cfg(feature = "client")]
mod parameter;
#[cfg(feature = "client")]
mod problem;
#[cfg(feature = "client")]
mod row;
#[cfg(feature = "client")]
mod stream;
#[cfg(any(feature = "neon", feature = "serde"))]
mod text;
#[cfg(feature = "client")]
pub mod transaction;
#[cfg(feature = "client")]
pub mod transport;

#[cfg(feature = "client")]
pub use answer::StatementResult;
#[cfg(feature = "client")]
pub use batch::Batch;
#[cfg(feature = "client")]
pub use client::Client;
#[cfg(feature = "client")]
pub use column::Column;
#[cfg(feature = "client")]
pub use config::{Config, Credentials};
#[cfg(feature = "client")]
pub use error::{DbError, Error, Kind, Outcome};
#[cfg(feature = "client")]
pub use from_row::FromRow;
#[cfg(feature = "client")]
pub use numeric::Numeric;
#[cfg(feature = "derive")]
pub use onetrip_derive::FromRow;
#[cfg(feature = "client")]
pub use row::{Row, RowIndex};
#[cfg(feature = "client")]
pub use stream::RowStream;
#[cfg(feature = "client")]
pub use transaction::{IsolationLevel, Transaction};

/// The types and traits of parameters and values: `postgres-types`, whose derives and optional features work here.
#[cfg(feature = "client")]
pub use postgres_types as types;

/// What the derive's code calls.
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod __private {
    pub use crate::from_row::{Fields, check_len};
}

/// The README's Rust compiles as it stands.
#[cfg(all(doctest, feature = "native"))]
#[doc = include_str!("../README.md")]
struct Readme;
