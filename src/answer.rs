//! From the bytes of an answer to the results of its statements.

use std::sync::Arc;

use bytes::Bytes;
use onetrip_wire::Limits;
use onetrip_wire::backend::{CommandTag, DataRow, ErrorResponse, Fields, TransactionStatus, tag};
use onetrip_wire::response::{self, ResponseReader};

use crate::catalogue::Known;
use crate::effect::Effect;
use crate::{Column, Error, Kind, Outcome, Row, policy};

/// What one statement gave.
///
/// # Examples
/// ```no_run
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// use onetrip::StatementResult;
/// let batch = client.batch().statement("insert into visits default values", &[]).statement("table visits", &[]);
/// let results: Vec<StatementResult> = batch.commit().await?;
/// for result in results {
///     let names: Vec<&str> = result.columns().iter().map(|column| column.name()).collect();
///     println!("{} {}: {names:?}, {} at hand", result.command(), result.row_count(), result.rows().len());
///     for row in result.into_rows() {
///         println!("{row:?}");
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct StatementResult {
    columns: Arc<Vec<Column>>,
    rows: Vec<Row>,
    tag: Option<CommandTag>,
}

impl StatementResult {
    /// The columns of the rows; none where the statement gives no rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows, owned.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// The rows selected, inserted, updated, deleted or merged; 0 for other commands.
    pub fn row_count(&self) -> u64 {
        self.tag.as_ref().and_then(CommandTag::rows).unwrap_or(0)
    }

    /// The command without its numbers: `SELECT`, `INSERT`, `CREATE TABLE`; empty for an empty statement.
    pub fn command(&self) -> &str {
        self.tag.as_ref().map_or("", CommandTag::command)
    }
}

/// What was sent, as far as the reading of its answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) shape: Shape,
    pub(crate) effect: Effect,
}

/// How many statements were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One statement; an error needs no index.
    Statement,
    /// One statement whose rows are taken as they arrive.
    Stream,
    /// One group of that many statements.
    Batch(usize),
    /// The same within BEGIN and COMMIT, whose results come along.
    Transaction(usize),
    /// A script; its results are not looked at.
    Script,
}

/// Reads an answer while it arrives.
pub(crate) struct Answer {
    reader: ResponseReader,
    expected: Expected,
    limit_bytes: usize,
    received_bytes: usize,
    columns: Option<Arc<Vec<Column>>>,
    rows: Vec<Row>,
    results: Vec<StatementResult>,
    // The first error, and the index of its statement.
    failed: Option<(ErrorResponse, usize)>,
    status: Option<TransactionStatus>,
    types: Arc<Vec<Known>>,
}

impl Answer {
    /// `types` are those that the client knows beside the built-in ones.
    pub(crate) fn new(expected: Expected, limit_bytes: usize, types: Arc<Vec<Known>>) -> Answer {
        Answer {
            reader: ResponseReader::new(1, Limits::default().frame_bytes(limit_bytes)),
            expected,
            limit_bytes,
            received_bytes: 0,
            columns: None,
            rows: Vec::new(),
            results: Vec::new(),
            failed: None,
            status: None,
            types,
        }
    }

    /// Takes in what arrived.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.received_bytes = self.received_bytes.saturating_add(chunk.len());
        // Of a stream only what is at hand takes memory: a frame is limited, the answer is not.
        if self.received_bytes > self.limit_bytes && !self.is_stream() {
            let limit = self.limit_bytes;
            return Err(Error::new(
                Kind::Protocol,
                format!(
                    "the answer is over the limit of {limit} bytes, so it was not read to its end: ask for fewer rows, \
                     or set Config::response_limit_bytes"
                ),
            ));
        }
        self.reader.push_bytes(chunk);
        loop {
            let taken = match self.reader.frame() {
                Ok(None) => return Ok(()),
                Ok(Some((tag, body))) => self.take(tag, body).map_err(|error| self.reader.in_frame(error)),
                Err(error) => Err(error),
            };
            taken.map_err(Error::protocol)?;
        }
    }

    /// Whether its rows are taken as they arrive.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.expected.shape, Shape::Stream)
    }

    /// PostgreSQL's error, where the answer already holds one: it stands whatever becomes of the rest.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        let (error, statement) = self.failed.take()?;
        let index = match self.expected.shape {
            // A deferred constraint fails after the last statement: at the commit.
            Shape::Batch(count) if statement < count => Some(statement),
            Shape::Transaction(count) => statement.checked_sub(1).filter(|&statement| statement < count),
            _ => None,
        };
        let whole = Error::database(error, index);
        Some(match self.expected.effect {
            Effect::Atomic => whole,
            Effect::Whole => match whole.retry() {
                policy::Outcome::RolledBack => whole.retry_is(policy::Outcome::Failed),
                _ => whole,
            },
            Effect::Open => whole.outcome_is(Outcome::Unknown).retry_is(policy::Outcome::Failed),
        })
    }

    /// The results of all statements, when the answer is over.
    pub(crate) fn take_results(&mut self) -> Vec<StatementResult> {
        std::mem::take(&mut self.results)
    }

    /// Says that the answer is over, and checks that it is a whole one.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        self.reader.finish().map_err(Error::protocol)?;
        if self.status != Some(TransactionStatus::Idle) {
            return Err(Error::new(
                Kind::TransactionLeftOpen,
                "the statements began a transaction and did not end it; the endpoint has rolled it back. Send what \
                 belongs together as one batch: it is a transaction of its own, without BEGIN and COMMIT",
            ));
        }
        let expected = match self.expected.shape {
            Shape::Statement | Shape::Stream => 1,
            Shape::Batch(count) => count,
            Shape::Transaction(count) => count + 2,
            Shape::Script => return Ok(()),
        };
        if self.results.len() != expected {
            let found = self.results.len();
            return Err(Error::new(
                Kind::Protocol,
                format!(
                    "the endpoint answered {found} statements where {expected} were sent; is it an onetrip endpoint?"
                ),
            ));
        }
        Ok(())
    }

    /// The columns of the statement whose rows are arriving, or of the last one that is complete.
    pub(crate) fn columns(&self) -> Option<&Arc<Vec<Column>>> {
        self.columns.as_ref().or_else(|| self.results.last().map(|result| &result.columns))
    }

    /// The rows that have arrived of a stream, which is then without them.
    pub(crate) fn take_rows(&mut self) -> Vec<Row> {
        match self.results.last_mut() {
            Some(result) => std::mem::take(&mut result.rows),
            None => std::mem::take(&mut self.rows),
        }
    }

    /// How many rows [`take_rows`](Self::take_rows) would give.
    pub(crate) fn rows_at_hand(&self) -> usize {
        self.results.last().map_or(self.rows.len(), |result| result.rows.len())
    }

    /// Whether the columns of the statement are known, or that it has none.
    pub(crate) fn has_begun(&self) -> bool {
        self.columns.is_some() || !self.results.is_empty() || self.failed.is_some()
    }

    fn take(&mut self, tag: u8, body: Bytes) -> Result<(), onetrip_wire::Error> {
        let is_script = matches!(self.expected.shape, Shape::Script);
        match tag {
            tag::ROW_DESCRIPTION | tag::DATA_ROW | tag::COMMAND_COMPLETE | tag::EMPTY_QUERY if is_script => {}
            tag::ROW_DESCRIPTION => self.columns = Some(Column::all(Fields::new(&body)?, &self.types)?),
            tag::DATA_ROW => {
                let row = DataRow::parse(body)?;
                let found = self.columns.as_ref().map_or(0, |columns| columns.len());
                let Some(columns) = self.columns.as_ref().filter(|_| found == row.len()) else {
                    let row = row.len();
                    return Err(onetrip_wire::Error::malformed(
                        0,
                        format_args!("a row has {row} values where the result has {found} columns"),
                    ));
                };
                self.rows.push(Row::new(columns.clone(), row));
            }
            tag::COMMAND_COMPLETE => self.complete(Some(CommandTag::parse(&body)?)),
            tag::EMPTY_QUERY => self.complete(None),
            tag::ERROR => {
                let error = ErrorResponse::parse(&body)?;
                self.failed.get_or_insert((error, self.reader.position().statement));
            }
            tag::READY => self.status = Some(TransactionStatus::parse(&body)?),
            _ => response::skip(tag)?,
        }
        Ok(())
    }

    fn complete(&mut self, tag: Option<CommandTag>) {
        let columns = self.columns.take().unwrap_or_default();
        self.results.push(StatementResult { columns, rows: std::mem::take(&mut self.rows), tag });
    }
}
