//! What keeps a request from PostgreSQL: whose fault it is, what a stranger may see of it, and what the log holds.

use std::borrow::Cow;

use onetrip_wire::problem::Code;

use crate::postgres::{Broken, LoginError};

/// A request that ended before PostgreSQL's answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Decides on the status and on whether the request may be sent again.
    pub(crate) code: Code,
    /// For the client: neither SQL nor values nor credentials nor an address of PostgreSQL.
    pub(crate) detail: Cow<'static, str>,
    /// Where PostgreSQL refused.
    pub(crate) sqlstate: Option<String>,
    /// After how many seconds another try is worth it.
    pub(crate) retry_after_s: Option<u32>,
    /// For the log, beside the code.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Failure {
        Failure { code, detail: detail.into(), sqlstate: None, retry_after_s: None, cause: None }
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(Code::MalformedRequest, detail)
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Failure {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn sqlstate(mut self, sqlstate: Option<String>) -> Failure {
        self.sqlstate = sqlstate;
        self
    }

    /// Adds what the log says and the client does not see.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Failure {
        self.cause = Some(cause.into());
        self
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Failure {
        match error {
            LoginError::Unreachable(cause) => Failure::new(
                Code::DatabaseUnreachable,
                "the endpoint cannot connect to PostgreSQL; its log says why",
            )
            .retry_after(1)
            .cause(cause),
            LoginError::Method(text) => Failure::new(Code::DatabaseUnreachable, text).retry_after(60),
            LoginError::NotAsked => Failure::new(
                Code::Forbidden,
                "PostgreSQL lets this role in without asking for its password (pg_hba.conf: trust, peer or ident), so \
                 the endpoint cannot tell who is calling. Let PostgreSQL ask for scram-sha-256, or let the operator \
                 set allow_trust = true for this database",
            ),
            LoginError::PasswordRefused(error) => Failure::new(
                Code::InvalidCredentials,
                "the pooler before PostgreSQL refused the role or its password",
            )
            .sqlstate(Some(error.code().to_owned()))
            .cause(error.message().to_owned()),
            LoginError::Refused(error) => {
                let sqlstate = error.code().to_owned();
                let (code, detail) = match sqlstate.as_str() {
                    "28P01" | "28000" => (
                        Code::InvalidCredentials,
                        "PostgreSQL refused the role or its password, or its pg_hba.conf does not let the role in from \
                         the endpoint",
                    ),
                    "3D000" => (
                        Code::Forbidden,
                        "PostgreSQL has no database of the name that the endpoint is configured with",
                    ),
                    "42501" => (Code::Forbidden, "the role has no CONNECT privilege for this database"),
                    "53300" => (Code::DatabaseUnreachable, "PostgreSQL has no connection left for this role"),
                    "57P03" => (Code::DatabaseUnreachable, "PostgreSQL is starting, stopping or recovering"),
                    _ => (
                        Code::DatabaseUnreachable,
                        "PostgreSQL refused the connection; the sqlstate says why",
                    ),
                };
                let failure =
                    Failure::new(code, detail).sqlstate(Some(sqlstate)).cause(error.message().to_owned());
                if code == Code::DatabaseUnreachable { failure.retry_after(1) } else { failure }
            }
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Failure {
        match broken {
            // Not twice in one request, for then nothing is taken for prepared.
            Broken::Outdated => {
                Failure::new(Code::Internal, "statements that were parsed anew were taken for outdated")
            }
            Broken::Unsent { sqlstate } => Failure::new(
                Code::DatabaseUnreachable,
                "PostgreSQL closed the connection before it executed anything; the request may be sent again",
            )
            .retry_after(1)
            .sqlstate(sqlstate),
            Broken::Lost { sqlstate } => Failure::new(
                Code::ConnectionLost,
                "PostgreSQL closed the connection before it answered; whether the request took effect is unknown",
            )
            .sqlstate(sqlstate),
            // With an answer that has not begun there is no other way to be hit too late.
            Broken::Hit => Failure::new(
                Code::ConnectionLost,
                "the request is committed, but its wait for synchronous replication was ended by the cancellation of \
                 another request, so it may be lost together with PostgreSQL's primary server",
            ),
            Broken::Protocol(error) => {
                Failure::new(Code::Internal, "the endpoint cannot read PostgreSQL's answer; its log says why")
                    .cause(error.to_string())
            }
        }
    }
}
