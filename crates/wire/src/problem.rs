//! Errors before PostgreSQL: RFC 9457 problem details with onetrip's codes (PROTOCOL.md section 4).

#[cfg(feature = "serde")]
use alloc::string::String;
use core::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// What went wrong before PostgreSQL answered. Each has one name, one status, and says whether the same request
        /// may be sent again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* #[cfg_attr(feature = "serde", serde(rename = $name))] $variant,)* }

        impl Code {
            /// All codes, in the order of the table in PROTOCOL.md.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it stands in a problem.
            pub fn name(self) -> &'static str { match self { $(Code::$variant => $name,)* } }

            /// The HTTP status.
            pub fn status(self) -> u16 { match self { $(Code::$variant => $status,)* } }

            /// Whether nothing was executed, so that the same request may be sent again.
            pub fn retryable(self) -> bool { match self { $(Code::$variant => $retryable,)* } }

            /// The title of the problem: the same for every occurrence.
            pub fn title(self) -> &'static str { match self { $(Code::$variant => $title,)* } }
        }
    };
}

codes! {
    /// The body, the path or a header is not what the protocol says.
    MalformedRequest = "malformed_request", 400, false, "The request is malformed";
    /// No, unreadable or wrong credentials.
    InvalidCredentials = "invalid_credentials", 401, false, "The credentials are missing or wrong";
    /// PostgreSQL refused the role for this database.
    Forbidden = "forbidden", 403, false, "The role may not use this database";
    /// The configuration names no such database.
    UnknownDatabase = "unknown_database", 404, false, "The endpoint serves no such database";
    /// No such path.
    NotFound = "not_found", 404, false, "There is nothing at this path";
    /// Another method is needed.
    MethodNotAllowed = "method_not_allowed", 405, false, "This path does not take this method";
    /// No representation fits `Accept`.
    NotAcceptable = "not_acceptable", 406, false, "No representation fits Accept";
    /// The request's deadline passed before it got a connection.
    DeadlineInQueue = "deadline_in_queue", 408, true, "The deadline passed before anything was executed";
    /// The body is over the endpoint's limit.
    RequestTooLarge = "request_too_large", 413, false, "The request is too large";
    /// Another `Content-Type` or a `Content-Encoding`.
    UnsupportedMediaType = "unsupported_media_type", 415, false, "The endpoint cannot read this content type";
    /// Admission refused.
    TooManyRequests = "too_many_requests", 429, true, "There are too many requests";
    /// PostgreSQL cannot be reached, or refused the connection for a reason that passes.
    DatabaseUnreachable = "database_unreachable", 502, true, "The database cannot be reached";
    /// PostgreSQL went away after the pipeline was sent and before it answered.
    ConnectionLost = "connection_lost", 502, false, "The connection to the database was lost; the outcome is unknown";
    /// No connection became free in time.
    PoolTimeout = "pool_timeout", 503, true, "No database connection became free in time";
    /// The request's deadline passed while PostgreSQL worked on it.
    DeadlineExceeded = "deadline_exceeded", 504, false, "The deadline passed; the query was cancelled";
    /// The endpoint drains.
    ShuttingDown = "shutting_down", 503, true, "The endpoint is shutting down";
    /// A bug in the endpoint.
    Internal = "internal", 500, false, "The endpoint has failed";
}

impl Code {
    /// The code of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A problem as an endpoint writes it.
#[cfg(feature = "serde")]
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Always `about:blank`: `code` says which problem it is.
    pub r#type: &'static str,
    /// The title that belongs to `code`.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, for a person. Neither SQL nor values nor credentials.
    pub detail: String,
    /// Which problem it is.
    pub code: Code,
    /// PostgreSQL's SQLSTATE, where it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// Whether the same request may be sent again.
    pub retryable: bool,
    /// The request's name in the endpoint's log.
    pub request_id: String,
}

#[cfg(feature = "serde")]
impl Problem {
    /// A problem with the status, title and `retryable` that belong to `code`.
    pub fn new(code: Code, detail: impl Into<String>, request_id: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank",
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            code,
            sqlstate: None,
            retryable: code.retryable(),
            request_id: request_id.into(),
        }
    }

    /// Adds PostgreSQL's SQLSTATE.
    pub fn sqlstate(mut self, sqlstate: impl Into<String>) -> Problem {
        self.sqlstate = Some(sqlstate.into());
        self
    }
}

/// A problem as a client reads it: every member may be missing or new, for something between client and endpoint may
/// have written it.
#[cfg(feature = "serde")]
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct ReceivedProblem {
    /// What happened, in general.
    pub title: Option<String>,
    /// What happened this time.
    pub detail: Option<String>,
    /// The name of a [`Code`], or one that this version does not know.
    pub code: Option<String>,
    /// PostgreSQL's SQLSTATE, where it refused.
    pub sqlstate: Option<String>,
    /// Whether the same request may be sent again.
    pub retryable: bool,
    /// The request's name in the endpoint's log.
    pub request_id: Option<String>,
}
