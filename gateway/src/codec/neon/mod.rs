//! The codec of profile 2 (PROTOCOL.md section 7): requests of Neon's SQL over HTTP into frames, frames into its JSON.

mod answer;
mod connection_string;
mod error;
mod headers;
mod parameter;
mod request;
mod types;
mod value;

pub(crate) use answer::{AnswerEncoder, Progress};
pub(crate) use connection_string::ConnectionString;
pub(crate) use error::SqlError;
pub(crate) use headers::{ALLOWED_HEADERS, CONNECTION_STRING, RequestHeaders};
pub(crate) use request::decode;
pub(crate) use types::Types;
