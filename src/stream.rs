//! Rows as they arrive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::exchange::Arriving;
use crate::transport::BoxFuture;
use crate::{Column, Error, Row};

/// The rows of a statement as they arrive, from [`Client::query_raw`](crate::Client::query_raw).
///
/// More of the answer is read only when the rows at hand have been taken, and the endpoint reads no faster from PostgreSQL:
/// a result of any size passes through a little memory. Dropping the stream before its end aborts the request, and the
/// endpoint cancels the statement.
///
/// It is a [`futures_core::Stream`] of `Result<Row, Error>`, and has [`next`](RowStream::next) for programs without a
/// library of streams. After an error nothing more comes.
///
/// # Examples
/// ```no_run
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// let mut rows = client.query_raw("select id from events where day > $1", ["2026-01-01"]).await?;
/// assert_eq!(rows.columns().len(), 1);
/// while let Some(row) = rows.next().await {
///     println!("{}", row?.get::<_, i64>("id"));
/// }
/// println!("{:?} rows", rows.row_count());
/// # Ok(()) }
/// ```
#[must_use = "a stream that is dropped aborts its request"]
pub struct RowStream {
    columns: Arc<Vec<Column>>,
    rows: std::vec::IntoIter<Row>,
    state: State,
    row_count: Option<u64>,
}

enum State {
    Idle(Box<Arriving>),
    #[allow(clippy::type_complexity, reason = "it is what `Arriving::more` gives")]
    Waiting(BoxFuture<'static, Result<(Box<Arriving>, Vec<Row>), Result<u64, Error>>>),
    Over,
}

impl RowStream {
    pub(crate) fn new(mut arriving: Box<Arriving>) -> RowStream {
        let (columns, rows) = (arriving.columns(), arriving.take_rows().into_iter());
        RowStream { columns, rows, state: State::Idle(arriving), row_count: None }
    }

    /// The columns of the rows; none where the statement gives no rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows selected, inserted, updated, deleted or merged: known at the end of the stream, `None` before.
    pub fn row_count(&self) -> Option<u64> {
        self.row_count
    }

    /// The next row, `None` at the end.
    ///
    /// # Errors
    /// As [`Client::query`](crate::Client::query), at the row where it happened.
    pub async fn next(&mut self) -> Option<Result<Row, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for RowStream {
    type Item = Result<Row, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Poll::Ready(Some(Ok(row)));
            }
            let mut waiting = match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(arriving) => Box::pin(arriving.more()),
                State::Waiting(waiting) => waiting,
            };
            match waiting.as_mut().poll(context) {
                Poll::Pending => {
                    self.state = State::Waiting(waiting);
                    return Poll::Pending;
                }
                Poll::Ready(Ok((arriving, rows))) => {
                    self.rows = rows.into_iter();
                    self.state = State::Idle(arriving);
                }
                Poll::Ready(Err(Ok(row_count))) => self.row_count = Some(row_count),
                Poll::Ready(Err(Err(error))) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl fmt::Debug for RowStream {
    /// Shows no values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RowStream").field("columns", &self.columns).finish_non_exhaustive()
    }
}
