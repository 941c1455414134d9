//! The listener: accepts connections, serves them, and drains them when it is told to stop.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, pending};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Limits, TlsFiles};
use crate::http;
use crate::pool::{Database, VerifierKey};

/// How long connections get to send what is written when all requests are answered.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// HTTP/2 requests of one connection at a time.
const CONCURRENT_STREAMS: u32 = 256;

/// An endpoint that listens. [`run`](Self::run) makes it answer.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
}

/// Why an endpoint cannot start. `Display` says what to do about it.
#[derive(Debug)]
pub struct StartError(String);

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
    /// When the address cannot be listened at, or a certificate or key cannot be used.
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
        let key = Arc::new(VerifierKey::generate().map_err(StartError)?);
        let mut databases = HashMap::new();
        for (name, database) in &config.databases {
            let database = Database::new(database.clone(), key.clone())
                .map_err(|error| StartError(format!("databases.{name}.url: {error}")))?;
            databases.insert(name.clone(), database);
        }
        let acceptor = config.tls.as_ref().map(acceptor).transpose()?;
        let listen = config.listen;
        let cannot = |error: std::io::Error| {
            let what = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program listens there; choose another port with --listen"
                }
                std::io::ErrorKind::PermissionDenied => "this needs more rights; choose a port from 1024 up",
                std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
                _ => "the system does not let it",
            };
            StartError(format!("cannot listen at {listen}: {what} ({error})"))
        };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let shared = Arc::new(Shared {
            config,
            databases,
            draining: AtomicBool::new(false),
            in_flight: Arc::new(watch::Sender::new(0)),
            requests: AtomicU64::new(0),
            request_ids: RandomState::new(),
        });
        Ok(Server { listener, address, acceptor, shared })
    }

    /// The address that it listens at, with the real port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients can use on this machine, for example `http://127.0.0.1:5480`.
    pub fn url(&self) -> String {
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Answers requests until `shutdown` is ready, then drains: requests in flight go on for up to `drain_timeout`,
    /// new ones get 503 `shutting_down`, `/healthz` says 503, and when all is answered the connections are closed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { listener, acceptor, shared, .. } = self;
        let names: Vec<&str> = shared.config.databases.keys().map(String::as_str).collect();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        tracing::info!("listening on {scheme}://{}, databases: {}", self.address, names.join(", "));

        let reaper = tokio::spawn(reap(shared.clone()));
        let stop = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        let accept = async |connections: &mut JoinSet<()>| match listener.accept().await {
            Ok((stream, _)) => {
                let serve = serve(stream, acceptor.clone(), shared.clone(), stop.subscribe());
                connections.spawn(serve);
                while connections.try_join_next().is_some() {}
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: asking again at once would only burn time.
                sleep(Duration::from_millis(20)).await;
            }
        };
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = accept(&mut connections) => {}
            }
        }

        shared.draining.store(true, Ordering::Relaxed);
        let mut in_flight = shared.in_flight.subscribe();
        tracing::info!("draining, {} requests in flight", *in_flight.borrow());
        let mut drained = pin!(timeout(shared.config.drain_timeout, in_flight.wait_for(|count| *count == 0)));
        let finished = loop {
            tokio::select! {
                biased;
                finished = &mut drained => break finished.is_ok(),
                () = accept(&mut connections) => {}
            }
        };
        if !finished {
            tracing::warn!("{} requests did not finish within drain_timeout", *shared.in_flight.borrow());
        }
        drop(listener);
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

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) databases: HashMap<String, Database>,
    draining: AtomicBool,
    in_flight: Arc<watch::Sender<usize>>,
    requests: AtomicU64,
    request_ids: RandomState,
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.in_flight.send_modify(|count| *count += 1);
        InFlight(self.in_flight.clone())
    }

    /// A new name for a request: 16 hexadecimal digits that tell nothing about other requests.
    pub(crate) fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}", self.request_ids.hash_one(number))
    }
}

/// A request in flight.
pub(crate) struct InFlight(Arc<watch::Sender<usize>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    // Small answers must not wait for the client's acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return serve_http(stream, shared, stop).await };
    match timeout(shared.config.limits.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_http(stream, shared, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let begun = AtomicBool::new(false);
    let builder = builder(&shared.config.limits);
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        http::handle(shared.clone(), request)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // hyper's own timeout begins with the first line of a request; this one is for who sends nothing at all.
    let silent = async {
        sleep(shared.config.limits.header_timeout).await;
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

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, StartError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(|certificates| certificates.collect());
    let chain = chain
        .map_err(|error| StartError(format!("tls.certificate {}: {error}", files.certificate.display())))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| StartError(format!("tls.key {}: {error}", files.key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            StartError(format!("tls.certificate and tls.key cannot be used together: {error}"))
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Closes connections to PostgreSQL that nobody needs, now and then.
async fn reap(shared: Arc<Shared>) {
    let intervals = shared.databases.values().map(Database::reap_interval);
    let interval = intervals.min().unwrap_or(Duration::from_secs(15));
    loop {
        sleep(interval).await;
        shared.databases.values().for_each(Database::reap);
    }
}
