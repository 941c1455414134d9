//! Atomic transactions of statements that are known only when the program runs.

use std::fmt;

use onetrip_wire::frontend;
use postgres_types::ToSql;

use crate::answer::{Expected, Shape};
use crate::effect::Effect;
use crate::exchange::Pipeline;
use crate::{Client, Error, StatementResult, parameter};

/// An atomic transaction of any number of statements, collected and then sent in one request: all of it takes effect or
/// nothing.
///
/// Dropping it sends nothing. An error in a parameter shows when it is committed.
pub struct Batch {
    client: Client,
    frames: Vec<u8>,
    count: usize,
    effect: Effect,
    // The first statement that cannot be encoded.
    failed: Option<Error>,
}

impl Batch {
    pub(crate) fn new(client: Client) -> Batch {
        Batch { client, frames: Vec::new(), count: 0, effect: Effect::Atomic, failed: None }
    }

    /// Adds a statement.
    pub fn statement(mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Batch {
        if self.failed.is_none()
            && let Err(error) = parameter::statement(&mut self.frames, sql, parameters)
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
        let Batch { client, mut frames, count, effect, failed } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        frontend::sync(&mut frames);
        let expected = Expected { shape: Shape::Batch(count), effect };
        client.run(Pipeline { frames: frames.into(), expected }).await
    }
}

impl fmt::Debug for Batch {
    /// Shows neither SQL nor values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Batch({} statements, {} bytes)", self.count, self.frames.len())
    }
}
