//! Errors that the endpoint itself puts into an answer, in the place of what PostgreSQL sends.

use onetrip_wire::backend;

/// The SQLSTATE of an answer that is over a limit.
pub(super) const TOO_LARGE: &str = "54000";

/// In the place of what is over a limit, a row as a rule.
pub(super) fn too_large(message: &str) -> Vec<u8> {
    error(TOO_LARGE, message, "Ask for less: fewer rows with LIMIT, or less of a value with substring().")
}

/// In the place of a COPY FROM STDIN, with so many groups still to be answered: its own and all later ones fail. That is
/// what happens on the server, too, for it meets the next frame of the flight, if only that of the reset, and gives up the
/// session.
pub(super) fn copy(groups_left: usize) -> Vec<u8> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let refused = error(
        "0A000",
        "COPY FROM STDIN is not possible in a request",
        "Use INSERT … SELECT FROM unnest($1, $2) to bring many rows in one statement.",
    );
    let skipped = error(
        "0A000",
        "not executed, because COPY FROM STDIN in an earlier transaction of the request ended the session",
        "Send this transaction again without the one that holds COPY FROM STDIN.",
    );
    let mut frames = [&refused, READY].concat();
    for _ in 1..groups_left {
        frames.extend([&skipped, READY].concat());
    }
    frames
}

fn error(sqlstate: &str, message: &str, hint: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    backend::write_error(&mut frame, sqlstate, message, Some(hint));
    frame
}
