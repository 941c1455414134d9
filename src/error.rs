//! The one error of the client: what happened, what it means for the statements, and what to do.

use std::fmt;
use std::sync::Arc;

use onetrip_wire::backend::ErrorResponse;
use onetrip_wire::sqlstate::{self, Class};

use crate::policy;

/// PostgreSQL's own error, with every field that it sent.
pub type DbError = ErrorResponse;

/// The class of an [`Error`], to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The call cannot work as it is: a URL, a parameter, a setting. Nothing was sent.
    Usage,
    /// The endpoint refused the request before PostgreSQL: credentials, an unknown database, a full queue.
    Refused,
    /// No connection to the endpoint came about. Nothing was sent.
    Unreachable,
    /// The connection failed after the request may have been sent.
    Lost,
    /// The time set by [`Client::timeout`](crate::Client::timeout) is over.
    Timeout,
    /// The answer is no answer of onetrip: truncated, corrupt, too large, or from something else.
    Protocol,
    /// PostgreSQL refused a statement: [`Error::as_db_error`] has its words.
    Sql,
    /// The statements began a transaction and did not end it. The endpoint has rolled it back.
    TransactionLeftOpen,
    /// The statements ran, but one gave more or fewer rows than asked for.
    RowCount,
    /// A value is not what the Rust type can hold, or there is no such column.
    Decode,
}

/// What an error means for the statements of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// They did not run, or were rolled back.
    NotExecuted,
    /// They ran; what follows on them failed.
    Executed,
    /// Nobody knows.
    Unknown,
}

/// An error of the client.
///
/// `Display` says what happened and what to do about it. Neither it nor `Debug` ever holds credentials, SQL or
/// parameters; what PostgreSQL writes into its message is shown as it is, its detail is not.
///
/// # Examples
/// ```
/// let error = onetrip::Client::connect("postgresql://app@db.example.com/shop").unwrap_err();
/// assert_eq!(error.kind(), onetrip::Kind::Usage);
/// assert!(error.to_string().contains("https://"));
/// ```
///
/// What an error can tell beside its text:
/// ```no_run
/// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
/// use onetrip::{DbError, Kind, Outcome};
/// let Err(error) = client.execute("insert into users (name) values ('Ada')", &[]).await else { return Ok(()) };
/// match error.kind() {
///     Kind::Sql => {
///         let sql: &DbError = error.as_db_error().expect("PostgreSQL's words");
///         println!("{:?}: {} ({:?})", error.code(), sql.message(), sql.constraint());
///     }
///     Kind::Refused => println!("{:?}, HTTP status {:?}", error.refusal(), error.status()),
///     _ if error.outcome() == Outcome::Unknown => println!("look before you send it again: {error}"),
///     _ if error.is_retryable() => println!("try again later: it was tried {} times", error.attempts()),
///     _ => println!("{error}, request {:?}, statement {:?}", error.request_id(), error.statement()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    outcome: Outcome,
    retry: policy::Outcome,
    statement: Option<usize>,
    attempts: u32,
    status: Option<u16>,
    code: Option<String>,
    sqlstate: Option<String>,
    request_id: Option<String>,
    database: Option<DbError>,
    source: Option<Arc<Box<dyn std::error::Error + Send + Sync>>>,
}

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What the error means for the statements of its request.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// PostgreSQL's error, for [`Kind::Sql`].
    pub fn as_db_error(&self) -> Option<&DbError> {
        self.0.database.as_ref()
    }

    /// The SQLSTATE, from PostgreSQL's error or from the endpoint's refusal.
    pub fn code(&self) -> Option<&str> {
        self.0.database.as_ref().map(DbError::code).or(self.0.sqlstate.as_deref())
    }

    /// The statement of a batch that the error is about, from 0. `None` where it is about none or all of them, as when a
    /// deferred constraint fails at the commit.
    pub fn statement(&self) -> Option<usize> {
        self.0.statement
    }

    /// The endpoint's name for its refusal, for [`Kind::Refused`]: `invalid_credentials`, `pool_timeout`, … (PROTOCOL.md,
    /// section 4).
    pub fn refusal(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The HTTP status, where the endpoint answered with another than 200.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The request's name in the endpoint's log.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How many times the request was sent, or tried to be sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the same call may succeed when it is made again, and cannot take effect twice: nothing was executed, and
    /// the cause is of a kind that passes. The client has already tried [`attempts`](Self::attempts) times.
    pub fn is_retryable(&self) -> bool {
        if self.0.outcome != Outcome::NotExecuted {
            return false;
        }
        match self.0.retry {
            policy::Outcome::NotSent | policy::Outcome::RolledBack => true,
            policy::Outcome::Refused { retryable, .. } => retryable,
            policy::Outcome::Lost | policy::Outcome::Failed => {
                let class = self.code().map(sqlstate::class);
                self.0.kind == Kind::Sql && class == Some(Class::Unavailable)
            }
        }
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error::with_message(kind, message.into())
    }

    fn with_message(kind: Kind, message: String) -> Error {
        let (outcome, retry) = match kind {
            Kind::Usage => (Outcome::NotExecuted, policy::Outcome::Failed),
            Kind::Refused => {
                (Outcome::NotExecuted, policy::Outcome::Refused { retryable: false, retry_after_ms: None })
            }
            Kind::Unreachable => (Outcome::NotExecuted, policy::Outcome::NotSent),
            Kind::Lost => (Outcome::Unknown, policy::Outcome::Lost),
            Kind::Timeout | Kind::Protocol | Kind::TransactionLeftOpen => {
                (Outcome::Unknown, policy::Outcome::Failed)
            }
            Kind::Sql => (Outcome::NotExecuted, policy::Outcome::Failed),
            Kind::RowCount | Kind::Decode => (Outcome::Executed, policy::Outcome::Failed),
        };
        Error(Box::new(Inner {
            kind,
            message,
            outcome,
            retry,
            statement: None,
            attempts: 0,
            status: None,
            code: None,
            sqlstate: None,
            request_id: None,
            database: None,
            source: None,
        }))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    /// An answer that breaks the protocol; the wire error says where.
    pub(crate) fn protocol(error: onetrip_wire::Error) -> Error {
        let what = match error.kind() {
            onetrip_wire::Kind::Truncated => "truncated",
            _ => "corrupt",
        };
        // Its words hold all that the wire error could say as a source.
        let mut whole =
            Error::new(Kind::Protocol, format!("the answer of the endpoint is {what} at {error}"));
        if error.kind() == onetrip_wire::Kind::Truncated {
            // A connection that breaks and one that is cut at a frame's end are the same event.
            whole.0.retry = policy::Outcome::Lost;
        }
        whole
    }

    /// PostgreSQL's error; `statement` is the index of the statement that failed.
    pub(crate) fn database(error: DbError, statement: Option<usize>) -> Error {
        let mut whole = Error::new(Kind::Sql, "");
        if matches!(error.severity(), "FATAL" | "PANIC") {
            // The server went away; whether it had committed before, it does not say.
            whole.0.outcome = Outcome::Unknown;
            whole.0.retry = policy::Outcome::Lost;
        } else if sqlstate::class(error.code()) == Class::Conflict {
            whole.0.retry = policy::Outcome::RolledBack;
        }
        whole.0.statement = statement;
        whole.0.database = Some(error);
        whole
    }

    pub(crate) fn statement_index(mut self, statement: usize) -> Error {
        self.0.statement = Some(statement);
        self
    }

    pub(crate) fn outcome_is(mut self, outcome: Outcome) -> Error {
        self.0.outcome = outcome;
        self
    }

    pub(crate) fn retry_is(mut self, retry: policy::Outcome) -> Error {
        self.0.retry = retry;
        self
    }

    pub(crate) fn attempts_are(mut self, attempts: u32) -> Error {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn refusal_is(mut self, status: u16, code: Option<String>, sqlstate: Option<String>) -> Error {
        self.0.status = Some(status);
        self.0.code = code;
        self.0.sqlstate = sqlstate;
        self
    }

    /// Names the request, where it has no name yet.
    pub(crate) fn request_id_is(mut self, request_id: &str) -> Error {
        if self.0.request_id.is_none() && !request_id.is_empty() {
            self.0.request_id = Some(request_id.to_owned());
        }
        self
    }

    pub(crate) fn source(mut self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Whether its own words leave open what the request did. PostgreSQL's words are left alone.
    fn says_nothing_of_its_outcome(&self) -> bool {
        self.outcome() == Outcome::Unknown && !matches!(self.kind(), Kind::Sql | Kind::TransactionLeftOpen)
    }

    pub(crate) fn retry(&self) -> policy::Outcome {
        self.0.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match &inner.database {
            Some(error) => {
                write!(formatter, "{error}")?;
                if let Some(position) = error.position() {
                    write!(formatter, ", at character {position}")?;
                }
            }
            None => formatter.write_str(&inner.message)?,
        }
        if self.says_nothing_of_its_outcome() {
            formatter.write_str("; what the request did is unknown, so look before you send it again")?;
        }
        if let Some(statement) = inner.statement {
            write!(formatter, ", in statement {statement} of the request")?;
        }
        if let Some(hint) = inner.database.as_ref().and_then(DbError::hint) {
            write!(formatter, " (hint: {hint})")?;
        }
        if inner.attempts > 1 {
            write!(formatter, " [after {} attempts]", inner.attempts)?;
        }
        if let Some(request_id) = &inner.request_id {
            write!(formatter, " [request {request_id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Error({:?}, {:?}: {self})", self.0.kind, self.0.outcome)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.database {
            Some(error) => Some(error),
            None => self.0.source.as_ref().map(|source| &***source as _),
        }
    }
}
