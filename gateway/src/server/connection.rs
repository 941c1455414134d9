//! One connection of a client, from its TLS handshake to its end.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::shared::Shared;
use crate::config::Limits;
use crate::http::{self, Door, Peer};

/// HTTP/2 requests of one connection at a time.
const CONCURRENT_STREAMS: u32 = 256;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: Peer, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let _counted = shared.metrics.connections.one();
    // Small answers must not wait for the client's acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let served = shared.served();
    // Metrics have a door of their own so that they stay within a network; it speaks plain HTTP.
    let acceptor = served.acceptor.clone().filter(|_| peer.door == Door::Clients);
    let limits = served.config.limits.clone();
    drop(served);
    let Some(acceptor) = acceptor else { return serve_http(stream, peer, limits, &shared, stop).await };
    match timeout(limits.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_http(stream, peer, limits, &shared, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    limits: Limits,
    shared: &Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let begun = AtomicBool::new(false);
    let builder = builder(&limits);
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        http::handle(shared.clone(), peer, request)
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // hyper's own timeout begins with the first line of a request; this one is for who sends nothing at all.
    let silent = async {
        sleep(limits.header_timeout).await;
        if begun.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    let stopped = async {
        // An error would say that the server is gone, which is a reason to stop, too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = silent => return,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes);
    // hyper's own limit is 100, too, but a limit that is set costs an allocation for each request.
    if limits.headers != 100 {
        builder.http1().max_headers(limits.headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(CONCURRENT_STREAMS)
        // A client that vanished without a word holds its connection for less than a minute.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
