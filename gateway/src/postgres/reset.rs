//! Making a session as it was after the login, so that the next request sees nothing of this one.
//!
//! What `DISCARD ALL` does not reach: what code of an extension keeps in the server's process (`%_SHARED` of PL/Perl,
//! `GD` of PL/Python), and that a custom setting once set exists, empty. Requests of other roles never see either,
//! because each role has connections of its own.

use std::time::Duration;

use bytes::Buf;
use onetrip_wire::Limits;
use onetrip_wire::backend::{TransactionStatus, tag};
use onetrip_wire::frame;

use super::Connection;

/// How long a reset may take before the connection is closed instead.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `DISCARD ALL` as a Query frame: settings, role, temporary tables, prepared statements, cursors, advisory locks,
/// sequences and LISTEN, all in C functions that no search_path can divert.
pub(super) const FRAMES: &[u8] = b"Q\0\0\0\x10DISCARD ALL\0";

/// What undoes an open transaction first, in which `DISCARD ALL` is not allowed.
const WITH_ROLLBACK: &[u8] = b"Q\0\0\0\x0dROLLBACK\0Q\0\0\0\x10DISCARD ALL\0";

/// Reads the answer to [`FRAMES`], which were sent behind a request that ended with `status`; whether the session is
/// now as after a login. If not, the connection must be closed.
pub(super) async fn confirm(connection: &mut Connection, status: TransactionStatus, limits: &Limits) -> bool {
    let confirmed = tokio::time::timeout(TIMEOUT, async {
        let clean = command(connection, limits).await?;
        if status == TransactionStatus::Idle {
            return Some(clean);
        }
        if clean {
            // In an open transaction PostgreSQL refuses DISCARD ALL. It did not, so we are not where we think.
            return Some(false);
        }
        connection.send(WITH_ROLLBACK.to_vec());
        Some(command(connection, limits).await? && command(connection, limits).await?)
    });
    confirmed.await == Ok(Some(true)) && connection.incoming.is_empty()
}

/// Reads up to the next ReadyForQuery: whether it is idle and no error came before; `None` when the stream ends.
async fn command(connection: &mut Connection, limits: &Limits) -> Option<bool> {
    let mut failed = false;
    loop {
        match frame::first(&connection.incoming, limits).ok()? {
            None => {
                if connection.read().await.ok()? == 0 {
                    return None;
                }
            }
            Some(frame) => {
                let (tag, len) = (frame.tag, frame.frame_len());
                let idle = frame.body == b"I";
                connection.incoming.advance(len);
                match tag {
                    tag::READY => return Some(idle && !failed),
                    tag::ERROR => failed = true,
                    _ => {}
                }
            }
        }
    }
}
