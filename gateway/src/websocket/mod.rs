//! PostgreSQL's protocol over WebSocket (PROTOCOL.md section 7.4): each client gets a pooled connection for itself.
//!
//! | module | one concept |
//! | --- | --- |
//! | `startup` | what a client says before its session begins |
//! | `session` | the session: logging in, passing bytes both ways, giving the connection back |
//! | `traffic` | the frames that go by, and whether the session is at rest |
//! | `sessions` | all sessions, by the keys that cancel |

mod session;
mod sessions;
mod startup;
mod traffic;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) use sessions::Sessions;

use crate::server::Shared;

/// Whether a request wants to become a WebSocket. RFC 6455, section 4.1.
pub(crate) fn is_upgrade(head: &Parts) -> bool {
    head.method == Method::GET
        && has_word(&head.headers, header::CONNECTION, "upgrade")
        && has_word(&head.headers, header::UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// Accepts a WebSocket and serves its session in the background. The status and headers to answer with.
///
/// # Errors
/// A text when the handshake is none.
pub(crate) fn accept(
    shared: &Arc<Shared>,
    head: &Parts,
    upgrade: OnUpgrade,
    peer: IpAddr,
) -> Result<(StatusCode, HeaderMap), &'static str> {
    let header = |name: header::HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
    if header(header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err("the WebSocket handshake must have Sec-WebSocket-Version: 13");
    }
    let key = header(header::SEC_WEBSOCKET_KEY).ok_or("the WebSocket handshake has no Sec-WebSocket-Key")?;
    let accept = HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|_| "the WebSocket handshake cannot be answered")?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);

    let shared = shared.clone();
    // A session is in flight until it ends: the endpoint waits for it when it drains.
    let in_flight = shared.begin();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let limit = Some(shared.served().config.limits.request_bytes);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config));
        session::serve(&shared, stream.await, peer).await;
        drop(in_flight);
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers))
}
