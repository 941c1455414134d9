//! hyper and rustls on tokio: connections are kept and reused, HTTP/2 where the endpoint offers it over TLS.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use super::{Body, BoxFuture, Clock, Failure, RESPONSE_HEADERS, Request, Response, Sent, Transport};

/// The transport of native programs. It needs a tokio runtime with time and I/O, always the same one: its idle
/// connections live there.
///
/// Connecting takes at most 10 seconds, idle connections are kept for 90. Certificates are checked against Mozilla's
/// roots, which are compiled in; [`with_tls`](Native::with_tls) takes others.
pub struct Native {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Default for Native {
    fn default() -> Native {
        Native::new()
    }
}

impl Native {
    /// A transport that trusts Mozilla's roots.
    pub fn new() -> Native {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Native::with_tls(tls)
    }

    /// A transport with rustls' settings of your own: other roots, a client certificate.
    ///
    /// `tls` must leave `alpn_protocols` empty; they are set here.
    ///
    /// # Panics
    /// When `alpn_protocols` is not empty.
    ///
    /// # Examples
    /// ```
    /// use onetrip::{Client, Config, transport::Native};
    /// # fn example(tls: rustls::ClientConfig) -> Result<(), onetrip::Error> {
    /// let config: Config = "https://app:secret@db.internal/shop".parse()?;
    /// let client = Client::with_transport(config, Native::with_tls(tls));
    /// # Ok(()) }
    /// ```
    pub fn with_tls(tls: ClientConfig) -> Native {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .build(connector);
        Native { client }
    }
}

impl Transport for Native {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let mut builder = hyper::Request::post(request.url());
            for (name, value) in request.headers() {
                let mut value =
                    HeaderValue::from_str(value).map_err(|error| Failure::new(Sent::No, error))?;
                value.set_sensitive(name == "authorization");
                builder = builder.header(HeaderName::from_static(name), value);
            }
            let whole = builder
                .body(Full::new(request.body().clone()))
                .map_err(|error| Failure::new(Sent::No, error))?;
            let response = self.client.request(whole).await.map_err(|error| {
                let sent = if error.is_connect() { Sent::No } else { Sent::Perhaps };
                Failure::new(sent, error)
            })?;
            let headers = RESPONSE_HEADERS
                .into_iter()
                .filter_map(|name| Some((name, response.headers().get(name)?.to_str().ok()?.to_owned())))
                .collect();
            let status = response.status().as_u16();
            Ok(Response { status, headers, body: Box::new(Arriving(response.into_body())) })
        })
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

struct Arriving(Incoming);

impl Body for Arriving {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        Box::pin(async move {
            while let Some(frame) = self.0.frame().await {
                let frame = frame.map_err(|error| Failure::new(Sent::Perhaps, error))?;
                // Trailers say nothing.
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
            Ok(None)
        })
    }
}

/// The monotonic clock, and tokio's timer.
struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, milliseconds: u64) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(milliseconds)))
    }

    fn random(&self) -> u32 {
        // Each `RandomState` has keys of its own.
        let bits = RandomState::new().build_hasher().finish();
        u32::try_from(bits >> 32).unwrap_or_default()
    }
}
