//! Watching the frames of a session go by: what the client asked for, what PostgreSQL has answered, and whether the
//! session is at rest.

use bytes::{Bytes, BytesMut};
use onetrip_wire::backend::{TransactionStatus, tag};

/// What a session has under way.
pub(super) struct Traffic {
    client: ClientFrames,
    server: ServerFrames,
    /// ReadyForQuery frames that are still to come.
    awaited: u64,
    /// What the last one said.
    status: TransactionStatus,
}

/// A client's bytes are not PostgreSQL's protocol, or a message that has no place in a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// What a client's bytes come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// To be sent to PostgreSQL.
    pub(super) bytes: Bytes,
    /// Whether the client has said that it is done.
    pub(super) terminated: bool,
}

#[derive(Default)]
struct ClientFrames {
    /// Bytes of which the frame's header is not whole.
    held: BytesMut,
    /// Bytes of the current frame that are still to come.
    left: usize,
}

#[derive(Default)]
struct ServerFrames {
    header: Vec<u8>,
    left: usize,
    ready: bool,
}

/// No frame of PostgreSQL's is larger.
const FRAME_LIMIT_BYTES: usize = 1 << 30;

impl Traffic {
    pub(super) fn new() -> Traffic {
        Traffic {
            client: ClientFrames::default(),
            server: ServerFrames::default(),
            awaited: 0,
            status: TransactionStatus::Idle,
        }
    }

    /// Takes what the client sent.
    pub(super) fn client_sent(&mut self, bytes: &[u8]) -> Result<Taken, Violation> {
        let client = &mut self.client;
        client.held.extend_from_slice(bytes);
        let mut at = 0;
        let terminated = loop {
            let passed = client.left.min(client.held.len() - at);
            client.left -= passed;
            at += passed;
            let rest = client.held.get(at..).unwrap_or_default();
            let Some(&[tag, a, b, c, d]) = rest.first_chunk::<5>() else { break false };
            let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if !(4..=FRAME_LIMIT_BYTES).contains(&len) {
                return Err(Violation);
            }
            match tag {
                b'X' => break true,
                // Query, Sync, FunctionCall: each is answered by a ReadyForQuery.
                b'Q' | b'S' | b'F' => self.awaited += 1,
                b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'd' | b'c' | b'f' => {}
                _ => return Err(Violation),
            }
            client.left = len + 1;
        };
        let bytes = client.held.split_to(at).freeze();
        if terminated {
            // Nothing counts behind it.
            client.held.clear();
        }
        Ok(Taken { bytes, terminated })
    }

    /// Looks at what PostgreSQL sent.
    pub(super) fn server_sent(&mut self, mut bytes: &[u8]) {
        let server = &mut self.server;
        while !bytes.is_empty() {
            if server.left > 0 {
                if server.ready {
                    server.ready = false;
                    self.awaited = self.awaited.saturating_sub(1);
                    let status = bytes.get(..1).unwrap_or_default();
                    self.status = TransactionStatus::parse(status).unwrap_or(TransactionStatus::Failed);
                }
                let passed = server.left.min(bytes.len());
                server.left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let missing = 5 - server.header.len();
            let (header, rest) = bytes.split_at(missing.min(bytes.len()));
            server.header.extend_from_slice(header);
            bytes = rest;
            if let Some(&[tag, a, b, c, d]) = server.header.first_chunk::<5>() {
                let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                server.left = len.saturating_sub(4);
                server.ready = tag == tag::READY;
                server.header.clear();
            }
        }
    }

    /// The transaction status, when everything that the client has asked for is answered and no frame is in the middle.
    pub(super) fn at_rest(&self) -> Option<TransactionStatus> {
        let whole = self.client.left == 0 && self.client.held.is_empty();
        let answered = self.server.left == 0 && self.server.header.is_empty() && self.awaited == 0;
        (whole && answered).then_some(self.status)
    }

    /// Whether PostgreSQL owes an answer.
    pub(super) fn is_busy(&self) -> bool {
        self.awaited > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"Q\0\0\0\x0dSELECT 1\0";

    #[test]
    fn frames_pass_as_they_come_and_headers_only_whole() {
        let mut stream = QUERY.to_vec();
        stream.extend_from_slice(b"S\0\0\0\x04X\0\0\0\x04rest");
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let (mut traffic, mut passed, mut terminated) = (Traffic::new(), Vec::new(), false);
            for part in [first, second] {
                if !terminated {
                    let taken = traffic.client_sent(part).unwrap();
                    passed.extend_from_slice(&taken.bytes);
                    terminated = taken.terminated;
                }
            }
            assert!(terminated, "cut at {cut}");
            assert_eq!(passed, [QUERY, b"S\0\0\0\x04"].concat(), "cut at {cut}");
            assert_eq!(traffic.awaited, 2);
            traffic.awaited = 0;
            assert!(traffic.at_rest().is_some(), "a goodbye is no half a frame");
        }
        for bytes in [&b"p\0\0\0\x04"[..], b"Q\0\0\0\x03", b"Q\xff\xff\xff\xff", b"GET / "] {
            assert_eq!(Traffic::new().client_sent(bytes), Err(Violation));
        }
    }

    #[test]
    fn a_session_is_at_rest_when_all_is_answered() {
        let mut traffic = Traffic::new();
        assert_eq!(traffic.at_rest(), Some(TransactionStatus::Idle));
        traffic.client_sent(QUERY).unwrap();
        assert_eq!(traffic.at_rest(), None);
        for byte in b"D\0\0\0\x0b\0\x01\xff\xff\xff\xffZZ\0\0\0\x05T" {
            assert!(traffic.is_busy());
            traffic.server_sent(&[*byte]);
        }
        assert_eq!(traffic.at_rest(), Some(TransactionStatus::Transaction));
        traffic.client_sent(b"Q\0\0").unwrap();
        assert_eq!(traffic.at_rest(), None, "the client is in the middle of a frame");
    }

    #[test]
    fn random_bytes_are_passed_or_refused_and_never_lost() {
        let mut random = 17u64;
        for _ in 0..20_000 {
            let (mut traffic, mut given, mut passed) = (Traffic::new(), 0, 0);
            for _ in 0..4 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let word = random.to_be_bytes();
                let bytes = if random.is_multiple_of(3) {
                    [QUERY, &word[..2]].concat()
                } else {
                    [b"S\0\0\0\x04", &word[..3]].concat()
                };
                given += bytes.len();
                match traffic.client_sent(&bytes) {
                    Ok(taken) if !taken.terminated => passed += taken.bytes.len(),
                    _ => break,
                }
                assert!(given - passed < 5, "more than a header is held");
                traffic.server_sent(&word);
                let _ = (traffic.at_rest(), traffic.is_busy());
            }
        }
    }
}
