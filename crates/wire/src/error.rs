//! The one error of this crate: bytes that are not what the protocol says, and where.

#[cfg(feature = "error-text")]
use alloc::string::{String, ToString};
use core::fmt;

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
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    offset: u64,
    #[cfg(feature = "error-text")]
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

    /// What is wrong, without the offset. Empty without the feature `error-text`.
    pub fn detail(&self) -> &str {
        #[cfg(feature = "error-text")]
        return &self.detail;
        #[cfg(not(feature = "error-text"))]
        return "";
    }

    /// Bytes that are not what the protocol says, at `offset`.
    pub fn malformed(offset: usize, detail: impl fmt::Display) -> Error {
        Error::new(Kind::Malformed, offset as u64, detail)
    }

    pub(crate) fn too_large(offset: usize, what: impl fmt::Display, size: usize, limit: usize) -> Error {
        let detail = format_args!("{what} of {size} bytes is over the limit of {limit} bytes");
        Error::new(Kind::TooLarge, offset as u64, detail)
    }

    pub(crate) fn truncated(offset: u64, detail: impl fmt::Display) -> Error {
        Error::new(Kind::Truncated, offset, detail)
    }

    #[cfg_attr(
        not(feature = "error-text"),
        expect(unused_variables, reason = "there the text is nowhere kept")
    )]
    fn new(kind: Kind, offset: u64, detail: impl fmt::Display) -> Error {
        Error {
            kind,
            offset,
            #[cfg(feature = "error-text")]
            detail: detail.to_string(),
        }
    }

    /// The same error in a larger whole that starts `base` bytes earlier.
    pub(crate) fn shifted(mut self, base: u64) -> Error {
        self.offset += base;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}: {}", self.offset, self.detail())
    }
}

impl fmt::Debug for Error {
    /// As `Display`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl core::error::Error for Error {}
