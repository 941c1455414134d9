//! Neon-compatible endpoints (feature `neon`): the same typed client over `POST /sql`, without a gateway of onetrip's.
//!
//! Neon, PlanetScale Postgres, Xata and others answer SQL over HTTP as JSON whose values are PostgreSQL's text. [`Neon`] is a
//! transport around another one: it turns the pipeline into such a request and the answer back into frames, each value from
//! text into the binary form of its type, exactly. So every Rust type of `FromSql` reads as from onetrip's own endpoint.
//!
//! What differs from it:
//!
//! - Parameters go as text without a declared type: PostgreSQL infers each from its place. Where nothing says the type
//!   (`select $1`) it is text: cast it.
//! - The index of a statement that fails within a transaction is not in the answer: [`Error::statement`] is `None`.
//! - The answer comes as a whole: [`Client::query_raw`] gives rows as usual, but saves no memory.
//! - [`Client::batch_execute`] takes one statement.
//! - Types without a known binary form (composites, tsvector, money, …) read as `&str`.
//!
//! [`Error::statement`]: crate::Error::statement
//! [`Client::query_raw`]: crate::Client::query_raw
//! [`Client::batch_execute`]: crate::Client::batch_execute

mod answer;
mod request;

use std::sync::Arc;

use bytes::Bytes;

use crate::transport::{BoxFuture, Clock, Failure, Head, Request, Response, Sent, Transport};
use crate::{Client, Config, Credentials, Error};

/// The most of an answer's body that is read: what a Worker can hold several times.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;

/// A way to a Neon-compatible endpoint.
///
/// # Examples
/// ```
/// # #[cfg(feature = "native")] {
/// use onetrip::neon::Neon;
/// let client = Neon::connect("postgresql://app:secret@ep-cool-name-123456.eu-central-1.aws.neon.tech/shop")?;
/// # }
/// # Ok::<(), onetrip::Error>(())
/// ```
pub struct Neon<T> {
    inner: T,
    url: String,
    connection_string: String,
}

#[cfg(any(
    all(feature = "fetch", target_arch = "wasm32"),
    all(feature = "native", not(target_arch = "wasm32"))
))]
impl Neon<()> {
    /// A client for PostgreSQL's own connection string, `postgresql://role:password@host/database`, by the transport of this
    /// target. It posts to `https://host/sql`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage) when the connection string cannot work; the text shows no credentials.
    pub fn connect(connection_string: &str) -> Result<Client, Error> {
        let url = sql_url(connection_string)?;
        Neon::client(connection_string, &url, crate::transport::standard())
    }
}

impl<T: Transport> Neon<T> {
    /// A client for a connection string, an URL of your own to post to (`https://api.example.com/sql`) and a transport.
    ///
    /// # Errors
    /// As [`connect`](Neon::connect).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(all(feature = "native", not(target_arch = "wasm32")))] {
    /// use onetrip::{neon::Neon, transport::Native};
    /// let connection_string = "postgresql://app:secret@db.example.com/shop?sslmode=require";
    /// let client = Neon::client(connection_string, "http://127.0.0.1:4444/sql", Native::new())?;
    /// # }
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    pub fn client(connection_string: &str, url: &str, inner: T) -> Result<Client, Error> {
        let config = config(connection_string, url)?;
        Ok(Client::with_transport(config, Neon::new(connection_string, url, inner)))
    }

    /// The transport alone, for a [`Config`] with settings of its own from [`config`].
    pub fn new(connection_string: &str, url: &str, inner: T) -> Neon<T> {
        Neon { inner, url: url.into(), connection_string: connection_string.trim().to_owned() }
    }
}

/// The configuration of a client for a connection string and the URL that it posts to.
///
/// # Errors
/// [`Kind::Usage`](crate::Kind::Usage) when one of them cannot work; the text shows no credentials.
pub fn config(connection_string: &str, url: &str) -> Result<Config, Error> {
    let rest = authority_and_path(connection_string)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let database = path.split('?').next().unwrap_or_default();
    let origin = url.strip_suffix("/sql").ok_or_else(|| {
        Error::usage("the URL of a Neon-compatible endpoint ends with /sql: https://host/sql")
    })?;
    let credentials = authority.rsplit_once('@').and_then(|(credentials, _)| credentials.split_once(':'));
    let Some((role, _)) = credentials else {
        return Err(Error::usage(
            "the connection string names no role or no password: write postgresql://role:password@host/database",
        ));
    };
    // The credentials travel within the connection string; here they are only named.
    Config::new(
        origin,
        if database.is_empty() { "postgres" } else { database },
        Credentials::password(role, "")?,
    )
}

#[cfg(any(
    all(feature = "fetch", target_arch = "wasm32"),
    all(feature = "native", not(target_arch = "wasm32"))
))]
fn sql_url(connection_string: &str) -> Result<String, Error> {
    let rest = authority_and_path(connection_string)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // The port is that of PostgreSQL's own protocol.
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    Ok(format!("https://{host}/sql"))
}

fn authority_and_path(connection_string: &str) -> Result<&str, Error> {
    let text = connection_string.trim();
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")).ok_or_else(|| {
        Error::usage(
            "the connection string has to begin with postgresql://: postgresql://role:password@host/database",
        )
    })
}

impl<T: Transport> Transport for Neon<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let asked = request::Asked::read(&request.body).map_err(|error| Failure::new(Sent::No, error))?;
            let mut headers = vec![
                ("content-type", "application/json".to_owned()),
                ("neon-connection-string", self.connection_string.clone()),
                ("neon-raw-text-output", "true".to_owned()),
                ("neon-array-mode", "true".to_owned()),
            ];
            headers.extend(asked.headers());
            let body = Bytes::from(asked.body().map_err(|error| Failure::new(Sent::No, error))?);
            let request = Request { head: Arc::new(Head { url: self.url.clone(), headers }), body };
            let mut response = self.inner.send(request).await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.body.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_LIMIT_BYTES {
                    return Err(Failure::new(Sent::Perhaps, "the answer is larger than 64 MiB"));
                }
            }
            Ok(answer::response(&asked, response, &body))
        })
    }

    fn clock(&self) -> &dyn Clock {
        self.inner.clock()
    }
}
