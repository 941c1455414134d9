//! A script of plain SQL on a connection of its own, for what the endpoint itself has to do: its rows are of no interest.

use std::fmt;

use bytes::Buf;
use onetrip_wire::backend::{ErrorResponse, tag};
use onetrip_wire::{Limits, frame, frontend};

use super::{LoginError, Target};
use crate::credentials::Credentials;

/// Why a script did not run to its end. What it did before may be committed or not, as PostgreSQL's simple protocol has
/// it: a script without BEGIN is one transaction.
#[derive(Debug)]
pub(crate) enum ScriptError {
    /// There is no connection.
    Login(LoginError),
    /// A statement failed.
    Refused(ErrorResponse),
    /// The script wants data that it does not bring in the way that is known here.
    CopyIn,
    /// The connection broke, or what came was not PostgreSQL's protocol.
    Broken(String),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Login(error) => formatter.write_str(&error.cause()),
            ScriptError::Refused(error) => write!(formatter, "{} ({})", error.message(), error.code()),
            ScriptError::CopyIn => formatter
                .write_str("COPY FROM STDIN needs psql; let pg_dump write INSERT statements (--inserts)"),
            ScriptError::Broken(text) => formatter.write_str(text),
        }
    }
}

impl Target {
    /// Runs a script and closes the connection.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub(crate) async fn script(&self, credentials: &Credentials, sql: &str) -> Result<(), ScriptError> {
        let mut connection = self.login(credentials).await.map_err(ScriptError::Login)?;
        let mut query = Vec::new();
        frontend::query(&mut query, sql).map_err(|error| ScriptError::Broken(error.to_string()))?;
        connection.send(query);
        let broken = |error: &dyn fmt::Display| ScriptError::Broken(error.to_string());
        let mut outcome = Ok(());
        loop {
            if let Some(frame) =
                frame::first(&connection.incoming, &Limits::default()).map_err(|error| broken(&error))?
            {
                let len = frame.frame_len();
                match frame.tag {
                    tag::READY => return outcome,
                    tag::ERROR if outcome.is_ok() => {
                        let error = ErrorResponse::parse(frame.body).map_err(|error| broken(&error))?;
                        outcome = Err(ScriptError::Refused(error));
                    }
                    tag::COPY_IN | tag::COPY_BOTH => return Err(ScriptError::CopyIn),
                    _ => {}
                }
                connection.incoming.advance(len);
            } else if connection.read().await.map_err(|error| broken(&error))? == 0 {
                return outcome.and(Err(ScriptError::Broken("the server closed the connection".to_owned())));
            }
        }
    }
}
