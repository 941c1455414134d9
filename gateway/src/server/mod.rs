//! The listeners: accept connections, and drain them when the endpoint is told to stop.

mod connection;
mod reload;
mod repoll;
mod shared;
mod tls;

use std::fmt;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{Config, MetricsListener};
use crate::http::{Door, Peer};
use crate::pool::Database;
use connection::serve;
pub use reload::Reloader;
use repoll::repolled;
pub(crate) use shared::{InFlight, Phase, Served, Shared};

/// How long connections get to send what is written when all requests are answered.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An endpoint that listens. [`run`](Self::run) makes it answer.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr)>,
    shared: Arc<Shared>,
}

/// Why an endpoint cannot start. `Display` says what to do about it.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(text: String) -> StartError {
        StartError(text)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Listens at `config.listen`. PostgreSQL is not connected to before a request needs it.
    ///
    /// # Errors
    /// When an address cannot be listened at, or a certificate or key cannot be used.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use onetrip_gateway::{Config, Server};
    /// let config = Config::from_toml("databases.app.url = 'postgresql://127.0.0.1:5432/app'")?;
    /// let server = Server::bind(config).await?;
    /// println!("{}", server.url());
    /// server.run(async { drop(tokio::signal::ctrl_c().await) }).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn bind(config: Config) -> Result<Server, StartError> {
        let (listen, metrics) = (config.listen, config.metrics.listener);
        let shared = Arc::new(Shared::new(config)?);
        let (listener, address) = listen_at(listen, "--listen").await?;
        let metrics = match metrics {
            MetricsListener::Own(address) => Some(listen_at(address, "metrics.listen").await?),
            MetricsListener::Off | MetricsListener::Same => None,
        };
        Ok(Server { listener, address, metrics, shared })
    }

    /// The address that it listens at, with the real port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for those who watch it, if that is another address.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// The URL that clients can use on this machine, for example `http://127.0.0.1:5480`.
    pub fn url(&self) -> String {
        let scheme = if self.shared.served().acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What gives this endpoint another configuration while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self.shared.clone())
    }

    /// Answers requests until `shutdown` is ready, then leaves and drains: `/readyz` says 503; requests are taken for
    /// another `drain_delay`; then those in flight go on for up to `drain_timeout`, new ones get 503 `shutting_down`
    /// and `/healthz` says 503, too; and when all is answered the connections are closed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let served = self.shared.served();
        let names: Vec<&str> = served.config.databases.keys().map(String::as_str).collect();
        tracing::info!("listening on {}, databases: {}", self.url(), names.join(", "));
        if let Some((_, address)) = &self.metrics {
            tracing::info!("metrics on http://{address}/metrics");
        }
        drop(served);
        let Server { listener, metrics, shared, .. } = self;

        let reaper = tokio::spawn(reap(shared.clone()));
        let stop = watch::Sender::new(false);
        let mut doors =
            Doors { listener, metrics, shared: shared.clone(), stop, connections: JoinSet::new() };
        doors.accept_until(shutdown).await;

        shared.enter(Phase::Leaving);
        let served = shared.served();
        let (delay, drain_timeout) = (served.config.drain_delay, served.config.drain_timeout);
        drop(served);
        if delay > Duration::ZERO {
            tracing::info!("leaving: not ready any more, requests are taken for another {delay:?}");
            doors.accept_until(sleep(delay)).await;
        }
        shared.enter(Phase::Draining);
        tracing::info!("draining, {} requests in flight", shared.in_flight());
        let finished = doors.accept_until(timeout(drain_timeout, shared.answered())).await.is_ok();
        if !finished {
            tracing::warn!("{} requests did not finish within drain_timeout", shared.in_flight());
        }
        let Doors { listener, metrics, stop, mut connections, .. } = doors;
        drop((listener, metrics));
        shared.enter(Phase::Stopped);
        stop.send_replace(true);
        if finished {
            let closed = async { while connections.join_next().await.is_some() {} };
            let _ = timeout(CLOSE_TIMEOUT, closed).await;
        }
        connections.shutdown().await;
        reaper.abort();
        tracing::info!("stopped");
    }
}

/// Where connections come in, and those that have.
struct Doors {
    listener: TcpListener,
    metrics: Option<(TcpListener, SocketAddr)>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

impl Doors {
    /// Accepts connections until `end` is ready.
    async fn accept_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                ended = &mut end => return ended,
                () = self.accept() => {}
            }
        }
    }

    async fn accept(&mut self) {
        let operators = async {
            match &self.metrics {
                Some((listener, _)) => listener.accept().await,
                None => pending().await,
            }
        };
        let (accepted, door) = tokio::select! {
            accepted = self.listener.accept() => (accepted, Door::Clients),
            accepted = operators => (accepted, Door::Operators),
        };
        match accepted {
            Ok((stream, peer)) => {
                let from = Peer { address: peer.ip(), door };
                self.connections.spawn(repolled(serve(
                    stream,
                    from,
                    self.shared.clone(),
                    self.stop.subscribe(),
                )));
                while self.connections.try_join_next().is_some() {}
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: asking again at once would only burn time.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn listen_at(listen: SocketAddr, setting: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let cannot = |error: std::io::Error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program listens there; choose another port with {setting}")
            }
            std::io::ErrorKind::PermissionDenied => {
                "this needs more rights; choose a port from 1024 up".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => "the system does not let it".to_owned(),
        };
        StartError(format!("cannot listen at {listen}: {what} ({error})"))
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// Closes connections to PostgreSQL that nobody needs, now and then.
async fn reap(shared: Arc<Shared>) {
    loop {
        let intervals: Vec<Duration> =
            shared.served().databases.values().map(|database| database.reap_interval()).collect();
        sleep(intervals.into_iter().min().unwrap_or(Duration::from_secs(15))).await;
        shared.served().databases.values().for_each(|database| Database::reap(database));
    }
}
