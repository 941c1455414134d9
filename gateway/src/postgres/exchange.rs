//! One request on one connection: a flight out, the answer in parts back, and a reset behind it.
//!
//! The flight is the client's frames and, in the same write, a reset of the session (`DISCARD ALL`). PostgreSQL sends
//! the answer off before it looks at the reset, so the client does not wait for it; the connection goes back to its
//! pool when the reset has been confirmed.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use onetrip_wire::backend::{self, ErrorResponse, TransactionStatus, tag};
use onetrip_wire::encoder::Encoder;
use onetrip_wire::frame::{self, HEADER_LEN};
use onetrip_wire::{Error, Kind, Limits};

use super::reset;
use crate::codec::Pipeline;
use crate::config;
use crate::metrics::DatabaseMetrics;
use crate::pool::Lease;

/// A part of an answer has about this many bytes.
const PART_BYTES: usize = 64 << 10;

/// A part of an answer.
pub(crate) enum Part {
    /// More follows.
    More(Bytes),
    /// The answer is complete.
    Last(Bytes),
}

/// Why an answer is not complete.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing was executed: the request can be sent again.
    Unsent { sqlstate: Option<String> },
    /// The server went away; what was executed is unknown.
    Lost { sqlstate: Option<String> },
    /// The server sent what is not PostgreSQL's protocol; the text is for the log.
    Protocol(Error),
}

/// One request on one connection. Dropping it before its end cancels the query and closes the connection.
pub(crate) struct Exchange {
    lease: Option<Lease>,
    output: Output,
    limits: Limits,
    /// ReadyForQuery frames that are still to come.
    groups_left: usize,
    /// Frames at the start of `incoming` that are read and not taken out, in the representation of frames.
    scanned: usize,
    /// Whether the last frame ended a statement.
    statement_end: bool,
    /// Statements of the endpoint's own at the start whose answers are not shown.
    hidden: usize,
    /// Whether PostgreSQL has begun to answer.
    begun: bool,
    /// Whether a part was given out.
    delivered: bool,
    script: bool,
    /// The last group's transaction status.
    status: TransactionStatus,
    /// Nothing more comes after what is ready.
    end: Option<End>,
    /// How many bytes of rows the answer may have, and how many it has.
    response_limit: u64,
    row_bytes: u64,
    metrics: Arc<DatabaseMetrics>,
    summary: Summary,
}

/// What an answer has held so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    /// The SQLSTATE of the first error.
    pub(crate) sqlstate: Option<String>,
}

/// How an exchange ends before its answer is complete.
enum End {
    Fatal(ErrorResponse),
    Closed,
    TooLarge,
    /// Whatever it was, it is said.
    Over,
}

enum Output {
    Frames,
    Encoded { encoder: Box<Encoder>, ready: Vec<u8> },
}

/// What reading frames has come to.
enum Scan {
    NeedMore,
    Full,
    Answered,
    CopyIn,
    TooLarge(String),
    Over,
}

impl Exchange {
    /// Starts `pipeline` on the connection of `lease`, its settings before it where they are given.
    pub(crate) fn new(
        mut lease: Lease,
        pipeline: &Pipeline,
        settings: &[u8],
        limits: &config::Limits,
        metrics: Arc<DatabaseMetrics>,
    ) -> Exchange {
        let own = [&pipeline.transaction, settings];
        let len = own.iter().map(|frames| frames.len()).sum::<usize>();
        let mut flight = Vec::with_capacity(len + pipeline.frames.len() + reset::FRAMES.len());
        own.iter().for_each(|frames| flight.extend_from_slice(frames));
        flight.extend_from_slice(&pipeline.frames);
        flight.extend_from_slice(reset::FRAMES);
        lease.connection().send(flight);
        Exchange {
            lease: Some(lease),
            output: match &pipeline.representation {
                onetrip_wire::representation::Representation::Frames => Output::Frames,
                other => Output::Encoded {
                    encoder: Box::new(Encoder::new(*other, pipeline.batch)),
                    ready: Vec::new(),
                },
            },
            limits: Limits::default().frame_bytes(limits.row_bytes),
            groups_left: pipeline.groups,
            scanned: 0,
            statement_end: false,
            hidden: own.iter().filter(|frames| !frames.is_empty()).count(),
            begun: false,
            delivered: false,
            script: pipeline.script,
            status: TransactionStatus::Idle,
            end: None,
            response_limit: limits.response_bytes.unwrap_or(u64::MAX),
            row_bytes: 0,
            metrics,
            summary: Summary::default(),
        }
    }

    /// What the answer has held so far.
    pub(crate) fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// The next part: when about 64 KiB are ready, when PostgreSQL has nothing more to read after a statement's end,
    /// or when the answer is complete.
    pub(crate) async fn next(&mut self) -> Result<Part, Broken> {
        loop {
            if self.end.is_none() {
                match self.scan().map_err(Broken::Protocol)? {
                    Scan::Answered => {
                        self.delivered = true;
                        if let Some(lease) = &mut self.lease {
                            lease.announce();
                        }
                        return Ok(Part::Last(self.take_all()));
                    }
                    Scan::Full => return Ok(Part::More(self.deliver())),
                    Scan::CopyIn => {
                        self.refuse_copy().map_err(Broken::Protocol)?;
                        let last = self.take_all();
                        // The server ends the session: frames of the request are no data to copy.
                        self.lease = None;
                        return Ok(Part::Last(last));
                    }
                    Scan::TooLarge(message) => self.refuse_rows(&message).map_err(Broken::Protocol)?,
                    Scan::NeedMore | Scan::Over => {}
                }
            }
            match &self.end {
                None => {}
                Some(End::Over) => return Err(self.broken(None)),
                // What the encoder holds back to the end has the error in it.
                Some(End::TooLarge) => {
                    self.end = Some(End::Over);
                    self.delivered = true;
                    return Ok(Part::More(self.take_all()));
                }
                Some(_) if self.delivered && self.ready_len() > 0 => return Ok(Part::More(self.deliver())),
                Some(End::Closed) => return Err(self.broken(None)),
                Some(End::Fatal(error)) => {
                    let sqlstate = Some(error.code().to_owned());
                    return Err(self.broken(sqlstate));
                }
            }
            let flush = self.statement_end && self.ready_len() > 0;
            let connection = self.connection();
            let read = if flush {
                match connection.read_now().await {
                    Some(read) => read,
                    None => return Ok(Part::More(self.deliver())),
                }
            } else {
                connection.read().await
            };
            match read {
                Ok(0) => self.end = Some(End::Closed),
                Ok(_) => {}
                Err(_) if self.connection().sent() == 0 => {
                    self.lease = None;
                    return Err(Broken::Unsent { sqlstate: None });
                }
                Err(_) => self.end = Some(End::Closed),
            }
        }
    }

    /// Gives up the connection of an answer that is not complete.
    fn broken(&mut self, sqlstate: Option<String>) -> Broken {
        self.lease = None;
        // PostgreSQL sends its messages in order, so a FATAL before the first ParseComplete says that not even the first
        // statement was parsed. Of a script parts may have been executed and committed without a word.
        if sqlstate.is_some() && !self.begun && !self.script {
            Broken::Unsent { sqlstate }
        } else {
            Broken::Lost { sqlstate }
        }
    }

    /// Waits for the reset behind the answer and gives the connection back, or closes it.
    pub(crate) async fn finish(mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        if reset::confirm(lease.connection(), self.status, &self.limits).await {
            lease.release();
        } else {
            tracing::debug!("a connection was closed because its session could not be reset");
        }
    }

    fn connection(&mut self) -> &mut super::Connection {
        self.lease.as_mut().expect("an exchange that is read has its connection").connection()
    }

    fn ready_len(&self) -> usize {
        match &self.output {
            Output::Frames => self.scanned,
            Output::Encoded { ready, .. } => ready.len(),
        }
    }

    fn deliver(&mut self) -> Bytes {
        self.delivered = true;
        self.take()
    }

    /// What is ready.
    fn take(&mut self) -> Bytes {
        match &mut self.output {
            Output::Encoded { ready, .. } => Bytes::from(std::mem::take(ready)),
            Output::Frames => {
                let scanned = std::mem::take(&mut self.scanned);
                self.connection().incoming.split_to(scanned).freeze()
            }
        }
    }

    /// What is ready and what the encoder holds back to the end.
    fn take_all(&mut self) -> Bytes {
        if let Output::Encoded { encoder, ready } = &mut self.output {
            encoder.finish(ready);
        }
        self.take()
    }

    /// Reads the frames that have arrived.
    fn scan(&mut self) -> Result<Scan, Error> {
        let Some(lease) = &mut self.lease else { return Ok(Scan::Over) };
        let incoming = &mut lease.connection().incoming;
        let mut at = match self.output {
            Output::Frames => self.scanned,
            Output::Encoded { .. } => 0,
        };
        let result = loop {
            let rest = incoming.get(at..).unwrap_or_default();
            let header = match frame::peek(rest, &self.limits) {
                Ok(header) => header,
                Err(error) if error.kind() == Kind::TooLarge && is_row(rest) => {
                    break Scan::TooLarge(format!(
                        "a row is over the endpoint's limit of {} bytes (limits.row_bytes)",
                        self.limits.frame_bytes
                    ));
                }
                Err(error) => return Err(error),
            };
            let Some((tag, len)) = header else { break Scan::NeedMore };
            let row_bytes = if is_row(rest) { u64::try_from(len).unwrap_or(u64::MAX) } else { 0 };
            if row_bytes > self.response_limit.saturating_sub(self.row_bytes) {
                break Scan::TooLarge(format!(
                    "the rows of the answer are over the endpoint's limit of {} bytes (limits.response_bytes)",
                    self.response_limit
                ));
            }
            let Some(whole) = rest.get(..len) else {
                let missing = len - rest.len();
                incoming.reserve(missing.min(PART_BYTES));
                break Scan::NeedMore;
            };
            let body = whole.get(HEADER_LEN..).unwrap_or_default();
            match tag {
                tag if is_hidden(tag, self.hidden > 0) => {
                    if tag == tag::COMMAND_COMPLETE {
                        self.hidden -= 1;
                    }
                    let mut rest = incoming.split_off(at);
                    rest.advance(len);
                    incoming.unsplit(rest);
                    continue;
                }
                tag::COPY_IN | tag::COPY_BOTH => break Scan::CopyIn,
                tag::READY => {
                    self.status = TransactionStatus::parse(body)?;
                    self.groups_left = self.groups_left.saturating_sub(1);
                }
                tag::DATA_ROW | tag::COPY_DATA => {
                    self.summary.rows += 1;
                    self.row_bytes += row_bytes;
                }
                tag::ERROR => {
                    // Lossy, for the request may have changed client_encoding.
                    let error = ErrorResponse::parse(String::from_utf8_lossy(body).as_bytes())?;
                    self.metrics.sql_error(error.code());
                    if self.summary.sqlstate.is_none() {
                        self.summary.sqlstate = Some(error.code().to_owned());
                    }
                    if matches!(error.severity(), "FATAL" | "PANIC") {
                        self.end = Some(End::Fatal(error));
                    }
                }
                _ => {}
            }
            self.begun |= !matches!(tag, tag::ERROR | tag::NOTICE);
            // Not an ErrorResponse, for the ReadyForQuery of its group follows at once.
            self.statement_end = matches!(tag, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY | tag::READY);
            let ready = match &mut self.output {
                Output::Frames => at + len,
                Output::Encoded { encoder, ready } => {
                    encoder.frame(frame::Frame { tag, body }, ready)?;
                    ready.len()
                }
            };
            at += len;
            if self.groups_left == 0 {
                break Scan::Answered;
            }
            if self.end.is_some() {
                break Scan::Over;
            }
            if ready >= PART_BYTES {
                break Scan::Full;
            }
        };
        match &self.output {
            Output::Frames => self.scanned = at,
            Output::Encoded { .. } => incoming.advance(at),
        }
        Ok(result)
    }

    /// Ends an answer whose rows are over a limit with an error in the place of the row.
    fn refuse_rows(&mut self, message: &str) -> Result<(), Error> {
        self.end = Some(End::TooLarge);
        self.summary.sqlstate.get_or_insert_with(|| "54000".to_owned());
        let hint = "Ask for less: fewer rows with LIMIT, or less of a value with substring().";
        self.say(&[error_frame("54000", message, hint)])
    }

    /// Answers a COPY FROM STDIN, which has no place in a request: its own group and all later ones fail. That is
    /// what happens on the server, too, for it meets the next frame of the flight, if only that of the reset, and
    /// gives up the session.
    fn refuse_copy(&mut self) -> Result<(), Error> {
        let refused = error_frame(
            "0A000",
            "COPY FROM STDIN is not possible in a request",
            "Use INSERT … SELECT FROM unnest($1, $2) to bring many rows in one statement.",
        );
        let skipped = error_frame(
            "0A000",
            "not executed, because COPY FROM STDIN in an earlier transaction of the request ended the session",
            "Send this transaction again without the one that holds COPY FROM STDIN.",
        );
        let ready = b"Z\0\0\0\x05I".to_vec();
        let mut frames = vec![refused, ready.clone()];
        for _ in 1..self.groups_left {
            frames.extend([skipped.clone(), ready.clone()]);
        }
        self.say(&frames)
    }

    /// Adds frames of the endpoint's own to what is ready.
    fn say(&mut self, frames: &[Vec<u8>]) -> Result<(), Error> {
        let connection =
            self.lease.as_mut().expect("an exchange that is read has its connection").connection();
        match &mut self.output {
            Output::Frames => {
                connection.incoming.truncate(self.scanned);
                for frame in frames {
                    connection.incoming.extend_from_slice(frame);
                }
                self.scanned = connection.incoming.len();
            }
            Output::Encoded { encoder, ready } => {
                for frame in frames {
                    encoder.frames(frame, &Limits::default(), ready)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Exchange {
    /// A client that went away wants no answer: the query is cancelled and the connection closed.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(lease.cancel());
        }
    }
}

/// Whether a frame is not the client's: it belongs to a statement of the endpoint's own, or to no request.
fn is_hidden(tag: u8, own_statement: bool) -> bool {
    match tag {
        tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::BACKEND_KEY => true,
        tag::ERROR | tag::READY => false,
        _ => own_statement,
    }
}

/// Whether the frame that starts here is a DataRow or CopyData: the only ones that grow with the data.
fn is_row(frame: &[u8]) -> bool {
    matches!(frame.first(), Some(&(tag::DATA_ROW | tag::COPY_DATA)))
}

fn error_frame(sqlstate: &str, message: &str, hint: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    backend::write_error(&mut frame, sqlstate, message, Some(hint));
    frame
}
