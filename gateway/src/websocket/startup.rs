//! What a client says before its session begins. PostgreSQL manual, "StartupMessage", "SSLRequest", "CancelRequest".

use bytes::{Buf, BytesMut};

use crate::session_settings::SessionSettings;

/// As PostgreSQL's own limit.
const STARTUP_LIMIT_BYTES: usize = 10_000;

/// No password is longer.
const PASSWORD_LIMIT_BYTES: usize = 10_000;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// The first thing that a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It asks for encryption, which the WebSocket has or has not.
    Encryption,
    /// It wants to cancel what another session runs.
    Cancel { process_id: i32, secret: i32 },
    /// It wants a session.
    Session(Startup),
}

/// A StartupMessage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Startup {
    pub(super) role: String,
    pub(super) database: String,
    /// Names and values for the session, `options` among them.
    parameters: Vec<(String, String)>,
    /// Whether the client asked for a later protocol than 3.0, and which of its options there are not.
    pub(super) negotiate: Option<Vec<String>>,
}

/// A refusal: SQLSTATE and message.
pub(super) type Refusal = (&'static str, String);

const VIOLATION: &str = "08P01";

impl Opening {
    /// Takes the next packet out of `incoming`; `None` while it is not whole.
    pub(super) fn take(incoming: &mut BytesMut) -> Result<Option<Opening>, Refusal> {
        let Some(header) = incoming.first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if !(8..=STARTUP_LIMIT_BYTES).contains(&len) {
            return Err((VIOLATION, "invalid length of startup packet".to_owned()));
        }
        if incoming.len() < len {
            return Ok(None);
        }
        let mut packet = incoming.split_to(len);
        packet.advance(4);
        let code = packet.get_u32();
        Ok(Some(match code {
            SSL_REQUEST | GSSENC_REQUEST => Opening::Encryption,
            CANCEL_REQUEST => {
                let malformed = || (VIOLATION, "invalid length of cancel request packet".to_owned());
                let process_id = packet.try_get_i32().map_err(|_| malformed())?;
                let secret = packet.try_get_i32().map_err(|_| malformed())?;
                Opening::Cancel { process_id, secret }
            }
            _ if code >> 16 == 3 => Opening::Session(Startup::parse(&packet, code & 0xffff)?),
            _ => {
                let (major, minor) = (code >> 16, code & 0xffff);
                let message =
                    format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0");
                return Err(("0A000", message));
            }
        }))
    }
}

impl Startup {
    fn parse(packet: &[u8], minor: u32) -> Result<Startup, Refusal> {
        let malformed =
            || (VIOLATION, "invalid startup packet layout: expected terminator as last byte".to_owned());
        let text = std::str::from_utf8(packet)
            .map_err(|_| (VIOLATION, "the startup packet is not UTF-8".to_owned()))?;
        let text = text.strip_suffix('\0').ok_or_else(malformed)?;
        let mut words: Vec<&str> = text.split('\0').collect();
        // The terminator of the last value leaves an empty word.
        if words.pop() != Some("") || !words.len().is_multiple_of(2) {
            return Err(malformed());
        }
        let mut startup = Startup::default();
        let mut unknown = Vec::new();
        for pair in words.chunks_exact(2) {
            let [name, value] = pair else { continue };
            match *name {
                "user" => (*value).clone_into(&mut startup.role),
                "database" => (*value).clone_into(&mut startup.database),
                "replication" if !matches!(*value, "false" | "off" | "no" | "0") => {
                    return Err(("0A000", "there is no replication over this endpoint".to_owned()));
                }
                "replication" => {}
                name if name.starts_with("_pq_.") => unknown.push(name.to_owned()),
                name => startup.parameters.push((name.to_owned(), (*value).to_owned())),
            }
        }
        if startup.role.is_empty() {
            return Err(("28000", "no PostgreSQL user name specified in startup packet".to_owned()));
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.role);
        }
        startup.negotiate = (minor > 0 || !unknown.is_empty()).then_some(unknown);
        Ok(startup)
    }

    /// What the session is to be set to. `options` comes first, as on the server.
    pub(super) fn settings(&self) -> Result<SessionSettings, String> {
        let mut settings = SessionSettings::default();
        let (options, others): (Vec<_>, Vec<_>) =
            self.parameters.iter().partition(|(name, _)| name == "options");
        for (_, options) in options {
            settings.options(options)?;
        }
        for (name, value) in others {
            settings.set(name, value)?;
        }
        Ok(settings)
    }
}

/// Takes a PasswordMessage out of `incoming`; `None` while it is not whole.
pub(super) fn take_password(incoming: &mut BytesMut) -> Result<Option<BytesMut>, Refusal> {
    let Some(&[tag, a, b, c, d]) = incoming.first_chunk::<5>() else { return Ok(None) };
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if tag != b'p' {
        return Err((VIOLATION, "expected password response".to_owned()));
    }
    if !(5..=PASSWORD_LIMIT_BYTES).contains(&len) {
        return Err((VIOLATION, "invalid password packet size".to_owned()));
    }
    if incoming.len() < len + 1 {
        return Ok(None);
    }
    let mut packet = incoming.split_to(len + 1);
    packet.advance(5);
    let password = packet.split_to(packet.len() - 1);
    if packet.first() != Some(&0) || password.contains(&0) {
        return Err((VIOLATION, "invalid password packet".to_owned()));
    }
    Ok(Some(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, body: &[u8]) -> BytesMut {
        let mut packet = BytesMut::new();
        packet.extend_from_slice(&u32::try_from(8 + body.len()).unwrap().to_be_bytes());
        packet.extend_from_slice(&code.to_be_bytes());
        packet.extend_from_slice(body);
        packet
    }

    #[test]
    fn an_opening_is_read_whole_or_not_at_all() {
        let whole = packet(196_608, b"user\0web\0options\0-c a.b=c\0application_name\0x\0\0");
        for end in 0..whole.len() {
            assert_eq!(Opening::take(&mut BytesMut::from(&whole[..end])), Ok(None), "{end} bytes");
        }
        let Ok(Some(Opening::Session(startup))) = Opening::take(&mut whole.clone()) else { panic!() };
        assert_eq!((startup.role.as_str(), startup.database.as_str()), ("web", "web"));
        let settings = startup.settings().unwrap();
        assert_eq!(settings.iter().collect::<Vec<_>>(), [("a.b", "c"), ("application_name", "x")]);
        assert_eq!(startup.negotiate, None);
        assert_eq!(Opening::take(&mut packet(SSL_REQUEST, b"")), Ok(Some(Opening::Encryption)));
        let cancel = Opening::Cancel { process_id: 1, secret: 2 };
        assert_eq!(Opening::take(&mut packet(CANCEL_REQUEST, &[0, 0, 0, 1, 0, 0, 0, 2])), Ok(Some(cancel)));
        let later = Opening::take(&mut packet(196_610, b"user\0a\0_pq_.x\0\x31\0\0"));
        let Ok(Some(Opening::Session(startup))) = later else { panic!() };
        assert_eq!(startup.negotiate, Some(vec!["_pq_.x".to_owned()]));
    }

    #[test]
    fn what_is_none_is_refused() {
        for (mut packet, expected) in [
            (packet(131_072, b""), "0A000"),
            (packet(196_608, b""), "08P01"),
            (packet(196_608, b"user"), "08P01"),
            (packet(196_608, b"user\0\xff\0\0"), "08P01"),
            (packet(196_608, b"database\0a\0\0"), "28000"),
            (packet(196_608, b"user\0a\0replication\0database\0\0"), "0A000"),
            (packet(CANCEL_REQUEST, b""), "08P01"),
            (BytesMut::from(&[0, 0, 0, 4, 0, 0, 0, 0][..]), "08P01"),
            (BytesMut::from(&b"GET / HTTP/1.1"[..]), "08P01"),
        ] {
            assert_eq!(Opening::take(&mut packet).map_err(|(code, _)| code), Err(expected), "{packet:?}");
        }
    }

    #[test]
    fn a_password_ends_with_its_zero() {
        let read = |bytes: &[u8]| take_password(&mut BytesMut::from(bytes));
        assert_eq!(read(b"p\0\0\0\x07ab\0Q").unwrap().unwrap(), &b"ab"[..]);
        assert_eq!(read(b"p\0\0\0\x05\0").unwrap().unwrap(), &b""[..]);
        assert_eq!(read(b"p\0\0\0\x07ab").unwrap(), None);
        for bytes in
            [&b"Q\0\0\0\x05\0"[..], b"p\0\0\0\x04", b"p\0\0\0\x06ab", b"p\xff\0\0\0\0", b"p\0\0\0\x06\0\0"]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
