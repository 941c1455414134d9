//! Connecting and logging in. PostgreSQL manual, "Start-up", "SASL Authentication", "SSL Session Encryption".

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use onetrip_wire::backend::ErrorResponse;
use onetrip_wire::frame::{self, HEADER_LEN};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::stream::Stream;
use super::tls::{Tls, server_end_point};
use super::traits::Traits;
use crate::config::{DatabaseConfig, Host};
use crate::credentials::Credentials;

/// No message of a login is larger; the largest are errors.
const MESSAGE_LIMIT_BYTES: usize = 64 << 10;

/// Where a server is and how to get there.
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) allow_trust: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) traits: Arc<Traits>,
    /// Whether the server has refused IntervalStyle at start: PgBouncer before 1.20 does not know it.
    no_interval_style: AtomicBool,
}

/// Why there is no connection. Nothing was executed.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// The server cannot be reached, or does not speak as it should; the text is for the log.
    Unreachable(String),
    /// PostgreSQL refused.
    Refused(ErrorResponse),
    /// A pooler refused the password, with PgBouncer's SQLSTATE for that: `08P01`, protocol violation.
    PasswordRefused(ErrorResponse),
    /// The server wants a way of logging in that the endpoint does not go; the text is for a stranger, too.
    Method(&'static str),
    /// The server did not ask for the password, so nothing is proven.
    NotAsked,
}

impl LoginError {
    /// What went wrong, for the log.
    pub(crate) fn cause(&self) -> String {
        match self {
            LoginError::Unreachable(cause) => cause.clone(),
            LoginError::Refused(error) | LoginError::PasswordRefused(error) => {
                format!("{} ({})", error.message(), error.code())
            }
            LoginError::Method(text) => (*text).to_owned(),
            LoginError::NotAsked => "the server did not ask for the password".to_owned(),
        }
    }
}

impl From<io::Error> for LoginError {
    fn from(error: io::Error) -> LoginError {
        LoginError::Unreachable(error.to_string())
    }
}

impl Target {
    /// # Errors
    /// A text for the operator when TLS cannot be set up.
    pub(crate) fn new(config: &DatabaseConfig) -> Result<Target, String> {
        Ok(Target {
            host: config.url.host.clone(),
            port: config.url.port,
            database: config.url.database.clone(),
            tls: Tls::new(&config.url)?,
            allow_trust: config.allow_trust,
            connect_timeout: config.connect_timeout,
            traits: Arc::new(Traits::new(config)),
            no_interval_style: AtomicBool::new(false),
        })
    }

    /// Connects and logs in.
    pub(crate) async fn login(&self, credentials: &Credentials) -> Result<Connection, LoginError> {
        let login = async {
            let refused = match self.login_once(credentials).await {
                Err(LoginError::Refused(error)) if error.code() == "08P01" => LoginError::Refused(error),
                result => return result,
            };
            if self.no_interval_style.swap(true, Ordering::Relaxed) {
                return Err(refused);
            }
            self.login_once(credentials).await
        };
        match tokio::time::timeout(self.connect_timeout, login).await {
            Ok(result) => result,
            Err(_) => Err(LoginError::Unreachable(format!("no login within {:?}", self.connect_timeout))),
        }
    }

    async fn login_once(&self, credentials: &Credentials) -> Result<Connection, LoginError> {
        let stream = self.open().await?;
        Login { stream, buffer: BytesMut::with_capacity(8 << 10), parameters: Vec::new() }
            .run(self, credentials)
            .await
    }

    /// Asks the server to cancel what the connection with this key runs. PostgreSQL manual, "Canceling Requests in
    /// Progress". Whether it went through: then PostgreSQL has sent the signal, if it has not arrived already.
    pub(crate) async fn cancel(&self, key: BackendKey) -> bool {
        let cancel = async {
            let mut stream = self.open().await?;
            let mut request = BytesMut::new();
            frontend::cancel_request(key.process_id, key.secret, &mut request);
            stream.write_all(&request).await?;
            stream.flush().await?;
            // The server closes the connection when the signal is on its way.
            let _nothing = stream.read(&mut [0; 1]).await?;
            Ok::<(), LoginError>(())
        };
        match tokio::time::timeout(self.connect_timeout, cancel).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(?error, "a query that nobody waits for was not cancelled");
                false
            }
            Err(_) => false,
        }
    }

    /// A stream on which the startup message can be sent.
    pub(super) async fn open(&self) -> Result<Stream, LoginError> {
        let mut tcp = match &self.host {
            Host::Tcp(host) => TcpStream::connect((host.as_str(), self.port)).await?,
            #[cfg(unix)]
            Host::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", self.port));
                return Ok(Stream::Unix(tokio::net::UnixStream::connect(path).await?));
            }
            #[cfg(not(unix))]
            Host::Unix(_) => {
                return Err(LoginError::Method("this system has no Unix-domain sockets"));
            }
        };
        tcp.set_nodelay(true)?;
        // A server that vanished without a word is noticed within minutes.
        SockRef::from(&tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(tcp)) };
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await?;
        match tcp.read_u8().await? {
            b'S' => {
                let connector = TlsConnector::from(tls.config.clone());
                let stream = connector.connect(tls.server_name.clone(), tcp).await;
                let stream = stream
                    .map_err(|error| LoginError::Unreachable(format!("the TLS handshake failed: {error}")))?;
                Ok(Stream::Tls(Box::new(stream)))
            }
            b'N' if tls.required => {
                Err(LoginError::Unreachable("the server has no TLS, which sslmode asks for".to_owned()))
            }
            b'N' => Ok(Stream::Tcp(tcp)),
            _ => Err(LoginError::Unreachable("the server does not speak PostgreSQL's protocol".to_owned())),
        }
    }
}

/// What a CancelRequest needs.
#[derive(Clone, Copy)]
pub(crate) struct BackendKey {
    pub(crate) process_id: i32,
    pub(crate) secret: i32,
}

/// How far the server has made the client prove itself.
enum Proof {
    NotAsked,
    /// The password was sent, in clear or as MD5.
    Sent,
    Scram(Box<ScramSha256>),
    /// Both sides have proven that they know the password.
    Mutual,
}

struct Login {
    stream: Stream,
    buffer: BytesMut,
    /// The settings that the server reports.
    parameters: Vec<(String, String)>,
}

impl Login {
    async fn run(mut self, target: &Target, credentials: &Credentials) -> Result<Connection, LoginError> {
        let role = credentials.role();
        let mut startup = BytesMut::new();
        let parameters = [
            ("user", role),
            ("database", target.database.as_str()),
            ("application_name", "onetrip"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
        ];
        let interval_style =
            (!target.no_interval_style.load(Ordering::Relaxed)).then_some(("IntervalStyle", "postgres"));
        frontend::startup_message(parameters.into_iter().chain(interval_style), &mut startup)?;
        let begun = Instant::now();
        self.send(&startup).await?;

        let mut proof = Proof::NotAsked;
        let mut way = None;
        loop {
            let received = self.receive().await;
            way.get_or_insert_with(|| begun.elapsed());
            let (tag, body) = match received {
                Err(LoginError::Refused(error))
                    if error.code() == "08P01" && matches!(proof, Proof::Sent | Proof::Scram(_)) =>
                {
                    return Err(LoginError::PasswordRefused(error));
                }
                received => received?,
            };
            if tag != b'R' {
                return Err(unexpected(tag));
            }
            let mut body = body.as_ref();
            let method = body.try_get_u32().map_err(|_| unexpected(tag))?;
            proof = match (method, proof) {
                (0, Proof::NotAsked) if !target.allow_trust => return Err(LoginError::NotAsked),
                (0, Proof::NotAsked | Proof::Sent | Proof::Mutual) => break,
                (3, Proof::NotAsked) => {
                    if !self.stream.is_private() {
                        return Err(LoginError::Method(
                            "PostgreSQL asks for the password in clear text without TLS, which the endpoint refuses",
                        ));
                    }
                    self.password(credentials.password()).await?;
                    Proof::Sent
                }
                (5, Proof::NotAsked) => {
                    let salt = <[u8; 4]>::try_from(body).map_err(|_| unexpected(tag))?;
                    self.password(md5_hash(role.as_bytes(), credentials.password(), salt).as_bytes()).await?;
                    Proof::Sent
                }
                (10, Proof::NotAsked) => Proof::Scram(Box::new(self.scram(body, credentials).await?)),
                (11, Proof::Scram(mut scram)) => {
                    let challenge = body.to_vec();
                    // Thousands of hashes: not on a thread that serves other requests.
                    let scram = tokio::task::spawn_blocking(move || scram.update(&challenge).map(|()| scram));
                    let scram = scram.await.map_err(io::Error::other)??;
                    let mut response = BytesMut::new();
                    frontend::sasl_response(scram.message(), &mut response)?;
                    self.send(&response).await?;
                    Proof::Scram(scram)
                }
                (12, Proof::Scram(mut scram)) => {
                    scram.finish(body)?;
                    Proof::Mutual
                }
                (7..=9, _) => {
                    return Err(LoginError::Method(
                        "PostgreSQL asks for GSSAPI or SSPI; the endpoint logs in with a password \
                         (scram-sha-256, md5, or password over TLS in pg_hba.conf)",
                    ));
                }
                _ => {
                    return Err(LoginError::Unreachable(
                        "the server broke the rules of logging in".to_owned(),
                    ));
                }
            };
        }

        let mut key = None;
        loop {
            match self.receive().await? {
                (b'K', body) => {
                    let mut body = body.as_ref();
                    let process_id = body.try_get_i32().map_err(|_| unexpected(b'K'))?;
                    let secret = body.try_get_i32().map_err(|_| unexpected(b'K'))?;
                    key = Some(BackendKey { process_id, secret });
                }
                (b'Z', _) => {
                    return Ok(Connection::new(
                        self.stream,
                        self.buffer,
                        key,
                        self.parameters,
                        target.traits.clone(),
                        way.unwrap_or_default(),
                    ));
                }
                (tag, _) => return Err(unexpected(tag)),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn password(&mut self, password: &[u8]) -> Result<(), LoginError> {
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message)?;
        let sent = self.send(&message).await;
        zeroize::Zeroize::zeroize(message.as_mut());
        Ok(sent?)
    }

    async fn scram(
        &mut self,
        mechanisms: &[u8],
        credentials: &Credentials,
    ) -> Result<ScramSha256, LoginError> {
        let offers =
            |name: &str| mechanisms.split(|byte| *byte == 0).any(|offered| offered == name.as_bytes());
        let end_point = match &self.stream {
            Stream::Tls(stream) => stream.get_ref().1.peer_certificates(),
            _ => None,
        };
        let end_point = end_point.and_then(|certificates| server_end_point(certificates.first()?));
        let (binding, mechanism) = match end_point {
            Some(hash) if offers(sasl::SCRAM_SHA_256_PLUS) => {
                (ChannelBinding::tls_server_end_point(hash), sasl::SCRAM_SHA_256_PLUS)
            }
            Some(_) => (ChannelBinding::unrequested(), sasl::SCRAM_SHA_256),
            None => (ChannelBinding::unsupported(), sasl::SCRAM_SHA_256),
        };
        if !offers(mechanism) {
            return Err(LoginError::Method("PostgreSQL asks for a SASL mechanism other than SCRAM-SHA-256"));
        }
        let scram = ScramSha256::new(credentials.password(), binding);
        let mut response = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut response)?;
        self.send(&response).await?;
        Ok(scram)
    }

    /// The next message that says something about the login.
    async fn receive(&mut self) -> Result<(u8, BytesMut), LoginError> {
        let limits = onetrip_wire::Limits::default().frame_bytes(MESSAGE_LIMIT_BYTES);
        loop {
            let header = frame::peek(&self.buffer, &limits).map_err(|_| {
                LoginError::Unreachable("the server sent no message of PostgreSQL's".to_owned())
            })?;
            match header {
                Some((tag, len)) if self.buffer.len() >= len => {
                    let body = self.buffer.split_to(len).split_off(HEADER_LEN);
                    match tag {
                        b'E' => {
                            // Before the login is through, PostgreSQL may write in another encoding than ours.
                            let text = String::from_utf8_lossy(&body);
                            let error = ErrorResponse::parse(text.as_bytes()).map_err(|_| unexpected(tag))?;
                            return Err(LoginError::Refused(error));
                        }
                        b'S' => {
                            let text = String::from_utf8_lossy(&body);
                            let mut words = text.split('\0').map(str::to_owned);
                            self.parameters.extend(words.next().zip(words.next()));
                        }
                        // NoticeResponse, and NegotiateProtocolVersion of a proxy
                        b'N' | b'v' => {}
                        _ => return Ok((tag, body)),
                    }
                    continue;
                }
                _ => {}
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(LoginError::Unreachable(
                    "the server closed the connection during the login".to_owned(),
                ));
            }
        }
    }
}

fn unexpected(tag: u8) -> LoginError {
    LoginError::Unreachable(format!("the server sent an unexpected message (0x{tag:02x}) during the login"))
}
