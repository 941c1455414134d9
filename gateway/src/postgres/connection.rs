//! A connection to PostgreSQL that is logged in: bytes out and bytes in at the same time.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::login::BackendKey;
use super::reset::{self, Owed};
use super::statements::Statements;
use super::stream::Stream;
use super::traits::Traits;

/// The least and the most room for one read.
const READ_BYTES: std::ops::RangeInclusive<usize> = (8 << 10)..=(64 << 10);

/// A connection that is logged in. Dropping it closes it.
pub(crate) struct Connection {
    stream: Stream,
    /// What has arrived and is not dealt with.
    pub(crate) incoming: BytesMut,
    outgoing: Vec<u8>,
    sent: usize,
    // Bytes may sit in the TLS layer until a flush.
    flushed: bool,
    read_bytes: usize,
    pub(super) key: Option<BackendKey>,
    parameters: Vec<(String, String)>,
    opened: Instant,
    rested: Instant,
    pub(super) traits: Arc<Traits>,
    pub(super) statements: Statements,
    /// Whether the parts of the light reset are prepared.
    pub(super) reset_is_prepared: bool,
    /// Whether the reset that is under way asks which process serves the connection.
    pub(super) asks_identity: bool,
    /// Whether it is known to be the one whose key the login brought, so that no pooler changes it.
    pub(super) is_direct: bool,
    /// The least time that an answer took from the sending of its flight, the first one of the login included: about what
    /// the way takes.
    pub(super) fastest: Duration,
    /// Answers that nobody has read yet.
    pub(super) owed: Owed,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        incoming: BytesMut,
        key: Option<BackendKey>,
        parameters: Vec<(String, String)>,
        traits: Arc<Traits>,
        fastest: Duration,
    ) -> Connection {
        Connection {
            statements: Statements::new(traits.statements()),
            traits,
            reset_is_prepared: false,
            asks_identity: false,
            is_direct: false,
            fastest,
            owed: Owed::default(),
            stream,
            incoming,
            outgoing: Vec::new(),
            sent: 0,
            flushed: true,
            read_bytes: *READ_BYTES.start(),
            key,
            parameters,
            opened: Instant::now(),
            rested: Instant::now(),
        }
    }

    pub(crate) fn key(&self) -> Option<BackendKey> {
        self.key
    }

    /// Names and values of the reported settings after the login.
    pub(crate) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) fn traits(&self) -> &Traits {
        &self.traits
    }

    /// Whether the server is there and has nothing to say: a connection to which something arrived unasked has lost
    /// its server, or is about to.
    pub(crate) fn is_quiet(&self) -> bool {
        self.incoming.is_empty() && self.outgoing.is_empty() && self.owed.nothing() && self.stream.is_quiet()
    }

    /// Whether no answer of the last request is left to be read.
    pub(crate) fn is_settled(&self) -> bool {
        self.owed.nothing()
    }

    /// Whether the session is as after a login, as far as that can be said without waiting; `None` where PostgreSQL has
    /// not yet confirmed the reset behind the last request.
    pub(crate) async fn settle_now(&mut self) -> Option<bool> {
        while !self.owed.nothing() {
            if let Some(settled) = reset::settle(self) {
                return Some(settled && self.is_quiet());
            }
            match self.read_now().await? {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Some(false),
            }
        }
        Some(self.is_quiet())
    }

    /// As [`settle_now`](Self::settle_now), but waits for PostgreSQL.
    pub(crate) async fn settle(&mut self) -> bool {
        while !self.owed.nothing() {
            if let Some(settled) = reset::settle(self) {
                return settled && self.is_quiet();
            }
            if !matches!(self.read().await, Ok(1..)) {
                return false;
            }
        }
        self.is_quiet()
    }

    /// Forgets the statements of the gateway: PostgreSQL drops all statements of the session.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
        self.reset_is_prepared = false;
    }

    /// Takes what is to be sent, behind what is not sent yet; [`read`](Self::read) sends it while it waits for the
    /// answer.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) {
        if self.outgoing.is_empty() {
            self.outgoing = bytes;
            self.sent = 0;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// Sends as much as the system takes now.
    pub(crate) async fn send_now(&mut self) {
        // An error shows when the connection is read.
        let _ = poll_fn(|context| Poll::Ready(self.poll_write(context).is_ready())).await;
    }

    /// Takes more to be sent behind what is not sent yet; [`drive`](Self::drive) sends it.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.drain(..self.sent.min(self.outgoing.len()));
        self.sent = 0;
        self.outgoing.extend_from_slice(bytes);
    }

    /// How many bytes wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.outgoing.len().saturating_sub(self.sent)
    }

    /// Sends what waits and, if `read`, reads more: how much, 0 at the end of the stream. Without `read` it is ready,
    /// with `None`, when everything is sent. Cancel safe.
    pub(crate) async fn drive(&mut self, read: bool) -> io::Result<Option<usize>> {
        poll_fn(|context| {
            if read {
                return self.poll_read(context).map_ok(Some);
            }
            self.poll_write(context).map_ok(|()| None)
        })
        .await
    }

    /// How many bytes of the current flight the system has taken.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// Since when nobody uses it.
    pub(crate) fn rested(&self) -> Instant {
        self.rested
    }

    /// Takes note that nobody uses it any longer, and gives room back that a large answer took.
    pub(crate) fn rest(&mut self) {
        self.rested = Instant::now();
        self.read_bytes = *READ_BYTES.start();
        if self.incoming.is_empty() && self.incoming.capacity() > self.read_bytes {
            self.incoming = BytesMut::new();
        }
    }

    /// Sends what is left of the flight and reads more; 0 is the end of the stream.
    ///
    /// A server that stops reading before it has the whole flight may still have something to say, so a failed write
    /// shows only in the read that follows it.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// As [`read`](Self::read), but `None` where nothing has arrived yet.
    pub(crate) async fn read_now(&mut self) -> Option<io::Result<usize>> {
        poll_fn(|context| match self.poll_read(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            if self.sent == 0 {
                return Poll::Ready(Err(error));
            }
            self.outgoing = Vec::new();
            self.flushed = true;
        }
        if self.incoming.capacity() - self.incoming.len() < self.read_bytes / 2 {
            self.incoming.reserve(self.read_bytes);
        }
        let room = self.incoming.capacity() - self.incoming.len();
        // Made anew for each poll, which is sound: `read_buf` is cancel safe.
        let read = ready!(pin!(self.stream.read_buf(&mut self.incoming)).poll(context))?;
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(*READ_BYTES.end());
        }
        Poll::Ready(Ok(read))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outgoing.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
            self.flushed = false;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.flushed = true;
            self.outgoing = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}
