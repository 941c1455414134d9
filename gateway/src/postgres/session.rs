//! A leased connection outside of an exchange: settings in a flight of their own, and the way back to the pool.

use bytes::Buf;
use onetrip_wire::backend::{ErrorResponse, tag};
use onetrip_wire::frame;
use onetrip_wire::{Limits, frontend};

use super::{Broken, reset};
use crate::pool::Lease;
use crate::session_settings::SessionSettings;

/// Sets `settings` for the session and waits until that is done. `seen` gets names and values of the
/// reported settings (ParameterStatus) that this changes.
///
/// # Errors
/// When the connection is lost. PostgreSQL's refusal is the inner error; nothing is set then.
pub(crate) async fn apply(
    lease: &mut Lease,
    settings: &SessionSettings,
    mut seen: impl FnMut(&str, &str),
) -> Result<Result<(), ErrorResponse>, Broken> {
    if settings.is_empty() {
        return Ok(Ok(()));
    }
    let mut flight = settings.frames().to_vec();
    frontend::sync(&mut flight);
    let limits = Limits::default();
    let connection = lease.connection();
    connection.send(flight);
    let mut refused = None;
    loop {
        let Some(frame) = frame::first(&connection.incoming, &limits).map_err(Broken::Protocol)? else {
            match connection.read().await {
                Ok(1..) => continue,
                // Settings are all that this flight has: the request itself is not sent.
                _ => return Err(Broken::Unsent { sqlstate: None }),
            }
        };
        let (tag, len) = (frame.tag, frame.frame_len());
        match tag {
            tag::ERROR => {
                let text = String::from_utf8_lossy(frame.body);
                let error = ErrorResponse::parse(text.as_bytes()).map_err(Broken::Protocol)?;
                if matches!(error.severity(), "FATAL" | "PANIC") {
                    return Err(Broken::Unsent { sqlstate: Some(error.code().to_owned()) });
                }
                refused = Some(error);
            }
            tag::PARAMETER_STATUS => {
                let body = String::from_utf8_lossy(frame.body);
                let mut words = body.split('\0');
                if let (Some(name), Some(value)) = (words.next(), words.next()) {
                    seen(name, value);
                }
            }
            _ => {}
        }
        connection.incoming.advance(len);
        if tag == tag::READY {
            return Ok(refused.map_or(Ok(()), Err));
        }
    }
}

/// Gives a connection back whose last answer is read to its ReadyForQuery: everything that its session has seen is
/// undone. Whoever uses it next reads the confirmation.
pub(crate) async fn restore(mut lease: Lease) {
    let connection = lease.connection();
    reset::start_over(connection);
    connection.send_now().await;
    lease.release();
}
