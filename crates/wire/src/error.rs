//! The one error of this crate: bytes that are not what the protocol says, and where.

use std::fmt;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The bytes break the protocol.
    Malformed,
    /// A length is over its limit. Nothing was allocated for it.
    TooLarge,
    /// The bytes end before the answer does; what the last group did is unknown.
    Truncated,
}

/// Bytes that are not what the protocol says, with the offset where that shows.
///
/// The text never holds the bytes themselves: they may be SQL or values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    offset: u64,
    detail: String,
}

impl Error {
    /// The class of the error, to branch on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The offset in bytes from the start of the body (or of the message, where a message is read alone).
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong, without the offset.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Bytes that are not what the protocol says, at `offset`.
    pub fn malformed(offset: usize, detail: impl Into<String>) -> Error {
        Error { kind: Kind::Malformed, offset: offset as u64, detail: detail.into() }
    }

    pub(crate) fn too_large(offset: usize, what: &str, size: usize, limit: usize) -> Error {
        let detail = format!("{what} of {size} bytes is over the limit of {limit} bytes");
        Error { kind: Kind::TooLarge, offset: offset as u64, detail }
    }

    pub(crate) fn truncated(offset: u64, detail: impl Into<String>) -> Error {
        Error { kind: Kind::Truncated, offset, detail: detail.into() }
    }

    /// The same error in a larger whole that starts `base` bytes earlier.
    pub(crate) fn shifted(mut self, base: u64) -> Error {
        self.offset += base;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}: {}", self.offset, self.detail)
    }
}

impl std::error::Error for Error {}
