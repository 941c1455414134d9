//! Atomic transactions of statements that are known only when the program runs.

use std::fmt;

use bytes::Bytes;
use onetrip_wire::frontend;
use postgres_types::ToSql;

use crate::answer::{Expected, Shape};
use crate::effect::Effect;
use crate::exchange::Pipeline;
use crate::transaction::{IsolationLevel, Options};
use crate::{Client, Error, StatementResult, parameter};

/// An atomic transaction of any number of statements, collected and then sent in one request: all of it takes effect or
/// nothing.
///
/// Dropping it sends nothing. An error in a parameter shows when it is committed.
///
/// # Examples
/// ```
/// # fn example(client: onetrip::Client) {
/// let mut batch: onetrip::Batch = client.batch();
/// assert!(batch.is_empty());
/// batch = batch.statement("delete from carts where id = $1", &[&7i64]);
/// assert_eq!(batch.len(), 1);
/// # }
/// ```
pub struct Batch {
    client: Client,
    frames: Vec<u8>,
    count: usize,
    effect: Effect,
    options: Options,
    // The first statement that cannot be encoded.
    failed: Option<Error>,
}

impl Batch {
    pub(crate) fn new(client: Client) -> Batch {
        Batch {
            client,
            frames: Vec::new(),
            count: 0,
            effect: Effect::Atomic,
            options: Options::default(),
            failed: None,
        }
    }

    /// Sets the isolation level. Default: that of the database, as a rule [`IsolationLevel::ReadCommitted`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// use onetrip::IsolationLevel;
    /// let results = client
    ///     .batch()
    ///     .isolation_level(IsolationLevel::Serializable)
    ///     .read_only(true)
    ///     .deferrable(true)
    ///     .statement("select sum(cents) from accounts", &[])
    ///     .statement("select sum(cents) from bookings", &[])
    ///     .commit()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn isolation_level(mut self, level: IsolationLevel) -> Batch {
        self.options.isolation_level = Some(level);
        self
    }

    /// Sets whether the transaction may only read. Default: as the database, where it may write as a rule.
    pub fn read_only(mut self, read_only: bool) -> Batch {
        self.options.read_only = Some(read_only);
        self
    }

    /// Sets whether the transaction waits for a snapshot that cannot conflict; of use with
    /// [`IsolationLevel::Serializable`] and [`read_only`](Self::read_only). Default: as the database, where it does not.
    pub fn deferrable(mut self, deferrable: bool) -> Batch {
        self.options.deferrable = Some(deferrable);
        self
    }

    /// Adds a statement.
    pub fn statement(mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Batch {
        if self.failed.is_none()
            && let Err(error) = parameter::statement(
                &mut self.frames,
                sql,
                parameters.iter().map(|value| *value as &dyn ToSql),
                self.client.types(),
            )
        {
            self.failed = Some(error.statement_index(self.count));
        }
        self.effect = self.effect.max(Effect::of(sql));
        self.count += 1;
        self
    }

    /// How many statements were added.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no statement was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sends the statements as one transaction and gives their results, in order. Without statements nothing is sent.
    ///
    /// # Errors
    /// As [`Client::query`]; [`Error::statement`] is the index of the statement that failed. Nothing then took effect,
    /// except where [`Error::outcome`] says that this is unknown.
    pub async fn commit(self) -> Result<Vec<StatementResult>, Error> {
        let Batch { client, frames, count, effect, options, failed } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let (mut frames, shape) = match options.begin() {
            None => (frames, Shape::Batch(count)),
            // BEGIN and COMMIT travel in the same flight; where a statement fails, the endpoint rolls back.
            Some(begin) => {
                let mut whole = Vec::with_capacity(frames.len() + 200);
                parameter::statement(&mut whole, &begin, [], &[])?;
                whole.extend_from_slice(&frames);
                parameter::statement(&mut whole, "commit", [], &[])?;
                (whole, Shape::Transaction(count))
            }
        };
        frontend::sync(&mut frames);
        let expected = Expected { shape, effect };
        let mut results = client.run(Pipeline { frames: Bytes::from_owner(frames), expected }).await?;
        if let Shape::Transaction(_) = shape {
            results.pop();
            results.drain(..1);
        }
        Ok(results)
    }
}

impl fmt::Debug for Batch {
    /// Shows neither SQL nor values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Batch({} statements, {} bytes)", self.count, self.frames.len())
    }
}
