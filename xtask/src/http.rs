//! One HTTP GET to a server on this machine, with std alone.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::step::Failure;

/// The status and the body of `GET path`.
///
/// # Errors
/// When nobody answers, or the answer is no HTTP.
pub fn get(address: &str, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let exchange = || -> std::io::Result<Option<(u16, Vec<u8>)>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
        read_answer(&mut BufReader::new(stream))
    };
    let answer = exchange().map_err(|error| Failure::new(format!("GET http://{address}{path}: {error}")))?;
    answer.ok_or_else(|| Failure::new(format!("GET http://{address}{path}: the answer is no HTTP")))
}

/// Reads one answer to its end, which is not the end of the connection; nothing when it is no HTTP.
fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Option<(u16, Vec<u8>)>> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let status = line()?.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Ok(None) };
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line()?.to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if !is_chunked {
        reader.take(length).read_to_end(&mut body)?;
        return Ok(Some((status, body)));
    }
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let Ok(size) = u64::from_str_radix(size.trim_end(), 16) else { return Ok(None) };
        reader.take(size).read_to_end(&mut body)?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(Some((status, body)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body_however_its_length_is_told() {
        let read = |answer: &str| read_answer(&mut answer.as_bytes()).unwrap();
        let whole = Some((404, b"hello".to_vec()));
        assert_eq!(read("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello and more"), whole);
        let chunked =
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n";
        assert_eq!(read(chunked), whole);
        assert_eq!(read("SSH-2.0-whatever\r\n\r\n"), None);
    }
}
