//! What went over one PostgreSQL connection, written down while it passes: flights and message tags.

/// A connection as the proxy has seen it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// What went over it, in order. Logging in is part of it.
    pub flights: Vec<Flight>,
    /// Whether TLS was agreed on: then there are flights, but no tags after the first one.
    pub encrypted: bool,
    /// Whether it has ended.
    pub closed: bool,
}

/// What the client sent before it looked at an answer, and that answer: one round trip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flight {
    /// The tags of the client's messages, for example `PBDES`. [`STARTUP`], [`SSL_REQUEST`] and
    /// [`CANCEL_REQUEST`] stand for the three messages that have no tag.
    pub frontend: String,
    /// The tags of the server's messages, for example `12DCZ`.
    pub backend: String,
    /// How many bytes the client sent.
    pub frontend_bytes: u64,
    /// How many bytes the server sent; 0 means that the flight was not answered (yet).
    pub backend_bytes: u64,
}

/// Stands for the startup message.
pub const STARTUP: char = '^';
/// Stands for the request for TLS.
pub const SSL_REQUEST: char = '?';
/// Stands for the request to cancel a query.
pub const CANCEL_REQUEST: char = '!';

impl Connection {
    /// The flights that a server answered.
    pub fn answered(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().filter(|flight| flight.backend_bytes > 0)
    }
}

/// Reads along on both sides of one connection.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    connection: Connection,
    frontend: Reader,
    backend: Reader,
    logged_in: bool,
}

impl Recorder {
    /// The record so far.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection has ended.
    pub(crate) fn close(&mut self) {
        self.connection.closed = true;
    }

    /// Forgets the record, but not where in the stream of messages it stands.
    pub(crate) fn forget(&mut self) {
        self.connection.flights.clear();
    }

    /// Bytes from the client. They begin a flight when the one before was answered.
    pub(crate) fn client_sent(&mut self, bytes: &[u8]) {
        let flights = &mut self.connection.flights;
        if flights.last().is_none_or(|flight| flight.backend_bytes > 0) {
            flights.push(Flight::default());
        }
        let flight = flights.last_mut().expect("one was pushed if there was none");
        flight.frontend_bytes += bytes.len() as u64;
        if self.connection.encrypted {
            return;
        }
        for &byte in bytes {
            if let Some(header) = self.frontend.push(byte, self.logged_in) {
                flight.frontend.push(header.tag());
                // The answer to a request for TLS is one byte; after "no" comes the startup message.
                self.logged_in |= header.tag() == STARTUP;
                self.backend.is_tls_answer = header.tag() == SSL_REQUEST;
            }
        }
    }

    /// Bytes from the server: they answer the flight. The rest of an answer to a forgotten flight is forgotten, too.
    pub(crate) fn server_sent(&mut self, bytes: &[u8]) {
        let Self { connection, backend, .. } = self;
        let mut flight = connection.flights.last_mut();
        if let Some(flight) = &mut flight {
            flight.backend_bytes += bytes.len() as u64;
        }
        for &byte in bytes {
            let tag = if connection.encrypted {
                return;
            } else if backend.is_tls_answer {
                backend.is_tls_answer = false;
                connection.encrypted = byte == b'S';
                Some(char::from(byte))
            } else {
                backend.push(byte, true).map(|header| header.tag())
            };
            if let Some(flight) = &mut flight {
                flight.backend.extend(tag);
            }
        }
    }
}

/// Finds the messages in one direction of a stream, whatever pieces it comes in.
#[derive(Debug, Default)]
struct Reader {
    head: Vec<u8>,
    body_remaining: usize,
    is_tls_answer: bool,
}

enum Header {
    Tagged(u8),
    Untagged(u32),
}

impl Header {
    fn tag(&self) -> char {
        match *self {
            Self::Tagged(tag) => char::from(tag),
            Self::Untagged(80_877_103) => SSL_REQUEST,
            Self::Untagged(80_877_102) => CANCEL_REQUEST,
            Self::Untagged(_) => STARTUP,
        }
    }
}

impl Reader {
    /// Takes the next byte; gives a message's header with the byte that completes it.
    fn push(&mut self, byte: u8, tagged: bool) -> Option<Header> {
        if self.body_remaining > 0 {
            self.body_remaining -= 1;
            return None;
        }
        self.head.push(byte);
        // Tag and length, or length and code.
        let (header, len) = match *self.head.as_slice() {
            [tag, a, b, c, d] if tagged => (Header::Tagged(tag), u32::from_be_bytes([a, b, c, d]) + 1),
            [a, b, c, d, e, f, g, h] if !tagged => {
                (Header::Untagged(u32::from_be_bytes([e, f, g, h])), u32::from_be_bytes([a, b, c, d]))
            }
            _ => return None,
        };
        self.body_remaining = (len as usize).saturating_sub(self.head.len());
        self.head.clear();
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn startup(code: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend(code.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn tags(connection: &Connection) -> Vec<(&str, &str)> {
        connection.flights.iter().map(|f| (f.frontend.as_str(), f.backend.as_str())).collect()
    }

    #[test]
    fn a_burst_and_its_answer_are_one_flight_whatever_pieces_they_come_in() {
        for piece in [1, 2, 3, 7, 1000] {
            let mut recorder = Recorder::default();
            let client = [startup(196_608, b"user\0me\0\0")];
            let rounds = [
                (client.concat(), message(b'R', &[0; 4])),
                ([message(b'P', b"\0select 1\0\0\0"), message(b'S', b"")].concat(), message(b'Z', b"I")),
                (message(b'Q', &[b'x'; 300]), [message(b'D', &[7; 100]), message(b'Z', b"I")].concat()),
            ];
            for (client, server) in &rounds {
                client.chunks(piece).for_each(|bytes| recorder.client_sent(bytes));
                server.chunks(piece).for_each(|bytes| recorder.server_sent(bytes));
            }
            let expected = vec![("^", "R"), ("PS", "Z"), ("Q", "DZ")];
            assert_eq!(tags(recorder.connection()), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_refused_request_for_tls_is_followed_by_a_startup_message() {
        let mut recorder = Recorder::default();
        recorder.client_sent(&startup(80_877_103, b""));
        recorder.server_sent(b"N");
        recorder.client_sent(&startup(196_608, b"user\0me\0\0"));
        recorder.server_sent(&message(b'R', &[0; 4]));
        assert_eq!(tags(recorder.connection()), vec![("?", "N"), ("^", "R")]);
    }

    #[test]
    fn an_encrypted_connection_has_flights_without_tags() {
        let mut recorder = Recorder::default();
        recorder.client_sent(&startup(80_877_103, b""));
        recorder.server_sent(b"S");
        for _ in 0..2 {
            recorder.client_sent(&[22, 3, 1]);
            recorder.server_sent(&[22, 3, 3]);
        }
        assert!(recorder.connection().encrypted);
        assert_eq!(tags(recorder.connection()), vec![("?", "S"), ("", ""), ("", "")]);
    }

    #[test]
    fn forgetting_keeps_the_place_in_a_message() {
        let mut recorder = Recorder::default();
        recorder.client_sent(&startup(196_608, b"\0"));
        recorder.server_sent(&message(b'R', &[0; 4]));
        let query = message(b'Q', b"select 1\0");
        recorder.client_sent(&query[..8]);
        recorder.forget();
        recorder.client_sent(&query[8..]);
        recorder.client_sent(&message(b'S', b""));
        assert_eq!(tags(recorder.connection()), vec![("S", "")]);
    }

    #[test]
    fn the_rest_of_a_forgotten_answer_is_no_flight() {
        let mut recorder = Recorder::default();
        recorder.client_sent(&startup(196_608, b"\0"));
        let answer = message(b'R', &[0; 4]);
        recorder.server_sent(&answer[..6]);
        recorder.forget();
        recorder.server_sent(&answer[6..]);
        recorder.server_sent(&message(b'Z', b"I"));
        assert_eq!(tags(recorder.connection()), vec![]);
        recorder.client_sent(&message(b'S', b""));
        recorder.server_sent(&message(b'Z', b"I"));
        assert_eq!(tags(recorder.connection()), vec![("S", "Z")]);
    }
}
