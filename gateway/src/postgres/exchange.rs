//! One request on one connection: a flight out, the answer in parts back, and a reset behind it.
//!
//! PostgreSQL sends the answer off before it looks at the reset, so the client does not wait for it. The connection goes
//! back to its pool with the last part of the answer; whoever uses it next reads the confirmation of the reset first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use onetrip_wire::backend::{ErrorResponse, TransactionStatus, tag};
use onetrip_wire::frame::{self, HEADER_LEN};
use onetrip_wire::{Error, Kind, Limits};

use super::abandoned;
use super::convoy::{self, Baton, Behind, Ride, Turn};
use super::flight::Written;
use super::output::Output;
use super::progress::{Progress, Step, Summary};
use super::refusal;
use super::reset::{self, Before, Reset};
use crate::codec::Pipeline;
use crate::config;
use crate::metrics::DatabaseMetrics;
use crate::pool::Lease;

/// A part of an answer has about this many bytes.
const PART_BYTES: usize = 64 << 10;

/// So much of an answer is kept while other requests wait behind it in the same flight, so that they do not wait for its
/// client.
const KEPT_BYTES: usize = 4 << 20;

/// What the SQLSTATEs begin with that PostgreSQL ends a session with, and poolers do not when they lose one.
const ENDED: &str = "57P";

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
    /// A cancellation that was meant for another request in the flight has hit this one when it was too late to send it
    /// again: it was committed and waited for its synchronous replication, or a part of its answer was given out.
    Hit,
    /// The server sent what is not PostgreSQL's protocol; the text is for the log.
    Protocol(Error),
}

/// What a request is executed with.
pub(crate) struct Order<'a> {
    pub(crate) pipeline: &'a Pipeline,
    /// Frames of a statement that sets what holds for this request, or nothing.
    pub(crate) settings: &'a [u8],
    pub(crate) limits: &'a config::Limits,
    pub(crate) metrics: Arc<DatabaseMetrics>,
}

/// One request on one connection. Dropping it before its end cancels the query.
pub(crate) struct Exchange {
    /// Where the connection is to come from, before it does.
    turn: Option<Turn>,
    lease: Option<Lease>,
    /// Requests that are in the same flight, behind this one.
    behind: Behind,
    /// Whether the reset in front of the request has not been read.
    unsettled: bool,
    /// Whether a request in front of this one in the flight was cancelled.
    cancelled: bool,
    progress: Progress,
    output: Output,
    limits: Limits,
    reset: Reset,
    script: bool,
    /// Whether the last frame ended a statement.
    statement_end: bool,
    /// Whether a part was given out.
    delivered: bool,
    /// Nothing more comes after what is ready.
    end: Option<End>,
    /// How many bytes of rows the answer may have.
    response_limit: u64,
    /// When PostgreSQL could begin with the request.
    since: Instant,
    /// Whether that is when its flight was sent.
    leads: bool,
}

/// How an exchange ends before its answer is complete.
enum End {
    Fatal(ErrorResponse),
    Closed,
    TooLarge,
    /// Whatever it was, it is said.
    Over,
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
    /// Sends a request on the connection of `lease`, and with it requests that wait for one and can go along. With `fresh`
    /// no statement is taken for prepared.
    pub(crate) fn new(mut lease: Lease, order: Order<'_>, fresh: bool) -> Exchange {
        let pipeline = order.pipeline;
        let connection = lease.connection();
        let own = [&pipeline.transaction, order.settings];
        let hidden = own.iter().filter(|frames| !frames.is_empty()).count();
        let frames = match hidden {
            0 => pipeline.frames.clone(),
            _ => Bytes::from([own[0], own[1], &pipeline.frames].concat()),
        };
        let mut bytes = Vec::with_capacity(frames.len() + reset::ROOM_BYTES);
        let written = Written::new(connection, pipeline, &frames, fresh, &mut bytes);
        let aboard = if hidden == 0 && !fresh { convoy::board(&mut lease, pipeline) } else { Vec::new() };
        let before = match pipeline.script {
            true => Before::Script,
            false if !aboard.is_empty() => Before::PreparedAndMore,
            false if written.parses() => Before::Parsing,
            false => Before::Prepared,
        };
        let connection = lease.connection();
        let reset = reset::append(connection, before, &mut bytes);
        let behind = convoy::append(connection, aboard, &order.metrics, &mut bytes);
        connection.send(bytes);
        let progress = Progress::new(frames, written, pipeline.groups, hidden, order.metrics.clone());
        let mut exchange = Exchange::of(&order, progress);
        (exchange.lease, exchange.behind, exchange.reset) = (Some(lease), behind, reset);
        exchange
    }

    /// Goes on with a request that was sent in the flight of another one.
    pub(crate) fn along(ride: Ride, order: Order<'_>) -> Exchange {
        let Ride { turn, written } = ride;
        let frames = order.pipeline.frames.clone();
        let progress =
            Progress::new(frames, written, order.pipeline.groups, 0, order.metrics.clone()).guarded();
        let mut exchange = Exchange::of(&order, progress);
        (exchange.turn, exchange.unsettled, exchange.leads) = (Some(turn), true, false);
        exchange.reset = Reset::Light;
        exchange
    }

    fn of(order: &Order<'_>, progress: Progress) -> Exchange {
        let Order { pipeline, limits, .. } = order;
        Exchange {
            turn: None,
            lease: None,
            behind: Behind::default(),
            unsettled: false,
            cancelled: false,
            progress,
            output: Output::new(pipeline.representation, pipeline.batch),
            limits: Limits::default().frame_bytes(limits.row_bytes),
            reset: Reset::None,
            script: pipeline.script,
            statement_end: false,
            delivered: false,
            end: None,
            response_limit: limits.response_bytes.unwrap_or(u64::MAX),
            since: Instant::now(),
            leads: true,
        }
    }

    /// What the answer has held so far.
    pub(crate) fn summary(&self) -> Summary {
        self.progress.summary().clone()
    }

    /// Whether nothing of the request took effect because a statement of it must not stand behind another one.
    pub(crate) fn was_misplaced(&self) -> bool {
        self.progress.was_misplaced() && !self.delivered
    }

    /// The next part: when about 64 KiB are ready, when PostgreSQL has nothing more to read after a statement's end,
    /// or when the answer is complete. With other requests behind it in the flight it is the whole answer, if that is not
    /// too much to keep.
    pub(crate) async fn next(&mut self) -> Result<Part, Broken> {
        self.come_to_turn().await?;
        loop {
            if self.end.is_none() {
                match self.scan().map_err(|error| self.unreadable(error))? {
                    Scan::Answered => return self.answered().await,
                    Scan::Full => return Ok(Part::More(self.deliver())),
                    Scan::CopyIn => {
                        self.refuse_copy().map_err(|error| self.unreadable(error))?;
                        let last = self.take_all();
                        // The server ends the session: frames of the request are no data to copy.
                        self.lease = None;
                        return Ok(Part::Last(last));
                    }
                    Scan::TooLarge(message) => {
                        self.refuse(&message).map_err(|error| self.unreadable(error))?;
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
                    let last = self.take_all();
                    self.step_aside();
                    return Ok(Part::More(last));
                }
                Some(_) if self.delivered && self.output.len() > 0 => return Ok(Part::More(self.deliver())),
                Some(End::Closed) => return Err(self.broken(None)),
                Some(End::Fatal(error)) => {
                    let sqlstate = Some(error.code().to_owned());
                    return Err(self.broken(sqlstate));
                }
            }
            // Nothing is given out while a statement may still turn out to be outdated, unless it is too much to keep.
            let flush = self.statement_end && !self.holds_back() && self.output.len() > 0;
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
                    self.behind.were_not_begun(None);
                    return Err(Broken::Unsent { sqlstate: None });
                }
                Err(_) => self.end = Some(End::Closed),
            }
        }
    }

    /// Waits until the answers of the requests in front of this one have been read, and reads the reset between.
    async fn come_to_turn(&mut self) -> Result<(), Broken> {
        if let Some(turn) = &mut self.turn {
            let baton = turn.come().await;
            self.turn = None;
            self.since = Instant::now();
            let Baton { lease, behind, cancelled } = baton?;
            (self.lease, self.behind, self.cancelled) = (Some(lease), behind, cancelled);
            if cancelled {
                self.progress.endanger();
            }
        }
        while self.unsettled {
            let passed = reset::pass(self.connection());
            match passed {
                Some(Err(error)) => return Err(self.unreadable(error)),
                Some(Ok(clean)) => {
                    self.unsettled = false;
                    if !clean {
                        self.progress.expect_to_be_held_off();
                    }
                }
                None => match self.connection().read().await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(self.broken(None)),
                },
            }
        }
        Ok(())
    }

    async fn answered(&mut self) -> Result<Part, Broken> {
        let last = self.take_all();
        let progress = &self.progress;
        let broken = if progress.is_unreplicated() || (progress.was_held_off() && self.delivered) {
            Some(Broken::Hit)
        } else if progress.was_held_off() {
            Some(Broken::Unsent { sqlstate: None })
        } else if progress.was_outdated() && !self.delivered {
            Some(Broken::Outdated)
        } else {
            None
        };
        self.release().await;
        match broken {
            Some(broken) => Err(broken),
            None => Ok(Part::Last(last)),
        }
    }

    /// Gives up the connection of an answer that is not complete.
    fn broken(&mut self, sqlstate: Option<String>) -> Broken {
        let is_direct = self.lease.take().is_some_and(|mut lease| lease.connection().is_direct);
        if sqlstate.is_some() {
            self.behind.were_not_begun(sqlstate.as_deref());
        }
        self.behind = Behind::default();
        // PostgreSQL sends its messages in order, so a FATAL before the first ParseComplete says that not even the first
        // statement was parsed. Of a script parts may have been executed and committed without a word. And a pooler that has
        // lost its server says so with a FATAL of its own, whatever the server has done by then.
        let is_postgresqls = is_direct || sqlstate.as_deref().is_some_and(|code| code.starts_with(ENDED));
        if is_postgresqls && sqlstate.is_some() && !self.progress.has_begun() && !self.script {
            Broken::Unsent { sqlstate }
        } else {
            Broken::Lost { sqlstate }
        }
    }

    /// Gives up a connection on which something else than PostgreSQL's protocol is spoken.
    fn unreadable(&mut self, error: Error) -> Broken {
        self.lease = None;
        self.behind = Behind::default();
        Broken::Protocol(error)
    }

    /// Gives the connection back after the answer, or to the next request of the flight. What it still owes is read by
    /// whoever uses it next.
    async fn release(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        let (status, names) = (self.progress.status(), self.progress.changed_names());
        if !self.behind.is_empty() && (status != TransactionStatus::Idle || names) {
            // Nothing of that can come of statements that share a flight. What those behind it saw is not to be trusted.
            tracing::error!("a statement did what its command tag had never said; its connection is closed");
            self.behind = Behind::default();
            return;
        }
        let taken = self.since.elapsed();
        let connection = lease.connection();
        let taken = over_the_way(connection, taken, self.leads);
        self.progress.observe(&mut connection.statements, taken);
        reset::follow_up(connection, self.reset, status, names);
        connection.send_now().await;
        convoy::pass_on(lease, std::mem::take(&mut self.behind), self.cancelled);
    }

    /// Leaves the rest of the answer to be skipped, so that the requests behind it in the flight get theirs.
    fn step_aside(&mut self) {
        if self.behind.is_empty() {
            return;
        }
        let Some(lease) = self.lease.take() else { return };
        let baton = Baton { lease, behind: std::mem::take(&mut self.behind), cancelled: self.cancelled };
        let answers = u32::try_from(self.progress.groups_left()).unwrap_or(u32::MAX);
        tokio::spawn(abandoned::step_aside(baton, self.output.scanned(), answers));
    }

    fn connection(&mut self) -> &mut super::Connection {
        self.lease.as_mut().expect("an exchange that is read has its connection").connection()
    }

    /// Whether nothing may be given out that is not too much to keep.
    fn holds_back(&self) -> bool {
        (self.progress.may_be_again() || !self.behind.is_empty()) && !self.delivered
    }

    /// Whether other requests wait for the end of this answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.behind.is_empty()
    }

    fn deliver(&mut self) -> Bytes {
        self.delivered = true;
        self.with_incoming(Output::take)
    }

    fn take_all(&mut self) -> Bytes {
        self.with_incoming(Output::take_all)
    }

    fn with_incoming<T>(&mut self, work: impl FnOnce(&mut Output, &mut BytesMut) -> T) -> T {
        match &mut self.lease {
            Some(lease) => work(&mut self.output, &mut lease.connection().incoming),
            // Without a connection nothing that was scanned is there any longer.
            None => work(&mut self.output, &mut BytesMut::new()),
        }
    }

    /// Reads the frames that have arrived.
    fn scan(&mut self) -> Result<Scan, Error> {
        let waited_for = !self.behind.is_empty() || self.cancelled;
        let most = if waited_for && !self.delivered { KEPT_BYTES } else { PART_BYTES };
        loop {
            let Some(lease) = &mut self.lease else { return Ok(Scan::Over) };
            let connection = lease.connection();
            let scanned = self.output.scanned();
            let rest = connection.incoming.get(scanned..).unwrap_or_default();
            let header = match frame::peek(rest, &self.limits) {
                Ok(header) => header,
                Err(error) => {
                    let grown = growing(rest).filter(|_| error.kind() == Kind::TooLarge).ok_or(error)?;
                    return Ok(Scan::TooLarge(format!(
                        "{grown} is over the endpoint's limit of {} bytes (limits.row_bytes)",
                        self.limits.frame_bytes
                    )));
                }
            };
            let Some((tag, len)) = header else { return Ok(Scan::NeedMore) };
            if is_row(rest) {
                let row_bytes = u64::try_from(len).unwrap_or(u64::MAX);
                if row_bytes > self.response_limit.saturating_sub(self.progress.row_bytes()) {
                    return Ok(Scan::TooLarge(format!(
                        "the rows of the answer are over the endpoint's limit of {} bytes (limits.response_bytes)",
                        self.response_limit
                    )));
                }
            }
            if rest.len() < len {
                let missing = len - rest.len();
                connection.incoming.reserve(missing.min(PART_BYTES));
                return Ok(Scan::NeedMore);
            }
            if matches!(tag, tag::COPY_IN | tag::COPY_BOTH) {
                return Ok(Scan::CopyIn);
            }
            let body = rest.get(HEADER_LEN..len).unwrap_or_default();
            match self.progress.follow(&mut connection.statements, &connection.traits, tag, body)? {
                Step::Hidden => self.output.skip(len, &mut connection.incoming),
                Step::Fatal(error) => {
                    self.end = Some(End::Fatal(error));
                    self.output.pass(tag, len, &mut connection.incoming)?;
                    return Ok(Scan::Over);
                }
                step => {
                    if matches!(step, Step::ShownBehindParse) {
                        self.output.pass_bytes(PARSE_COMPLETE, &mut connection.incoming)?;
                    }
                    // Not an ErrorResponse, for the ReadyForQuery of its group follows at once.
                    self.statement_end = matches!(tag, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY | tag::READY);
                    self.output.pass(tag, len, &mut connection.incoming)?;
                }
            }
            if self.progress.groups_left() == 0 {
                return Ok(Scan::Answered);
            }
            if self.output.len() >= most {
                return Ok(Scan::Full);
            }
        }
    }

    /// Ends an answer that is over a limit with an error in the place of what is too large.
    fn refuse(&mut self, message: &str) -> Result<(), Error> {
        self.end = Some(End::TooLarge);
        self.progress.refused(refusal::TOO_LARGE);
        let frame = refusal::too_large(message);
        self.with_incoming(|output, incoming| output.pass_bytes(&frame, incoming))
    }

    /// Answers a COPY FROM STDIN, which has no place in a request.
    fn refuse_copy(&mut self) -> Result<(), Error> {
        let frames = refusal::copy(self.progress.groups_left());
        self.with_incoming(|output, incoming| output.pass_bytes(&frames, incoming))
    }
}

impl Drop for Exchange {
    /// A client that went away, or whose deadline has passed, wants no answer.
    fn drop(&mut self) {
        if let Some(mut lease) = self.lease.take()
            && self.end.is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let connection = lease.connection();
            let way = if self.leads { connection.fastest } else { Duration::ZERO };
            let least = self.since.elapsed().saturating_sub(way);
            self.progress.observe_given_up(&mut connection.statements, least);
            let baton = Baton { lease, behind: std::mem::take(&mut self.behind), cancelled: self.cancelled };
            let answers = u32::try_from(self.progress.groups_left()).unwrap_or(u32::MAX);
            let unsettled = u32::from(self.unsettled);
            let (scanned, answers) = (self.output.scanned(), answers.saturating_add(unsettled));
            if baton.behind.is_empty() {
                self.progress.count_cancelled();
                let resets = u32::from(self.reset != Reset::None);
                runtime.spawn(abandoned::recover(baton.lease, scanned, answers.saturating_add(resets)));
            } else {
                runtime.spawn(abandoned::step_aside(baton, scanned, answers));
            }
        }
    }
}

/// How long a request took without the way to PostgreSQL and back. What was sent in the flight of another one has none.
fn over_the_way(connection: &mut super::Connection, taken: Duration, leads: bool) -> Duration {
    if !leads {
        return taken;
    }
    connection.fastest = connection.fastest.min(taken);
    taken.saturating_sub(connection.fastest)
}

/// Whether the frame that starts here is a DataRow or CopyData.
fn is_row(frame: &[u8]) -> bool {
    matches!(frame.first(), Some(&(tag::DATA_ROW | tag::COPY_DATA)))
}

/// What the frame that starts here is, if it is of those that grow with what a request does. The others are small, or not
/// PostgreSQL's.
fn growing(frame: &[u8]) -> Option<&'static str> {
    match *frame.first()? {
        tag::DATA_ROW | tag::COPY_DATA => Some("a row"),
        tag::NOTICE => Some("a notice"),
        tag::ERROR => Some("an error message"),
        tag::ROW_DESCRIPTION => Some("the description of the columns"),
        _ => None,
    }
}
