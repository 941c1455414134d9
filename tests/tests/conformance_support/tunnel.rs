//! PostgreSQL's messages over a WebSocket, as a client sees them.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use onetrip_wire::backend::ErrorResponse;
use onetrip_wire::{Limits, frame};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Opens a WebSocket at a path.
pub async fn open(address: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) =
        tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream).await.unwrap();
    assert_eq!(response.status(), 101);
    socket
}

/// Sends the messages of a case and reads until so many of PostgreSQL's messages other than ParameterStatus are there.
pub async fn messages(address: SocketAddr, case: &Value, count: usize) -> Vec<String> {
    let mut socket = open(address, case["path"].as_str().unwrap()).await;
    for message in case["send"].as_array().unwrap() {
        socket.send(Message::binary(bytes(message.as_str().unwrap()))).await.unwrap();
    }
    let (mut incoming, mut messages) = (Vec::new(), Vec::new());
    while messages.iter().filter(|message: &&String| !message.starts_with("S(")).count() < count {
        let next = socket.next().await.expect("the session ended early").unwrap();
        if let Message::Binary(bytes) = next {
            incoming.extend_from_slice(&bytes);
        }
        if incoming == b"N" {
            messages.push("byte N".to_owned());
            incoming.clear();
        }
        while let Some(found) = frame::first(&incoming, &Limits::default()).unwrap() {
            messages.push(described(found.tag, found.body));
            let len = found.frame_len();
            incoming.drain(..len);
        }
    }
    messages
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u32> = hexadecimal.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn described(tag: u8, body: &[u8]) -> String {
    let name = char::from(tag);
    let word = || body.split(|&byte| byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
    match tag {
        b'R' => format!("R(auth={})", u32::from_be_bytes(body[..4].try_into().unwrap())),
        b'S' | b'C' => format!("{name}({})", word()),
        b'Z' => format!("Z({})", char::from(body[0])),
        b'E' => {
            let error = ErrorResponse::parse(body).unwrap();
            format!("E({} {} {})", error.severity(), error.code(), error.message())
        }
        _ => name.to_string(),
    }
}
