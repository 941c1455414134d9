//! One HTTP GET to a server on this machine, with std alone.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::step::Failure;

/// The status and the body of `GET path`.
///
/// # Errors
/// When nobody answers, or the answer is no HTTP.
pub fn get(address: &str, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // HTTP/1.0: the answer comes in one piece and ends with the connection.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| Failure::new(format!("GET http://{address}{path}: {error}")))?;
    parse(&answer).ok_or_else(|| Failure::new(format!("GET http://{address}{path}: the answer is no HTTP")))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(parse(answer), Some((404, b"hi".to_vec())));
        assert_eq!(parse(b"SSH-2.0-whatever\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
