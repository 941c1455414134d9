//! Getting a small document over HTTP/1.1, without redirects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TIMEOUT: Duration = Duration::from_secs(5);
const LIMIT_BYTES: usize = 256 << 10;

/// The body of the answer to a GET.
///
/// # Errors
/// A text for the log.
pub(super) async fn fetch(url: &Uri) -> Result<Bytes, String> {
    match tokio::time::timeout(TIMEOUT, fetch_now(url)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

async fn fetch_now(url: &Uri) -> Result<Bytes, String> {
    let text = |error: std::io::Error| error.to_string();
    let host = url.host().ok_or("the URL has no host")?.trim_matches(['[', ']']);
    let secure = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(text)?;
    if !secure {
        return exchange(stream, url).await;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| "the host is no name".to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(text)?;
    exchange(stream, url).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
) -> Result<Bytes, String> {
    let text = |error: hyper::Error| error.to_string();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(text)?;
    let connection = tokio::spawn(connection);
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(text)?;
    if response.status() != 200 {
        return Err(format!("the answer is {}", response.status()));
    }
    let body = Limited::new(response.into_body(), LIMIT_BYTES);
    if body.size_hint().lower() > LIMIT_BYTES as u64 {
        return Err(format!("the answer is over {LIMIT_BYTES} bytes"));
    }
    let body = body.collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok(body.to_bytes())
}
