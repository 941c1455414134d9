//! One request on one connection: a flight out, the answer in parts back, and a reset behind it.
//!
//! PostgreSQL sends the answer off before it looks at the reset, so the client does not wait for it. The connection goes
//! back to its pool with the last part of the answer; whoever uses it next reads the confirmation of the reset first.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use onetrip_wire::backend::{self, ErrorResponse, TransactionStatus, tag};
use onetrip_wire::encoder::Encoder;
use onetrip_wire::frame::{self, Frame, HEADER_LEN};
use onetrip_wire::{Error, Kind, Limits};

use super::abandoned;
use super::flight::{Flight, Sent};
use super::reset::{self, Reset};
use crate::codec::Pipeline;
use crate::config;
use crate::metrics::DatabaseMetrics;
use crate::pool::Lease;

/// A part of an answer has about this many bytes.
const PART_BYTES: usize = 64 << 10;

/// ParseComplete, which the client gets for a statement that was prepared already, too.
const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";

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
    /// A statement that was prepared does not fit the database any longer, so nothing took effect, and nothing was given
    /// out: the request can be sent again, with all its statements parsed anew.
    Outdated,
    /// The server went away; what was executed is unknown.
    Lost { sqlstate: Option<String> },
    /// The server sent what is not PostgreSQL's protocol; the text is for the log.
    Protocol(Error),
}

/// One request on one connection. Dropping it before its end cancels the query.
pub(crate) struct Exchange {
    lease: Option<Lease>,
    output: Output,
    limits: Limits,
    /// The client's frames, in which the keys of statements lie.
    frames: Bytes,
    /// How each statement was sent, where statements are kept.
    statements: Vec<Sent>,
    /// The statement whose answer is being read.
    statement: usize,
    /// How many statements that were prepared have not been bound yet.
    unbound: usize,
    /// Whether the statement that is being read was bound.
    bound: bool,
    /// Whether all statements that ended are of a kind that is undone with its group.
    undone: bool,
    outdated: bool,
    reset: Reset,
    /// Whether the request may have changed names of prepared statements.
    names: bool,
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
    /// Frames as PostgreSQL sent them: these, and behind them the scanned ones at the start of `incoming`.
    Frames(BytesMut),
    Encoded {
        encoder: Box<Encoder>,
        ready: Vec<u8>,
    },
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
    /// Starts `pipeline` on the connection of `lease`, its settings before it where they are given. With `fresh` no
    /// statement is taken for prepared.
    pub(crate) fn new(
        mut lease: Lease,
        pipeline: &Pipeline,
        settings: &[u8],
        limits: &config::Limits,
        metrics: Arc<DatabaseMetrics>,
        fresh: bool,
    ) -> Exchange {
        let connection = lease.connection();
        let own = [&pipeline.transaction, settings];
        let hidden = own.iter().filter(|frames| !frames.is_empty()).count();
        let frames = match hidden {
            0 => pipeline.frames.clone(),
            _ => Bytes::from([own[0], own[1], &pipeline.frames].concat()),
        };
        let flight = Flight::new(connection, pipeline, &frames, fresh);
        connection.send(flight.bytes);
        let unbound = flight.statements.iter().filter(|sent| matches!(sent, Sent::Prepared { .. })).count();
        metrics.statements_prepared.add(u64::try_from(unbound).unwrap_or(0));
        metrics.statements_parsed.add(u64::try_from(flight.statements.len() - unbound).unwrap_or(0));
        Exchange {
            lease: Some(lease),
            output: match &pipeline.representation {
                onetrip_wire::representation::Representation::Frames => Output::Frames(BytesMut::new()),
                other => Output::Encoded {
                    encoder: Box::new(Encoder::new(*other, pipeline.batch)),
                    ready: Vec::new(),
                },
            },
            limits: Limits::default().frame_bytes(limits.row_bytes),
            frames,
            statements: flight.statements,
            statement: 0,
            unbound,
            bound: false,
            undone: true,
            outdated: false,
            reset: flight.reset,
            names: false,
            groups_left: pipeline.groups,
            scanned: 0,
            statement_end: false,
            hidden,
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
                match self.scan().map_err(|error| self.unreadable(error))? {
                    Scan::Answered => {
                        let last = self.take_all();
                        self.release().await;
                        if self.outdated && !self.delivered {
                            return Err(Broken::Outdated);
                        }
                        return Ok(Part::Last(last));
                    }
                    Scan::Full => return Ok(Part::More(self.deliver())),
                    Scan::CopyIn => {
                        self.refuse_copy().map_err(|error| self.unreadable(error))?;
                        let last = self.take_all();
                        // The server ends the session: frames of the request are no data to copy.
                        self.lease = None;
                        return Ok(Part::Last(last));
                    }
                    Scan::TooLarge(message) => {
                        self.refuse_rows(&message).map_err(|error| self.unreadable(error))?;
                    }
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
            // Nothing is given out while a statement may still turn out to be outdated, unless it is too much to keep.
            let flush = self.statement_end && self.unbound == 0 && self.ready_len() > 0;
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

    /// Gives up a connection on which something else than PostgreSQL's protocol is spoken.
    fn unreadable(&mut self, error: Error) -> Broken {
        self.lease = None;
        Broken::Protocol(error)
    }

    /// Gives the connection back after the answer. What it still owes is read by whoever uses it next.
    async fn release(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let connection = lease.connection();
        reset::follow_up(connection, self.reset, self.status, self.names);
        connection.send_now().await;
        lease.release();
    }

    fn connection(&mut self) -> &mut super::Connection {
        self.lease.as_mut().expect("an exchange that is read has its connection").connection()
    }

    fn ready_len(&self) -> usize {
        match &self.output {
            Output::Frames(ready) => ready.len() + self.scanned,
            Output::Encoded { ready, .. } => ready.len(),
        }
    }

    fn deliver(&mut self) -> Bytes {
        self.delivered = true;
        self.take()
    }

    /// What is ready.
    fn take(&mut self) -> Bytes {
        self.gather();
        match &mut self.output {
            Output::Encoded { ready, .. } => Bytes::from(std::mem::take(ready)),
            Output::Frames(ready) => std::mem::take(ready).freeze(),
        }
    }

    /// Moves the scanned frames to those that are ready.
    fn gather(&mut self) {
        let Output::Frames(ready) = &mut self.output else { return };
        let scanned = std::mem::take(&mut self.scanned);
        if scanned == 0 {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        let frames = lease.connection().incoming.split_to(scanned);
        if ready.is_empty() {
            *ready = frames;
        } else {
            // No copy where one follows the other in memory.
            ready.unsplit(frames);
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
        let result = loop {
            let Some(lease) = &mut self.lease else { return Ok(Scan::Over) };
            let incoming = &mut lease.connection().incoming;
            let rest = incoming.get(self.scanned..).unwrap_or_default();
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
            if is_row(rest) {
                let row_bytes = u64::try_from(len).unwrap_or(u64::MAX);
                if row_bytes > self.response_limit.saturating_sub(self.row_bytes) {
                    break Scan::TooLarge(format!(
                        "the rows of the answer are over the endpoint's limit of {} bytes (limits.response_bytes)",
                        self.response_limit
                    ));
                }
            }
            if rest.len() < len {
                let missing = len - rest.len();
                incoming.reserve(missing.min(PART_BYTES));
                break Scan::NeedMore;
            }
            match tag {
                tag::COPY_IN | tag::COPY_BOTH => break Scan::CopyIn,
                _ => {}
            }
            let hidden = is_hidden(tag, self.hidden > 0);
            self.follow(tag, len)?;
            if hidden {
                self.gather();
                self.connection().incoming.advance(len);
                continue;
            }
            // Not an ErrorResponse, for the ReadyForQuery of its group follows at once.
            self.statement_end = matches!(tag, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY | tag::READY);
            self.pass(tag, len)?;
            if self.groups_left == 0 {
                break Scan::Answered;
            }
            if self.end.is_some() {
                break Scan::Over;
            }
            if self.ready_len() >= PART_BYTES {
                break Scan::Full;
            }
        };
        Ok(result)
    }

    /// Ends an answer whose rows are over a limit with an error in the place of the row.
    fn refuse_rows(&mut self, message: &str) -> Result<(), Error> {
        self.end = Some(End::TooLarge);
        self.summary.sqlstate.get_or_insert_with(|| "54000".to_owned());
        let hint = "Ask for less: fewer rows with LIMIT, or less of a value with substring().";
        self.pass_bytes(&error_frame("54000", message, hint))
    }

    /// Draws conclusions from the next frame, which is whole.
    fn follow(&mut self, tag: u8, len: usize) -> Result<(), Error> {
        let scanned = self.scanned;
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let connection = lease.connection();
        let whole = connection.incoming.get(scanned..scanned + len).unwrap_or_default();
        let body = whole.get(HEADER_LEN..).unwrap_or_default();
        match tag {
            tag::READY => {
                self.status = TransactionStatus::parse(body)?;
                self.groups_left = self.groups_left.saturating_sub(1);
            }
            tag::DATA_ROW | tag::COPY_DATA if self.hidden == 0 => {
                self.summary.rows += 1;
                self.row_bytes += u64::try_from(len).unwrap_or(u64::MAX);
            }
            tag::PARSE_COMPLETE => {
                if let Some(Sent::Parsed { key, number }) = self.statements.get(self.statement) {
                    let key = self.frames.get(key.clone()).unwrap_or_default();
                    connection.statements.insert(key, *number);
                }
            }
            tag::BIND_COMPLETE => {
                self.bound = true;
                if matches!(self.statements.get(self.statement), Some(Sent::Prepared { .. })) {
                    self.unbound = self.unbound.saturating_sub(1);
                    if self.hidden == 0 {
                        self.pass_bytes(PARSE_COMPLETE)?;
                    }
                }
            }
            tag::COMMAND_COMPLETE | tag::EMPTY_QUERY => {
                self.names |= reset::changes_names(body);
                self.undone &= is_undone(body);
                self.statement += 1;
                self.bound = false;
                self.hidden = self.hidden.saturating_sub(1);
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
                } else {
                    self.failed(error.code());
                }
            }
            _ => {}
        }
        self.begun |= !matches!(tag, tag::ERROR | tag::NOTICE | tag::PARAMETER_STATUS | tag::NOTIFICATION);
        Ok(())
    }

    /// A statement failed. Where it was taken for prepared and could not even be bound, its plan or the types of its
    /// parameters may be those of a table that looks different now, or it may not be there at all; PostgreSQL says so in
    /// many ways. Then it is parsed anew the next time: at once, if nothing else speaks against it.
    fn failed(&mut self, sqlstate: &str) {
        let Some(Sent::Prepared { key }) = self.statements.get(self.statement) else { return };
        let may_be_outdated =
            matches!(sqlstate, "26000" | "0A000") || sqlstate.starts_with("22") || sqlstate.starts_with("42");
        if self.bound || !may_be_outdated {
            return;
        }
        let key = self.frames.get(key.clone()).unwrap_or_default();
        let Some(lease) = &mut self.lease else { return };
        let connection = lease.connection();
        connection.statements.evict(key);
        self.metrics.statements_outdated.add(1);
        if sqlstate == "26000" {
            connection.traits().suspect_pooler();
        }
        self.outdated = self.undone && !self.delivered;
    }

    /// Puts the next frame, which is whole, into the answer.
    fn pass(&mut self, tag: u8, len: usize) -> Result<(), Error> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        match &mut self.output {
            Output::Frames(_) => self.scanned += len,
            Output::Encoded { encoder, ready } => {
                let incoming = &mut lease.connection().incoming;
                let body = incoming.get(HEADER_LEN..len).unwrap_or_default();
                encoder.frame(Frame { tag, body }, ready)?;
                incoming.advance(len);
            }
        }
        Ok(())
    }

    /// Puts frames of the endpoint's own into the answer.
    fn pass_bytes(&mut self, frames: &[u8]) -> Result<(), Error> {
        self.gather();
        match &mut self.output {
            Output::Frames(ready) => ready.extend_from_slice(frames),
            Output::Encoded { encoder, ready } => {
                encoder.frames(frames, &Limits::default(), ready)?;
            }
        }
        Ok(())
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
        let mut frames = [refused, ready.clone()].concat();
        for _ in 1..self.groups_left {
            frames.extend([skipped.clone(), ready.clone()].concat());
        }
        self.pass_bytes(&frames)
    }
}

impl Drop for Exchange {
    /// A client that went away, or whose deadline has passed, wants no answer.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.end.is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.metrics.cancelled.add(1);
            let answers = u32::try_from(self.groups_left).unwrap_or(u32::MAX);
            let resets = u32::from(self.reset != Reset::None);
            runtime.spawn(abandoned::recover(lease, self.scanned, answers.saturating_add(resets)));
        }
    }
}

/// Whether what a command of this tag did is undone when its group fails.
fn is_undone(command_tag: &[u8]) -> bool {
    let word = command_tag.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    matches!(
        word,
        b"" | b"SELECT"
            | b"INSERT"
            | b"UPDATE"
            | b"DELETE"
            | b"MERGE"
            | b"BEGIN"
            | b"START"
            | b"SET"
            | b"SHOW"
            | b"SAVEPOINT"
            | b"LOCK"
    )
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
