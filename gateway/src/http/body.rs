//! Bodies: reading a request's under its limit, and writing an answer's as it comes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use onetrip_wire::problem::Code;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Sleep, sleep};

use super::record::Record;
use crate::failure::Failure;

/// Reads a request body.
///
/// # Errors
/// 413 as soon as it is known to be over `limit_bytes`, 400 when it does not arrive whole or within `timeout`.
pub(super) async fn read(
    body: &mut Incoming,
    limit_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(timeout, collect(body, limit_bytes)).await;
    read.unwrap_or_else(|_| {
        let detail =
            format!("the body of the request did not arrive within {timeout:?} (limits.body_timeout)");
        Err(Failure::malformed(detail))
    })
}

async fn collect(body: &mut Incoming, limit_bytes: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail =
            format!("the body is over the endpoint's limit of {limit_bytes} bytes (limits.request_bytes)");
        Failure::new(Code::RequestTooLarge, detail)
    };
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > u64::try_from(limit_bytes).unwrap_or(u64::MAX)) {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = next(body).await {
        // hyper's words may hold what arrived, so they are not told.
        let frame = frame.map_err(|_| Failure::malformed("the body of the request did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit_bytes {
            return Err(too_large());
        }
        if whole.is_empty() && announced == u64::try_from(data.len()).ok() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

/// How much of a refused body is read and thrown away, and for how long.
const DISCARDED_BYTES: usize = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(2);

/// Reads on, within limits, while the refusal is on its way: a client that is still sending when the connection closes
/// sees a broken connection and never reads the refusal.
pub(super) async fn discard(mut body: Incoming) {
    let read = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = next(&mut body).await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > DISCARDED_BYTES {
                return;
            }
        }
    };
    // Whether it came to an end makes no difference: the body is dropped either way.
    let _ = tokio::time::timeout(DISCARDING, read).await;
}

/// The body of a response.
pub(crate) struct Answer {
    content: Content,
    // The request is in flight until its answer is given away.
    record: Option<Record>,
}

enum Content {
    Whole(Bytes),
    Streamed { first: Bytes, rest: Receiver<Piece> },
    Cutting(Pin<Box<Sleep>>),
    Done,
}

/// How long before an answer is cut: hyper throws away what it has not written when a body fails, and that may be what
/// tells the client which of its transactions are committed.
const CUT_DELAY: Duration = Duration::from_millis(100);

/// What follows the first part of a streamed answer.
pub(super) enum Piece {
    More(Bytes),
    Last(Bytes),
}

/// The answer ends before it is complete. The client must see that: HTTP/1.1 without its last chunk, or RST_STREAM.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the answer was cut")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Cut {
        match never {}
    }
}

impl Answer {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Answer {
        Answer { content: Content::Whole(bytes.into()), record: None }
    }

    /// An answer that is complete only when `rest` has brought its last piece.
    pub(super) fn streamed(first: Bytes, rest: Receiver<Piece>) -> Answer {
        Answer { content: Content::Streamed { first, rest }, record: None }
    }

    /// Keeps the record of the request until the answer is given away.
    pub(super) fn recorded(mut self, mut record: Record) -> Answer {
        if let Content::Whole(_) = self.content {
            record.answered();
        }
        self.record = Some(record);
        self
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let (bytes, done) = match &mut this.content {
            Content::Done => return Poll::Ready(None),
            Content::Whole(bytes) => (std::mem::take(bytes), true),
            Content::Streamed { first, .. } if !first.is_empty() => (std::mem::take(first), false),
            Content::Streamed { rest, .. } => match rest.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Piece::More(bytes))) => (bytes, false),
                Poll::Ready(Some(Piece::Last(bytes))) => (bytes, true),
                Poll::Ready(None) => {
                    this.content = Content::Cutting(Box::pin(sleep(CUT_DELAY)));
                    return Pin::new(this).poll_frame(context);
                }
            },
            Content::Cutting(delay) => {
                ready!(delay.as_mut().poll(context));
                this.content = Content::Done;
                return Poll::Ready(Some(Err(Cut)));
            }
        };
        if let Some(record) = &mut this.record {
            record.sent(bytes.len());
            if done {
                record.answered();
            }
        }
        if done {
            this.content = Content::Done;
            if bytes.is_empty() {
                return Poll::Ready(None);
            }
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Done => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed { .. } | Content::Cutting(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Done => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Streamed { .. } | Content::Cutting(_) => SizeHint::default(),
        }
    }
}
