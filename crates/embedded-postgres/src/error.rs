//! What can go wrong with an embedded server, and what to do about it.

use std::{fmt, io, path::Path, process::Output};

/// Why an embedded server could not be installed, started or stopped.
///
/// Prints what was attempted, what happened and what to do. Never holds a password.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<io::Error>,
}

/// What to branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There are no server binaries for this operating system and processor.
    UnsupportedPlatform,
    /// The server binaries could not be downloaded or unpacked.
    Install,
    /// Started by root, and no unprivileged user was found to run the server as.
    NoUnprivilegedUser,
    /// An option holds a value that PostgreSQL's configuration files cannot hold.
    InvalidOption,
    /// `initdb`, the start or the stop of the server failed; the message ends with the server's own words.
    Server,
    /// Another process uses the data directory.
    InUse,
    /// A file could not be read or written, or a program could not be run.
    Io,
}

impl Error {
    /// What to branch on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        Self {
            kind: Kind::Io,
            message: format!("{doing} {}: {source}", path.display()),
            source: Some(source),
        }
    }

    /// The error of a program that ended with a failure: its command and the end of what it printed.
    pub(crate) fn program(kind: Kind, program: &str, output: &Output, advice: &str) -> Self {
        let printed =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Self::new(kind, format!("{program}: {}\n{}{advice}", output.status, tail(&printed)))
    }
}

/// The last lines of a text, indented.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(TAIL_LINES);
    lines.iter().skip(start).map(|line| format!("    {line}\n")).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message.trim_end())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

const TAIL_LINES: usize = 12;
