//! The one error of this crate: bytes that are not what the protocol says, and where.

#[cfg(feature = "error-text")]
use alloc::{boxed::Box, fmt, string::String};
#[cfg(not(feature = "error-text"))]
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
pub struct Error(Place);

/// Behind a pointer where it has a text: a `Result` is then hardly larger than its value, wherever bytes are read.
#[cfg(feature = "error-text")]
type Place = Box<Inner>;
#[cfg(not(feature = "error-text"))]
type Place = Inner;

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    offset: u64,
    #[cfg(feature = "error-text")]
    detail: String,
}

impl Error {
    /// The class of the error, to branch on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The offset in bytes from the start of the body (or of the message, where a message is read alone).
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// What is wrong, without the offset. Empty without the feature `error-text`.
    pub fn detail(&self) -> &str {
        #[cfg(feature = "error-text")]
        return &self.0.detail;
        #[cfg(not(feature = "error-text"))]
        return "";
    }

    /// Bytes that are not what the protocol says, at `offset`.
    pub fn malformed(offset: usize, detail: impl fmt::Display) -> Error {
        Error::new(Kind::Malformed, offset as u64, format_args!("{detail}"))
    }

    pub(crate) fn too_large(offset: usize, what: impl fmt::Display, size: usize, limit: usize) -> Error {
        let detail = format_args!("{what} of {size} bytes is over the limit of {limit} bytes");
        Error::new(Kind::TooLarge, offset as u64, detail)
    }

    pub(crate) fn truncated(offset: u64, detail: impl fmt::Display) -> Error {
        Error::new(Kind::Truncated, offset, format_args!("{detail}"))
    }

    #[cfg_attr(
        not(feature = "error-text"),
        expect(unused_variables, clippy::useless_conversion, reason = "there the text is nowhere kept")
    )]
    #[cold]
    fn new(kind: Kind, offset: u64, detail: fmt::Arguments<'_>) -> Error {
        let inner = Inner {
            kind,
            offset,
            #[cfg(feature = "error-text")]
            detail: fmt::format(detail),
        };
        Error(inner.into())
    }

    /// The same error in a larger whole that starts `base` bytes earlier.
    pub(crate) fn shifted(mut self, base: u64) -> Error {
        self.0.offset += base;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}: {}", self.0.offset, self.detail())
    }
}

impl fmt::Debug for Error {
    /// As `Display`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl core::error::Error for Error {}
