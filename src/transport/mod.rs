//! How a request gets to the endpoint and an answer back: one trait, and a small file for each way.

#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
mod fetch;
#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
mod local;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
mod native;
#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
mod service;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
pub use fetch::Fetch;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub use native::Native;
#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
pub use service::Service;

/// A future in a box. It is `Send` on every target: what holds JavaScript values is wrapped (see [`Transport`]).
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The response headers that a transport hands over, where the endpoint sent them; others are of no use.
///
/// # Examples
/// ```
/// use onetrip::transport::RESPONSE_HEADERS;
/// fn of_use(received: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
///     received.into_iter().filter(|(name, _)| RESPONSE_HEADERS.contains(name)).collect()
/// }
/// let received = vec![("server", "nginx".to_owned()), ("retry-after", "3".to_owned())];
/// assert_eq!(of_use(received).len(), 1);
/// ```
pub const RESPONSE_HEADERS: [&str; 4] =
    ["content-type", "retry-after", "onetrip-request-id", "server-timing"];

/// A way to the endpoint. Implement it to bring your own HTTP client, or to fake an endpoint in a test.
///
/// The futures are `Send` on every target, so that a client is the same type everywhere and lives in a `static`. On
/// wasm32 without threads a future that holds JavaScript values is wrapped, for example with `send_wrapper::SendWrapper`
/// or `worker::send::SendFuture`.
///
/// A dropped future, and a dropped [`Body`], must abort the request.
///
/// # Examples
/// ```
/// use onetrip::transport::{BoxFuture, Clock, Failure, Request, Response, Transport};
///
/// /// An endpoint that is always busy.
/// struct Busy;
///
/// impl Transport for Busy {
///     fn send(&self, _request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
///         let problem = r#"{"code": "too_many_requests", "retryable": true, "detail": "come back later"}"#;
///         let headers = vec![("content-type", "application/problem+json".to_owned())];
///         Box::pin(async move { Ok(Response::whole(429, headers, problem)) })
///     }
///
///     fn clock(&self) -> &dyn Clock {
///         self
///     }
/// }
///
/// impl Clock for Busy {
///     fn now_ms(&self) -> u64 { 0 }
///     fn sleep(&self, _milliseconds: u64) -> BoxFuture<'_, ()> { Box::pin(std::future::pending()) }
///     fn random(&self) -> u32 { 4 }
/// }
///
/// let config: onetrip::Config = "https://app:secret@db.example.com/shop".parse()?;
/// let client = onetrip::Client::with_transport(config, Busy);
/// # Ok::<(), onetrip::Error>(())
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Posts `request` and gives the head of the answer as soon as it is there; the body follows in [`Response::body`].
    /// Redirects are not followed: the answer is handed over as it is.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>>;

    /// The clock that belongs to this way: waits and deadlines are measured by it.
    fn clock(&self) -> &dyn Clock;
}

/// Time and chance, which the client's rules take as arguments.
pub trait Clock: Send + Sync {
    /// Milliseconds since any fixed moment; never less than before.
    fn now_ms(&self) -> u64;

    /// Waits.
    fn sleep(&self, milliseconds: u64) -> BoxFuture<'_, ()>;

    /// 32 random bits, to spread retries. They need not be unpredictable.
    fn random(&self) -> u32;
}

/// The bytes of an answer as they arrive.
///
/// # Examples
/// ```
/// use onetrip::transport::{Body, BoxFuture, Failure, Sent};
///
/// /// An answer of which the half gets lost.
/// struct Half(Option<&'static [u8]>);
///
/// impl Body for Half {
///     fn chunk(&mut self) -> BoxFuture<'_, Result<Option<bytes::Bytes>, Failure>> {
///         let chunk = self.0.take();
///         Box::pin(async move {
///             match chunk {
///                 Some(chunk) => Ok(Some(bytes::Bytes::from_static(chunk))),
///                 None => Err(Failure::new(Sent::Perhaps, "the connection broke")),
///             }
///         })
///     }
/// }
/// ```
pub trait Body: Send {
    /// The next bytes, or `None` at the end. An end that HTTP does not confirm (a missing last chunk, a reset stream) is a
    /// [`Failure`].
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>>;
}

/// What to post. Cheap to clone.
///
/// # Examples
/// ```
/// fn curl(request: &onetrip::transport::Request) -> String {
///     let names: Vec<&str> = request.headers().map(|(name, _)| name).collect();
///     format!("curl {} with {names:?} and {} bytes", request.url(), request.body().len())
/// }
/// ```
#[derive(Clone)]
pub struct Request {
    pub(crate) head: Arc<Head>,
    pub(crate) body: Bytes,
}

/// What is the same in each request.
pub(crate) struct Head {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Request {
    /// The URL to post to. It holds no credentials.
    pub fn url(&self) -> &str {
        &self.head.url
    }

    /// The headers to send, their names in lower case. They hold the credentials.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.head.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The body to send.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Request {
    /// Shows neither credentials nor SQL.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Request(POST {}, {} bytes)", self.head.url, self.body.len())
    }
}

/// An answer: its head, and the body to come.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Those of [`RESPONSE_HEADERS`] that came.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Box<dyn Body>,
}

impl Response {
    /// An answer that is there as a whole.
    pub fn whole(status: u16, headers: Vec<(&'static str, String)>, body: impl Into<Bytes>) -> Response {
        Response { status, headers, body: Box::new(Whole(Some(body.into()))) }
    }

    /// The value of a header, empty where it did not come.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }
}

impl fmt::Debug for Response {
    /// Shows no rows.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Response({})", self.status)
    }
}

struct Whole(Option<Bytes>);

impl Body for Whole {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        let chunk = self.0.take();
        Box::pin(async move { Ok(chunk) })
    }
}

/// A request that got no answer, or an answer that broke off.
#[derive(Debug)]
pub struct Failure {
    pub(crate) sent: Sent,
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

/// How far a request came that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte of it was sent: no connection came about. It is safe to send it again.
    No,
    /// Some or all of it may have arrived.
    Perhaps,
}

impl Failure {
    /// A failure whose `source` says what happened. The text of `source` is shown to the caller: it must not hold
    /// credentials.
    pub fn new(sent: Sent, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure { sent, source: source.into() }
    }
}

/// The transport of [`Client::connect`](crate::Client::connect).
#[cfg(all(feature = "fetch", target_arch = "wasm32"))]
pub(crate) fn standard() -> Fetch {
    Fetch::new()
}

/// The transport of [`Client::connect`](crate::Client::connect).
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub(crate) fn standard() -> Native {
    Native::new()
}
