//! How far an answer has come, and what its frames have told: about the statements that were sent, the transaction they
//! ran in, and whether the request may be sent again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::Error;
use onetrip_wire::backend::{ErrorResponse, TransactionStatus, tag};
use onetrip_wire::frame::HEADER_LEN;

use super::flight::{Sent, Written};
use super::reset;
use super::statements::Statements;
use super::traits::Traits;
use crate::metrics::DatabaseMetrics;

/// What an answer has held so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    /// The SQLSTATE of the first error.
    pub(crate) sqlstate: Option<String>,
}

/// What the next frame means for the answer.
pub(super) enum Step {
    /// It belongs to the answer.
    Shown,
    /// It does, and the client must see a ParseComplete first, for a statement that was prepared already.
    ShownBehindParse,
    /// It is not the client's.
    Hidden,
    /// It ends the session.
    Fatal(ErrorResponse),
}

/// How far an answer has come.
pub(super) struct Progress {
    /// The client's frames, in which the keys of statements lie.
    frames: Bytes,
    written: Written,
    /// The statement whose answer is being read, and the group that it stands in.
    statement: usize,
    group: usize,
    /// How many statements that were prepared have not been bound yet.
    unbound: usize,
    /// Whether the statement that is being read was bound.
    bound: bool,
    /// ReadyForQuery frames that are still to come.
    groups_left: usize,
    /// Statements of the endpoint's own at the start whose answers are not shown.
    hidden: usize,
    /// Whether the guard in front has not answered yet.
    guarded: bool,
    /// Whether the session was not reset in front of it.
    unclean: bool,
    /// Whether the guard has kept all of it from running.
    held_off: bool,
    /// Whether a request in front of this one in its flight was cancelled, which may have hit this one.
    endangered: bool,
    /// Whether it was hit, so that nothing of it took effect.
    struck: bool,
    /// Whether it was hit when it had committed and waited for its synchronous replication.
    unreplicated: bool,
    /// Whether all statements of the group that ended are of a kind that is undone with it, whether it has failed, and
    /// whether an earlier one may have had an effect.
    undone: bool,
    failed: bool,
    effective: bool,
    /// Whether a statement that was prepared did not fit the database.
    outdated: bool,
    /// Whether a statement was refused because it stands behind another one in its transaction.
    misplaced: bool,
    /// Whether the request may have changed names of prepared statements, and whether all its tags are plain ones.
    names: bool,
    plain: bool,
    /// Whether PostgreSQL has begun to answer.
    begun: bool,
    /// The last group's transaction status.
    status: TransactionStatus,
    row_bytes: u64,
    metrics: Arc<DatabaseMetrics>,
    summary: Summary,
}

impl Progress {
    /// Of a request in `frames` that was written so, with so many groups and so many statements of the endpoint's own in
    /// front.
    pub(super) fn new(
        frames: Bytes,
        written: Written,
        groups: usize,
        hidden: usize,
        metrics: Arc<DatabaseMetrics>,
    ) -> Progress {
        let unbound = written.prepared_count();
        metrics.statements_prepared.add(u64::try_from(unbound).unwrap_or(0));
        metrics.statements_parsed.add(u64::try_from(written.statements.len() - unbound).unwrap_or(0));
        Progress {
            frames,
            written,
            statement: 0,
            group: 0,
            unbound,
            bound: false,
            groups_left: groups,
            hidden,
            guarded: false,
            unclean: false,
            held_off: false,
            endangered: false,
            struck: false,
            unreplicated: false,
            undone: true,
            failed: false,
            effective: false,
            outdated: false,
            misplaced: false,
            names: false,
            plain: true,
            begun: false,
            status: TransactionStatus::Idle,
            row_bytes: 0,
            metrics,
            summary: Summary::default(),
        }
    }

    /// The same behind a guard.
    pub(super) fn guarded(mut self) -> Progress {
        self.guarded = true;
        self
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn groups_left(&self) -> usize {
        self.groups_left
    }

    pub(super) fn status(&self) -> TransactionStatus {
        self.status
    }

    pub(super) fn changed_names(&self) -> bool {
        self.names
    }

    pub(super) fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Whether PostgreSQL has begun to execute it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether it may still turn out that the request has to be sent again.
    pub(super) fn may_be_again(&self) -> bool {
        self.unbound > 0 || self.guarded || self.endangered
    }

    /// Whether the request is sure not to have run, and why does not matter.
    pub(super) fn was_held_off(&self) -> bool {
        self.held_off || (self.struck && !self.effective)
    }

    /// Whether it took effect and does not wait any longer for its synchronous replication, although nobody asked for that.
    pub(super) fn is_unreplicated(&self) -> bool {
        self.unreplicated
    }

    /// Whether nothing of it took effect because a statement was outdated.
    pub(super) fn was_outdated(&self) -> bool {
        self.outdated && !self.effective
    }

    /// Whether nothing of it took effect because a statement must not stand behind another one.
    pub(super) fn was_misplaced(&self) -> bool {
        self.misplaced && !self.effective
    }

    /// Takes note that a request in front of this one was cancelled.
    pub(super) fn endanger(&mut self) {
        self.endangered = true;
    }

    /// Takes note that the reset in front of it did not come through, so that its guard has to hold it off.
    pub(super) fn expect_to_be_held_off(&mut self) {
        self.unclean = true;
    }

    pub(super) fn count_cancelled(&self) {
        self.metrics.cancelled.add(1);
    }

    /// Takes note of an error that the endpoint itself puts into the answer.
    pub(super) fn refused(&mut self, sqlstate: &str) {
        self.summary.sqlstate.get_or_insert_with(|| sqlstate.to_owned());
    }

    /// Draws conclusions from the next frame, which is whole.
    pub(super) fn follow(
        &mut self,
        statements: &mut Statements,
        traits: &Traits,
        tag: u8,
        body: &[u8],
    ) -> Result<Step, Error> {
        if self.guarded {
            match tag {
                tag::PARAMETER_DESCRIPTION => return Ok(Step::Hidden),
                tag::NO_DATA if self.unclean => {
                    return Err(Error::malformed(
                        0,
                        "a guard let a request run in a session that was not reset",
                    ));
                }
                tag::NO_DATA => {
                    self.guarded = false;
                    return Ok(Step::Hidden);
                }
                tag::READY if self.held_off => {
                    self.groups_left = 0;
                    return Ok(Step::Hidden);
                }
                tag::ERROR => {
                    let error = ErrorResponse::parse(String::from_utf8_lossy(body).as_bytes())?;
                    if matches!(error.severity(), "FATAL" | "PANIC") {
                        return Ok(Step::Fatal(error));
                    }
                    self.held_off = true;
                    return Ok(Step::Hidden);
                }
                _ => {}
            }
        }
        let hidden = is_hidden(tag, self.hidden > 0);
        let mut step = if hidden { Step::Hidden } else { Step::Shown };
        match tag {
            tag::READY => {
                self.status = TransactionStatus::parse(body)?;
                self.groups_left = self.groups_left.saturating_sub(1);
                self.group_ended();
            }
            tag::DATA_ROW | tag::COPY_DATA if self.hidden == 0 => {
                self.summary.rows += 1;
                self.row_bytes += u64::try_from(HEADER_LEN + body.len()).unwrap_or(u64::MAX);
            }
            tag::PARSE_COMPLETE => {
                if let Some(Sent::Parsed { key, number }) = self.written.statements.get(self.statement) {
                    let key = self.frames.get(key.clone()).unwrap_or_default();
                    statements.insert(key, *number);
                }
            }
            tag::BIND_COMPLETE => {
                self.bound = true;
                if matches!(self.written.statements.get(self.statement), Some(Sent::Prepared { .. })) {
                    self.unbound = self.unbound.saturating_sub(1);
                    if self.hidden == 0 {
                        step = Step::ShownBehindParse;
                    }
                }
            }
            tag::COMMAND_COMPLETE | tag::EMPTY_QUERY => {
                self.names |= reset::changes_names(body);
                self.plain &= reset::is_plain(body);
                self.undone &= is_undone(body);
                self.statement += 1;
                self.bound = false;
                self.hidden = self.hidden.saturating_sub(1);
            }
            tag::NOTICE if self.endangered => {
                let notice = ErrorResponse::parse(String::from_utf8_lossy(body).as_bytes());
                self.unreplicated |=
                    notice.is_ok_and(|notice| notice.routine() == Some(WAIT_FOR_REPLICATION));
            }
            tag::ERROR => {
                // Lossy, for the request may have changed client_encoding.
                let error = ErrorResponse::parse(String::from_utf8_lossy(body).as_bytes())?;
                if self.endangered && error.code() == CANCELLED && self.undone {
                    // Another one's.
                    (self.failed, self.struck) = (true, true);
                    return Ok(Step::Hidden);
                }
                self.metrics.sql_error(error.code());
                self.refused(error.code());
                if matches!(error.severity(), "FATAL" | "PANIC") {
                    step = Step::Fatal(error);
                } else {
                    self.failed = true;
                    // Code that raises the same may have committed before.
                    self.misplaced |=
                        error.code() == ACTIVE_TRANSACTION && error.context().is_none() && self.undone;
                    self.fail(statements, traits, error.code());
                }
            }
            _ => {}
        }
        // What is closed in front of a request is none of it.
        self.begun |= !matches!(
            tag,
            tag::ERROR | tag::NOTICE | tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::CLOSE_COMPLETE
        );
        Ok(step)
    }

    /// Learns what the statements are like, now that the answer is complete: how long it took, over what the way takes.
    pub(super) fn observe(&self, statements: &mut Statements, taken: Duration) {
        let plain = self.plain && self.summary.sqlstate.is_none() && self.status == TransactionStatus::Idle;
        for key in self.written.statements.iter().filter_map(Sent::key) {
            let key = self.frames.get(key).unwrap_or_default();
            statements.observe(key, taken, self.row_bytes, plain);
        }
    }

    /// Learns how long the statements take at least, of a request that was given up.
    pub(super) fn observe_given_up(&self, statements: &mut Statements, least: Duration) {
        for key in self.written.statements.iter().filter_map(Sent::key) {
            statements.outlasted(self.frames.get(key).unwrap_or_default(), least);
        }
    }

    /// What is left of a group that failed has no answers.
    fn group_ended(&mut self) {
        let end = self.written.group_ends.get(self.group).copied();
        if let Some(end) = end {
            let skipped =
                self.written.statements.get(self.statement.saturating_add(usize::from(self.bound))..end);
            let unbound =
                skipped.unwrap_or_default().iter().filter(|sent| matches!(sent, Sent::Prepared { .. }));
            self.unbound = self.unbound.saturating_sub(unbound.count());
            self.statement = end;
        }
        self.group += 1;
        self.effective |= !(self.failed && self.undone);
        (self.failed, self.undone, self.bound) = (false, true, false);
    }

    /// A statement failed. Where it was taken for prepared and could not even be bound, its plan or the types of its
    /// parameters may be those of a table that looks different now, or it may not be there at all; PostgreSQL says so in
    /// many ways. Then it is parsed anew the next time: at once, if nothing else speaks against it.
    fn fail(&mut self, statements: &mut Statements, traits: &Traits, sqlstate: &str) {
        let Some(Sent::Prepared { key }) = self.written.statements.get(self.statement) else { return };
        let may_be_outdated = matches!(sqlstate, "26000" | "0A000" | "XX000")
            || sqlstate.starts_with("22")
            || sqlstate.starts_with("42");
        if self.bound || !may_be_outdated {
            return;
        }
        let key = self.frames.get(key.clone()).unwrap_or_default();
        statements.evict(key);
        self.metrics.statements_outdated.add(1);
        if sqlstate == "26000" {
            traits.suspect_pooler();
        }
        self.outdated |= self.undone;
    }
}

/// The SQLSTATE of a query that was cancelled.
const CANCELLED: &str = "57014";

/// What of PostgreSQL warns that a commit that is told to do so does not wait any longer for a standby. The text of the
/// message may be translated, and its SQLSTATE is that of any warning.
const WAIT_FOR_REPLICATION: &str = "SyncRepWaitForLSN";

/// The SQLSTATE of a statement that must not stand behind another one in its transaction, such as VACUUM.
const ACTIVE_TRANSACTION: &str = "25001";

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

/// Whether a frame is not the client's: it belongs to a statement of the endpoint's own, to what it closes, or to no
/// request.
fn is_hidden(tag: u8, own_statement: bool) -> bool {
    match tag {
        tag::PARAMETER_STATUS | tag::NOTIFICATION | tag::BACKEND_KEY | tag::CLOSE_COMPLETE => true,
        tag::ERROR | tag::READY => false,
        _ => own_statement,
    }
}
