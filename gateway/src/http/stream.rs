//! An answer on its way to the client, in parts and no faster than it takes them: the same for every profile.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::sync::mpsc::{self, Sender};

use super::body::{Answer, Piece};
use super::compression::{self, Compressor};
use super::record::{Ending, Record};
use crate::config::{Coding, Compression};
use crate::postgres::{Broken, Exchange, Part};

/// Parts of an answer that wait for the client: with the one in work about 256 KiB.
const PARTS_WAITING: usize = 3;

/// How long a client may take nothing while other requests wait behind its answer on the same connection. That takes an
/// answer that is far larger than any before it of the same statements.
const HURRY: Duration = Duration::from_secs(5);

const GONE: &str = "the client went away";

/// Why an answer is cut when what PostgreSQL sends is no answer.
pub(super) const UNREADABLE: &str = "PostgreSQL's answer could not be read";

/// The way to the client of what comes after the first part.
pub(super) struct Outlet {
    sender: Sender<Piece>,
    compressor: Option<Compressor>,
    send_timeout: Duration,
    ending: Arc<OnceLock<Ending>>,
}

impl Outlet {
    /// An answer that begins with `first`, and the way for the rest.
    pub(super) async fn open(
        first: Bytes,
        coding: Option<Coding>,
        send_timeout: Duration,
        record: &mut Record,
    ) -> (Answer, Outlet) {
        let mut compressor = coding.map(Compressor::new);
        let first = compressed(first, compressor.as_mut(), false).await;
        let (sender, receiver) = mpsc::channel(PARTS_WAITING);
        let outlet = Outlet { sender, compressor, send_timeout, ending: record.ending() };
        (Answer::streamed(first, receiver), outlet)
    }

    /// The exchange's next part and whether it is the last, unless the client goes away before it comes.
    pub(super) async fn receive(&self, exchange: &mut Exchange) -> Result<(Bytes, bool), &'static str> {
        let part = tokio::select! {
            part = exchange.next() => part,
            () = self.sender.closed() => return Err(GONE),
        };
        match part {
            Ok(Part::More(bytes)) => Ok((bytes, false)),
            Ok(Part::Last(bytes)) => Ok((bytes, true)),
            Err(Broken::Protocol(_)) => Err(UNREADABLE),
            Err(Broken::Hit) => Err("the cancellation of another request hit it"),
            Err(Broken::Lost { .. } | Broken::Unsent { .. } | Broken::Outdated) => {
                Err("PostgreSQL closed the connection")
            }
        }
    }

    /// Gives a part to the client. `hurry` says that other requests wait for the end of this answer.
    pub(super) async fn send(&mut self, bytes: Bytes, last: bool, hurry: bool) -> Result<(), &'static str> {
        let bytes = compressed(bytes, self.compressor.as_mut(), last).await;
        let piece = if last { Piece::Last(bytes) } else { Piece::More(bytes) };
        let timeout = if hurry { self.send_timeout.min(HURRY) } else { self.send_timeout };
        match tokio::time::timeout(timeout, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) if hurry => {
                Err("the client took nothing while other requests waited for the end of the answer")
            }
            Err(_) => Err("the client took nothing for longer than limits.send_timeout"),
        }
    }

    /// Says how it ended. `sent` is what came of sending; `None`: the deadline passed before.
    pub(super) fn end(self, exchange: &Exchange, sent: Option<Result<(), &'static str>>) {
        let cut = sent.unwrap_or(Err("its deadline passed")).err();
        // Set once, here: the answer's end may be looked at as soon as the sender is gone.
        let _ = self.ending.set(Ending { summary: exchange.summary(), cut });
    }
}

/// Says in which coding an answer is, and that it may be in others.
pub(super) fn say_coding(coded: Option<Coding>, compression: &Compression, headers: &mut HeaderMap) {
    if let Some(coding) = coded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if !compression.codings.is_empty() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// An answer that is complete, compressed where it becomes smaller by that, and its coding.
pub(super) async fn whole(
    bytes: Bytes,
    coding: Option<Coding>,
    compression: &Compression,
) -> (Answer, Option<Coding>) {
    let Some(coding) = coding.filter(|_| bytes.len() >= compression.least_bytes) else {
        return (Answer::whole(bytes), None);
    };
    let smaller = compressed(bytes.clone(), Some(&mut Compressor::new(coding)), true).await;
    if smaller.len() < bytes.len() {
        (Answer::whole(smaller), Some(coding))
    } else {
        (Answer::whole(bytes), None)
    }
}

/// A part of an answer in its coding, so that a reader who has it can read all of it.
async fn compressed(bytes: Bytes, compressor: Option<&mut Compressor>, last: bool) -> Bytes {
    let Some(compressor) = compressor else { return bytes };
    for (index, slice) in bytes.chunks(compression::SLICE_BYTES).enumerate() {
        if index > 0 {
            // A part with a large row in it must not keep others from this thread for long.
            tokio::task::yield_now().await;
        }
        compressor.write(slice);
    }
    Bytes::from(if last { compressor.finish() } else { compressor.flush() })
}
