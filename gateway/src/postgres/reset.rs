//! Making a session as it was after the login, so that the next request sees nothing of this one.
//!
//! Behind each request, in the same write, goes a reset that leaves the statements of the gateway alone
//! ([`Reset::Light`]), or `DISCARD ALL`, which does not ([`Reset::Full`]). Nobody waits for its answer but who uses the
//! connection next; the connection owes it ([`Owed`]).
//!
//! What neither reaches: what code of an extension keeps in the server's process (`%_SHARED` of PL/Perl, `GD` of
//! PL/Python), that a custom setting once set exists, empty, and the seed of `setseed()`. Requests of other roles never see
//! any of it, because each role has connections of its own. And the light one does not reach names that a function has prepared
//! (`EXECUTE 'PREPARE …'`) when the statement that called it was prepared already; what prepares, deallocates or discards
//! by itself is followed by `DISCARD ALL`.

use bytes::Buf;
use onetrip_wire::backend::{ErrorResponse, TransactionStatus, tag};
use onetrip_wire::frame::{self, Frame};
use onetrip_wire::{Error, Limits};

use super::Connection;
use super::flight::write;

/// What was sent behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// Nothing: whatever stands before PostgreSQL takes care of its sessions.
    None,
    /// Everything but prepared statements.
    Light,
    /// `DISCARD ALL`.
    Full,
}

/// About how many bytes a reset takes.
pub(super) const ROOM_BYTES: usize = 512;

/// `DISCARD ALL` as a Query frame: settings, role, temporary tables, prepared statements, cursors, advisory locks,
/// sequences and LISTEN, all in C functions that no search_path can divert.
const DISCARD_ALL: &[u8] = b"Q\0\0\0\x10DISCARD ALL\0";

/// What undoes an open transaction.
const ROLLBACK: &[u8] = b"Q\0\0\0\x0dROLLBACK\0";

/// The light reset, one transaction; each is prepared once on each connection. Nothing in it is looked up in the
/// search_path that a request may have set.
const PARTS: [&str; 7] = [
    "CLOSE ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    "UNLISTEN *",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
];

/// How many rows the parts bring.
const PARTS_ROWS: u32 = 1;

/// Brings a row if there is a name that was prepared by SQL. Parsed each time, because a name can be replaced.
const NAMES: &[u8] = b"\0SELECT 1 FROM pg_catalog.pg_prepared_statement() WHERE from_sql LIMIT 1\0\0\0";

/// Tells which server process serves the connection: a pooler that changes servers cannot give the key of one at the login.
/// A session that hides warnings tells nothing: in a shared flight one of them has to be seen ([`progress`](super::progress)).
const IDENTITY: &[u8] = b"\0SELECT CASE WHEN pg_catalog.current_setting('client_min_messages') \
    OPERATOR(pg_catalog.=) 'error' THEN 0 ELSE pg_catalog.pg_backend_pid() END\0\0\0";

/// What stands in a flight between a reset and the request behind it: the description of a statement that is there only if
/// all of the reset came through. Where it did not, the description fails, and with it the whole group that it begins.
pub(super) fn guard(connection: &Connection, out: &mut Vec<u8>) {
    write(out, b'D', |out| {
        out.push(b'S');
        mark(connection, out);
    });
}

/// The name of the statement that a guard looks for.
fn mark(connection: &Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(connection.statements.prefix().as_bytes());
    out.extend_from_slice(b"mark\0");
}

/// What goes in front of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A script: a Query frame.
    Script,
    /// A request that may have prepared names by SQL.
    Parsing,
    /// A request that has parsed nothing.
    Prepared,
    /// The same, and another request follows behind the reset.
    PreparedAndMore,
}

/// The answers to resets that a connection has not read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owed {
    /// ReadyForQuery frames before which an error changes nothing, for more follows.
    lenient: u32,
    /// ReadyForQuery frames that must be idle and without an error before them.
    strict: u32,
    rows: u32,
    failed: bool,
    /// Whether the identity of the server is told behind the rows of the parts.
    identity: bool,
}

impl Owed {
    pub(super) fn nothing(self) -> bool {
        self.lenient == 0 && self.strict == 0
    }
}

/// Appends the reset to a flight.
pub(super) fn append(connection: &mut Connection, before: Before, out: &mut Vec<u8>) -> Reset {
    if !connection.traits().resets {
        return Reset::None;
    }
    if before == Before::Script || !connection.statements.takes(&[]) {
        connection.forget_statements();
        out.extend_from_slice(DISCARD_ALL);
        return Reset::Full;
    }
    if before == Before::PreparedAndMore {
        // At the start, where nothing can keep it from being executed.
        write(out, b'C', |out| {
            out.push(b'S');
            mark(connection, out);
        });
    }
    let prefix = connection.statements.prefix();
    for (letter, sql) in (b'a'..).zip(PARTS) {
        let name = |out: &mut Vec<u8>| {
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(&[letter, 0]);
        };
        if !connection.reset_is_prepared {
            write(out, b'P', |out| {
                name(out);
                out.extend_from_slice(sql.as_bytes());
                out.extend_from_slice(&[0; 3]);
            });
        }
        write(out, b'B', |out| {
            out.push(0);
            name(out);
            out.extend_from_slice(&[0; 6]);
        });
        write(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    }
    let mut ask = |parse: &[u8]| {
        write(out, b'P', |out| out.extend_from_slice(parse));
        write(out, b'B', |out| out.extend_from_slice(&[0; 8]));
        write(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    };
    connection.asks_identity = !connection.reset_is_prepared;
    if connection.asks_identity {
        ask(IDENTITY);
    }
    if before == Before::Parsing {
        ask(NAMES);
    }
    if before == Before::PreparedAndMore {
        write(out, b'P', |out| {
            mark(connection, out);
            out.extend_from_slice(&[0; 3]);
        });
    }
    write(out, b'S', |_| {});
    connection.reset_is_prepared = true;
    Reset::Light
}

/// Whether a command that ended with this tag may have changed the names of prepared statements.
pub(super) fn changes_names(command_tag: &[u8]) -> bool {
    let word = command_tag.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    matches!(word, b"PREPARE" | b"DEALLOCATE" | b"DISCARD" | b"DO" | b"CALL" | b"LOAD")
}

/// Whether a command that ended with this tag can neither have opened or ended a transaction nor have prepared names.
pub(super) fn is_plain(command_tag: &[u8]) -> bool {
    let word = command_tag.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    matches!(word, b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE")
}

/// After an answer that ended with `status`: sends what else has to be undone, and writes down what PostgreSQL owes.
pub(super) fn follow_up(connection: &mut Connection, reset: Reset, status: TransactionStatus, names: bool) {
    let open = status != TransactionStatus::Idle;
    let mut owed = Owed { identity: std::mem::take(&mut connection.asks_identity), ..Owed::default() };
    match (reset, open || (names && reset == Reset::Light)) {
        (Reset::None, false) => {}
        (Reset::None, true) => {
            owed.strict = 1;
            connection.send(ROLLBACK.to_vec());
        }
        (_, false) => owed.strict = 1,
        // In an open transaction PostgreSQL has refused `DISCARD ALL`, or what the light reset did goes with it.
        (_, true) => {
            owed.lenient = 1;
            let frames = if open { [ROLLBACK, DISCARD_ALL].concat() } else { DISCARD_ALL.to_vec() };
            owed.strict = if open { 2 } else { 1 };
            connection.send(frames);
            connection.forget_statements();
        }
    }
    connection.owed = owed;
}

/// Writes down that the answer of a reset, and nothing else, is still to be read.
pub(super) fn owe(connection: &mut Connection) {
    connection.owed = Owed { strict: 1, ..Owed::default() };
}

/// Undoes everything, whatever the session has been through. The connection must have nothing left to read.
pub(super) fn start_over(connection: &mut Connection) {
    connection.send([ROLLBACK, DISCARD_ALL].concat());
    connection.forget_statements();
    connection.owed = Owed { strict: 2, ..Owed::default() };
}

/// Reads what has arrived of the answer to a reset that stands in the middle of a flight. `None`: more must be read.
/// Otherwise whether it came through: if not, the guard behind it keeps the next request from running.
pub(super) fn pass(connection: &mut Connection) -> Option<Result<bool, Error>> {
    let limits = Limits::default();
    loop {
        let frame = match frame::first(&connection.incoming, &limits) {
            Err(error) => return Some(Err(error)),
            Ok(None) => return None,
            Ok(Some(frame)) => frame,
        };
        // The session is over, and this frame will say so to whoever waits for an answer.
        if is_fatal(frame) {
            return Some(Ok(true));
        }
        let (tag, len) = (frame.tag, frame.frame_len());
        connection.owed.failed |= tag == tag::ERROR;
        let clean = frame.body == b"I" && !connection.owed.failed;
        connection.incoming.advance(len);
        if tag == tag::READY {
            connection.owed = Owed::default();
            return Some(Ok(clean));
        }
    }
}

fn is_fatal(frame: Frame<'_>) -> bool {
    frame.tag == tag::ERROR
        && ErrorResponse::parse(String::from_utf8_lossy(frame.body).as_bytes())
            .is_ok_and(|error| matches!(error.severity(), "FATAL" | "PANIC"))
}

/// Reads what has arrived of the owed answers. `None`: more must be read. Otherwise whether the session is as after a
/// login; if not, the connection must be closed.
pub(super) fn settle(connection: &mut Connection) -> Option<bool> {
    let limits = Limits::default();
    while !connection.owed.nothing() {
        let frame = match frame::first(&connection.incoming, &limits) {
            Err(_) => return Some(false),
            Ok(None) => return None,
            Ok(Some(frame)) => frame,
        };
        let len = frame.frame_len();
        let owed = &mut connection.owed;
        let mut names_left = false;
        match frame.tag {
            tag::ERROR => {
                let error = ErrorResponse::parse(String::from_utf8_lossy(frame.body).as_bytes()).ok();
                let code = error.as_ref().map(ErrorResponse::code).unwrap_or_default();
                if owed.lenient == 0 && code == "26000" {
                    // The reset's own statements are gone: dropped by code of a function, or on another server.
                    connection.traits.suspect_pooler();
                    names_left = true;
                }
                owed.failed = true;
            }
            tag::DATA_ROW => {
                owed.rows += 1;
                if owed.identity && owed.rows == PARTS_ROWS + 1 {
                    let key = connection.key.as_ref().map(|key| key.process_id.to_string());
                    // Behind the number of columns and the length of the only one.
                    let told = frame.body.get(6..).unwrap_or_default();
                    connection.is_direct = key.is_some_and(|key| key.as_bytes() == told);
                }
            }
            tag::READY => {
                let clean = frame.body == b"I" && !owed.failed;
                if owed.lenient > 0 {
                    owed.lenient -= 1;
                } else if clean {
                    owed.strict -= 1;
                    names_left = owed.rows > PARTS_ROWS + u32::from(owed.identity);
                } else {
                    return Some(false);
                }
                (owed.failed, owed.rows, owed.identity) = (false, 0, false);
            }
            _ => {}
        }
        connection.incoming.advance(len);
        if names_left {
            let lenient = u32::from(frame_is_error(&connection.owed));
            connection.send(DISCARD_ALL.to_vec());
            connection.forget_statements();
            connection.owed = Owed { lenient, strict: 1, ..Owed::default() };
        }
    }
    Some(connection.incoming.is_empty())
}

/// Whether the ReadyForQuery behind an error is still to come.
fn frame_is_error(owed: &Owed) -> bool {
    owed.failed
}
