//! The headers of `POST /sql` that say how a request runs and how its answer looks.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const CONNECTION_STRING: HeaderName = HeaderName::from_static("neon-connection-string");
const RAW_TEXT_OUTPUT: HeaderName = HeaderName::from_static("neon-raw-text-output");
const ARRAY_MODE: HeaderName = HeaderName::from_static("neon-array-mode");
const ISOLATION_LEVEL: HeaderName = HeaderName::from_static("neon-batch-isolation-level");
const READ_ONLY: HeaderName = HeaderName::from_static("neon-batch-read-only");
const DEFERRABLE: HeaderName = HeaderName::from_static("neon-batch-deferrable");

/// What a page of another origin may send to `/sql`.
pub(crate) const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Accept, Neon-Connection-String, \
    Neon-Raw-Text-Output, Neon-Array-Mode, Neon-Pool-Opt-In, Neon-Batch-Isolation-Level, Neon-Batch-Read-Only, \
    Neon-Batch-Deferrable, traceparent, tracestate";

/// What the headers of a request ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestHeaders {
    /// Values as PostgreSQL writes them, all strings.
    pub(crate) raw_text: bool,
    /// Rows as arrays, where a statement does not say otherwise.
    pub(crate) array_rows: bool,
    isolation: Option<Isolation>,
    read_only: bool,
    deferrable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl RequestHeaders {
    /// Only the bytes `true` mean yes.
    ///
    /// # Errors
    /// A text when there is no such isolation level.
    pub(crate) fn read(headers: &HeaderMap) -> Result<RequestHeaders, &'static str> {
        let yes = |name: &HeaderName| headers.get(name).is_some_and(|value| value.as_bytes() == b"true");
        let isolation = match headers.get(&ISOLATION_LEVEL).map(HeaderValue::as_bytes) {
            None => None,
            Some(b"ReadUncommitted") => Some(Isolation::ReadUncommitted),
            Some(b"ReadCommitted") => Some(Isolation::ReadCommitted),
            Some(b"RepeatableRead") => Some(Isolation::RepeatableRead),
            Some(b"Serializable") => Some(Isolation::Serializable),
            Some(_) => return Err("invalid isolation level"),
        };
        Ok(RequestHeaders {
            raw_text: yes(&RAW_TEXT_OUTPUT),
            array_rows: yes(&ARRAY_MODE),
            isolation,
            read_only: yes(&READ_ONLY),
            deferrable: yes(&DEFERRABLE),
        })
    }

    /// The statement that begins the transaction of a batch as the headers ask for; `None` where the one that PostgreSQL
    /// begins by itself will do, which needs no statements of its own.
    pub(super) fn begin(&self) -> Option<String> {
        let mut modes = Vec::new();
        modes.extend(self.isolation.map(|isolation| match isolation {
            Isolation::ReadUncommitted => "isolation level read uncommitted",
            Isolation::ReadCommitted => "isolation level read committed",
            Isolation::RepeatableRead => "isolation level repeatable read",
            Isolation::Serializable => "isolation level serializable",
        }));
        modes.extend(self.read_only.then_some("read only"));
        modes.extend(self.deferrable.then_some("deferrable"));
        (!modes.is_empty()).then(|| format!("begin {}", modes.join(", ")))
    }

    /// Says in the answer to a batch how it was run.
    pub(crate) fn echo(&self, headers: &mut HeaderMap) {
        if let Some(isolation) = self.isolation {
            let name = match isolation {
                Isolation::ReadUncommitted => "ReadUncommitted",
                Isolation::ReadCommitted => "ReadCommitted",
                Isolation::RepeatableRead => "RepeatableRead",
                Isolation::Serializable => "Serializable",
            };
            headers.insert(ISOLATION_LEVEL, HeaderValue::from_static(name));
        }
        for (said, name) in [(self.read_only, READ_ONLY), (self.deferrable, DEFERRABLE)] {
            if said {
                headers.insert(name, HeaderValue::from_static("true"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_the_modes_of_a_transaction() {
        let mut headers = HeaderMap::new();
        assert_eq!(RequestHeaders::read(&headers), Ok(RequestHeaders::default()));
        headers.insert(READ_ONLY, HeaderValue::from_static("TRUE"));
        assert_eq!(RequestHeaders::read(&headers).unwrap().begin(), None);
        headers.insert(READ_ONLY, HeaderValue::from_static("true"));
        headers.insert(DEFERRABLE, HeaderValue::from_static("true"));
        headers.insert(ISOLATION_LEVEL, HeaderValue::from_static("Serializable"));
        let read = RequestHeaders::read(&headers).unwrap();
        let expected = "begin isolation level serializable, read only, deferrable";
        assert_eq!(read.begin().as_deref(), Some(expected));
        let mut echo = HeaderMap::new();
        read.echo(&mut echo);
        assert_eq!(echo, headers);
        headers.insert(ISOLATION_LEVEL, HeaderValue::from_static("serializable"));
        assert!(RequestHeaders::read(&headers).is_err());
    }
}
