//! Atomic transactions whose results keep their types.

use std::fmt;
use std::marker::PhantomData;

use postgres_types::ToSql;

use crate::client::{at_most_one, exactly_one};
use crate::{Batch, Error, Row, StatementResult};

/// How much a transaction sees of others. PostgreSQL manual, "Transaction Isolation".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IsolationLevel {
    /// What PostgreSQL treats as [`ReadCommitted`](IsolationLevel::ReadCommitted).
    ReadUncommitted,
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see what was committed before the first began.
    RepeatableRead,
    /// As if transactions ran one after another; one of two that conflict fails with `40001` and is tried again as the
    /// policy says.
    Serializable,
}

impl IsolationLevel {
    /// As SQL writes it.
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }
}

/// What differs from the database's defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) isolation_level: Option<IsolationLevel>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

impl Options {
    /// The statement that begins such a transaction; `None` where it is one without being told.
    pub(crate) fn begin(self) -> Option<String> {
        let Options { isolation_level, read_only, deferrable } = self;
        let word = |set: Option<bool>, yes, no| set.map(|set| if set { yes } else { no });
        let mut begin = String::from("begin");
        let level = isolation_level.map(IsolationLevel::as_sql);
        for (before, part) in [
            (" isolation level ", level),
            (" ", word(read_only, "read only", "read write")),
            (" ", word(deferrable, "deferrable", "not deferrable")),
        ] {
            if let Some(part) = part {
                begin.push_str(before);
                begin.push_str(part);
            }
        }
        (begin.len() > "begin".len()).then_some(begin)
    }
}

/// An atomic transaction whose statements are known when the program is written: each adds the type of its result to
/// `Results`, a tuple of at most twelve. [`Batch`] takes more.
///
/// It is one request. Dropping it sends nothing.
///
/// # Examples
/// ```no_run
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// use onetrip::Row;
/// let (inserted, user, orders): (u64, Row, Vec<Row>) = client
///     .transaction()
///     .execute("insert into visits (user_id) values ($1)", &[&7i64])
///     .query_one("select name from users where id = $1", &[&7i64])
///     .query("select id, total from orders where user_id = $1", &[&7i64])
///     .commit()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a transaction is sent by commit"]
pub struct Transaction<Results> {
    batch: Batch,
    results: PhantomData<fn() -> Results>,
}

impl Transaction<()> {
    pub(crate) fn new(batch: Batch) -> Transaction<()> {
        Transaction { batch, results: PhantomData }
    }
}

impl<Results> Transaction<Results> {
    /// Sets the isolation level. Default: that of the database, as a rule [`IsolationLevel::ReadCommitted`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// use onetrip::IsolationLevel;
    /// let (from, to) = client
    ///     .transaction()
    ///     .isolation_level(IsolationLevel::Serializable)
    ///     .execute("update accounts set cents = cents - 500 where id = 1 and cents >= 500", &[])
    ///     .execute("update accounts set cents = cents + 500 where id = 2", &[])
    ///     .commit()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn isolation_level(self, level: IsolationLevel) -> Transaction<Results> {
        Transaction { batch: self.batch.isolation_level(level), ..self }
    }

    /// Sets whether the transaction may only read. Default: as the database, where it may write as a rule.
    pub fn read_only(self, read_only: bool) -> Transaction<Results> {
        Transaction { batch: self.batch.read_only(read_only), ..self }
    }

    /// Sets whether the transaction waits for a snapshot that cannot conflict; of use with
    /// [`IsolationLevel::Serializable`] and [`read_only`](Self::read_only). Default: as the database, where it does not.
    pub fn deferrable(self, deferrable: bool) -> Transaction<Results> {
        Transaction { batch: self.batch.deferrable(deferrable), ..self }
    }

    /// Adds a statement that gives rows.
    pub fn query(self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Transaction<Results::With<Vec<Row>>>
    where
        Results: Append,
    {
        self.add(sql, parameters)
    }

    /// Adds a statement that gives exactly one row. Where it does not, the transaction has been committed all the same,
    /// and [`commit`](Transaction::commit) gives an error of [`Kind::RowCount`](crate::Kind::RowCount).
    pub fn query_one(self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Transaction<Results::With<Row>>
    where
        Results: Append,
    {
        self.add(sql, parameters)
    }

    /// Adds a statement that gives at most one row; with several as [`query_one`](Transaction::query_one).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let (user, visits) = client
    ///     .transaction()
    ///     .read_only(true)
    ///     .query_opt("select name from users where id = $1", &[&7i64])
    ///     .query("select day from visits where user_id = $1", &[&7i64])
    ///     .commit()
    ///     .await?;
    /// let name: Option<&str> = user.as_ref().map(|row| row.get("name"));
    /// # Ok(()) }
    /// ```
    pub fn query_opt(
        self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Transaction<Results::With<Option<Row>>>
    where
        Results: Append,
    {
        self.add(sql, parameters)
    }

    /// Adds a statement that gives the number of rows that it inserted, updated, deleted or selected.
    pub fn execute(self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Transaction<Results::With<u64>>
    where
        Results: Append,
    {
        self.add(sql, parameters)
    }

    /// Sends the statements as one transaction and gives their results.
    ///
    /// # Errors
    /// As [`Client::query`](crate::Client::query); [`Error::statement`] is the index of the statement that failed.
    /// Nothing then took effect, except where [`Error::outcome`] says otherwise.
    pub async fn commit(self) -> Result<Results, Error>
    where
        Results: Read,
    {
        Results::read(self.batch.commit().await?)
    }

    fn add<Next>(self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Transaction<Next> {
        Transaction { batch: self.batch.statement(sql, parameters), results: PhantomData }
    }
}

impl<Results> fmt::Debug for Transaction<Results> {
    /// Shows neither SQL nor values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Transaction({:?})", self.batch)
    }
}

/// A tuple that takes one more member; with [`Read`] and [`ReadOne`] it is what functions over transactions ask for.
///
/// # Examples
/// ```
/// use onetrip::transaction::{Append, Read, ReadOne};
/// use onetrip::{Error, Transaction};
///
/// /// Notes who did it, in the same transaction.
/// fn audited<Results: Append>(transaction: Transaction<Results>, who: &str) -> Transaction<Results::With<u64>> {
///     transaction.execute("insert into audit (who) values ($1)", &[&who])
/// }
///
/// /// Commits and says how long that took.
/// async fn timed<Results: Read>(transaction: Transaction<Results>) -> Result<Results, Error> {
///     let start = std::time::Instant::now();
///     let results = transaction.commit().await;
///     println!("{:?}", start.elapsed());
///     results
/// }
///
/// fn is_a_result<Result: ReadOne>() {}
/// is_a_result::<Option<onetrip::Row>>();
/// ```
/// Implemented for tuples of up to eleven.
pub trait Append: sealed::Sealed {
    /// The tuple with one more member.
    type With<Last>;
}

/// A tuple that can be read from the results of as many statements. Implemented for tuples of up to twelve whose members
/// are `u64`, `Row`, `Option<Row>` or `Vec<Row>`.
pub trait Read: sealed::Sealed + Sized {
    #[doc(hidden)]
    fn read(results: Vec<StatementResult>) -> Result<Self, Error>;
}

/// What one statement of a [`Transaction`] can give.
pub trait ReadOne: sealed::Sealed + Sized {
    #[doc(hidden)]
    fn read_one(result: StatementResult) -> Result<Self, Error>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! read_one {
    ($($type:ty: $result:ident => $read:expr;)*) => {
        $(
            impl sealed::Sealed for $type {}
            impl ReadOne for $type {
                fn read_one($result: StatementResult) -> Result<$type, Error> { $read }
            }
        )*
    };
}

read_one! {
    u64: result => Ok(result.row_count());
    Row: result => exactly_one(result.into_rows());
    Option<Row>: result => at_most_one(result.into_rows());
    Vec<Row>: result => Ok(result.into_rows());
}

macro_rules! tuples {
    ($($member:ident)*) => {
        impl<$($member),*> sealed::Sealed for ($($member,)*) {}

        impl<$($member: ReadOne),*> Read for ($($member,)*) {
            #[allow(unused_variables, unused_mut, unused_assignments, reason = "the empty tuple reads nothing")]
            fn read(results: Vec<StatementResult>) -> Result<Self, Error> {
                let mut results = results.into_iter().enumerate();
                let mut next = || results.next().expect("the answer was checked to have a result for each statement");
                Ok(($({
                    let (index, result) = next();
                    $member::read_one(result).map_err(|error| error.statement_index(index))?
                },)*))
            }
        }
    };
}

macro_rules! append {
    ($($member:ident)*) => {
        impl<$($member),*> Append for ($($member,)*) {
            type With<Last> = ($($member,)* Last,);
        }
    };
}

macro_rules! up_to {
    (@grow [$($done:ident)*]) => { tuples!($($done)*); };
    (@grow [$($done:ident)*] $next:ident $($rest:ident)*) => {
        tuples!($($done)*);
        append!($($done)*);
        up_to!(@grow [$($done)* $next] $($rest)*);
    };
}

up_to!(@grow [] A B C D E F G H I J K L);
