//! Frames: one tag byte, a length that counts itself, a body. PostgreSQL manual, "Message Formats".

use alloc::vec::Vec;

use crate::Error;

/// How large a thing read from a wire may be, checked before anything is allocated for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame, in bytes, its tag and length included. Default: 256 MiB.
    pub frame_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { frame_bytes: 256 << 20 }
    }
}

impl Limits {
    /// Sets the largest frame, in bytes, its tag and length included.
    pub fn frame_bytes(mut self, bytes: usize) -> Limits {
        self.frame_bytes = bytes;
        self
    }
}

/// Tag and length: the bytes of a frame before its body.
pub const HEADER_LEN: usize = 5;

/// A frame borrowed from a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is, for example `b'D'` for DataRow.
    pub tag: u8,
    /// What it says.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// The length of the whole frame in bytes.
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }
}

/// Reads the tag and the whole length of the frame that `bytes` starts with. `Ok(None)`: incomplete.
///
/// # Errors
/// When the length is shorter than itself or over the limit.
pub fn peek(bytes: &[u8], limits: &Limits) -> Result<Option<(u8, usize)>, Error> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if len < 4 {
        return Err(Error::malformed(
            1,
            format_args!("a {:?} frame gives its length as {len}, less than 4", char::from(tag)),
        ));
    }
    let whole = len.saturating_add(1);
    if whole > limits.frame_bytes {
        let what = format_args!("a {:?} frame", char::from(tag));
        return Err(Error::too_large(1, what, whole, limits.frame_bytes));
    }
    Ok(Some((tag, whole)))
}

/// Reads the frame that `bytes` starts with. `Ok(None)`: incomplete.
///
/// # Errors
/// As [`peek`].
pub fn first<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<Frame<'a>>, Error> {
    let Some((tag, whole)) = peek(bytes, limits)? else { return Ok(None) };
    Ok(bytes.get(HEADER_LEN..whole).map(|body| Frame { tag, body }))
}

/// Appends a frame whose body `write` appends, and fills its length in.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(out, tag);
    write(out);
    end(out, start);
}

pub(crate) fn begin(out: &mut Vec<u8>, tag: u8) -> usize {
    out.extend_from_slice(&[tag, 0, 0, 0, 0]);
    out.len() - 4
}

pub(crate) fn end(out: &mut [u8], start: usize) {
    let len = u32::try_from(out.len() - start).expect("a frame is shorter than 4 GiB");
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = len.to_be_bytes();
    }
}

/// Reads the parts of one body in order, each only if it is there.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(whole: &'a [u8]) -> Reader<'a> {
        Reader { whole, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.whole.len()
    }

    /// The next `len` bytes; `what` names them in the error.
    pub(crate) fn bytes(&mut self, len: usize, what: &str) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len);
        let Some(bytes) = end.and_then(|end| self.whole.get(self.at..end)) else {
            return Err(self.too_short(len, what));
        };
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, Error> {
        let [byte] = *self.array(what)?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(*self.array(what)?))
    }

    pub(crate) fn i32(&mut self, what: &str) -> Result<i32, Error> {
        Ok(i32::from_be_bytes(*self.array(what)?))
    }

    /// A value: a length of 4 bytes, −1 for NULL, and the bytes.
    pub(crate) fn value(&mut self, what: &str) -> Result<Option<&'a [u8]>, Error> {
        let start = self.at;
        match self.i32(what)? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| {
                    Error::malformed(start, format_args!("{what} has the negative length {len}"))
                })?;
                self.bytes(len, what).map(Some)
            }
        }
    }

    /// A string that ends with a zero byte.
    pub(crate) fn string(&mut self, what: &str) -> Result<&'a str, Error> {
        let rest = self.whole.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == 0) else {
            return Err(Error::malformed(self.at, format_args!("{what} has no end")));
        };
        let bytes = rest.get(..len).unwrap_or_default();
        let text = core::str::from_utf8(bytes).map_err(|error| {
            Error::malformed(self.at + error.valid_up_to(), format_args!("{what} is not UTF-8"))
        })?;
        self.at += len + 1;
        Ok(text)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self, what: &str) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let left = self.whole.len() - self.at;
        Err(Error::malformed(self.at, format_args!("{left} bytes too many after {what}")))
    }

    /// The next N bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<&'a [u8; N], Error> {
        match self.whole.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(array) => {
                self.at += N;
                Ok(array)
            }
            None => Err(self.too_short(N, what)),
        }
    }

    #[cold]
    fn too_short(&self, len: usize, what: &str) -> Error {
        let left = self.whole.len() - self.at;
        Error::malformed(self.at, format_args!("{what} takes {len} bytes, {left} are left"))
    }
}
