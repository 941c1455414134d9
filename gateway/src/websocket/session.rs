//! One session: a client's WebSocket on one side, a leased connection on the other.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use onetrip_wire::backend::TransactionStatus;
use onetrip_wire::problem::Code;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::sessions::Place;
use super::startup::{Opening, Refusal, Startup, take_password};
use super::traffic::Traffic;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::pool::{Lease, Timing};
use crate::postgres;
use crate::server::{Phase, Shared};

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Incoming = futures_util::stream::SplitStream<Socket>;

/// Messages that wait for the client.
const MESSAGES_WAITING: usize = 4;

/// How much of a client's waits for PostgreSQL before no more is taken from it.
const OUTGOING_BYTES: usize = 256 << 10;

/// How often a silent client is asked whether it is there, and for how long it may be silent.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);

/// A message to the client has at most so many bytes.
const MESSAGE_BYTES: usize = 64 << 10;

/// Serves a session to its end.
pub(super) async fn serve(shared: &Shared, socket: Socket, peer: IpAddr) {
    let (mut sink, incoming) = socket.split();
    let (outgoing, mut messages) = mpsc::channel(MESSAGES_WAITING);
    let send_timeout = shared.served().config.limits.send_timeout;
    let writer = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let last = matches!(message, Message::Close(_));
            if !matches!(timeout(send_timeout, sink.send(message)).await, Ok(Ok(()))) || last {
                return;
            }
        }
    });
    let client = Client { incoming, outgoing, buffer: BytesMut::new(), heard: Instant::now() };
    let close = run(shared, client, peer).await;
    tracing::debug!(code = u16::from(close.code), reason = close.reason, "a WebSocket session ended");
    let Close { outgoing, code, reason } = close;
    if let Some(outgoing) = outgoing {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(send_timeout, outgoing.send(Message::Close(Some(frame)))).await;
    }
    let _ = writer.await;
}

/// How a session ends.
struct Close {
    /// `None` where the client has gone.
    outgoing: Option<mpsc::Sender<Message>>,
    code: CloseCode,
    reason: &'static str,
}

/// Why nothing more comes from a client.
enum Gone {
    /// It said goodbye, or its connection broke.
    Left,
    Said(CloseCode, &'static str),
}

struct Client {
    incoming: Incoming,
    outgoing: mpsc::Sender<Message>,
    /// Bytes of the startup that are not taken.
    buffer: BytesMut,
    heard: Instant,
}

impl Client {
    /// The next bytes. Cancel safe.
    async fn receive(&mut self) -> Result<Bytes, Gone> {
        loop {
            let message = match self.incoming.next().await {
                None => return Err(Gone::Left),
                Some(Err(tungstenite::Error::Capacity(_))) => {
                    return Err(Gone::Said(CloseCode::Size, "the message is over limits.request_bytes"));
                }
                Some(Err(tungstenite::Error::Protocol(_))) => {
                    return Err(Gone::Said(CloseCode::Protocol, "this is not the WebSocket protocol"));
                }
                Some(Err(_)) => return Err(Gone::Left),
                Some(Ok(message)) => message,
            };
            self.heard = Instant::now();
            match message {
                Message::Binary(bytes) => return Ok(bytes),
                Message::Text(_) => {
                    return Err(Gone::Said(CloseCode::Unsupported, "PostgreSQL's messages are binary"));
                }
                Message::Close(_) => return Err(Gone::Left),
                // Pings are answered by the library.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.outgoing.send(Message::Binary(bytes.into())).await.map_err(|_| Gone::Left)
    }

    /// What `take` takes out of the bytes that come.
    async fn next<T>(
        &mut self,
        take: impl Fn(&mut BytesMut) -> Result<Option<T>, Refusal>,
    ) -> Result<T, Ended> {
        loop {
            if let Some(taken) = take(&mut self.buffer)? {
                return Ok(taken);
            }
            let bytes = self.receive().await?;
            self.buffer.extend_from_slice(&bytes);
        }
    }

    fn close(self, code: CloseCode, reason: &'static str) -> Close {
        Close { outgoing: Some(self.outgoing), code, reason }
    }

    fn gone(self, gone: Gone) -> Close {
        match gone {
            Gone::Left => Close { outgoing: Some(self.outgoing), code: CloseCode::Normal, reason: "" },
            Gone::Said(code, reason) => self.close(code, reason),
        }
    }
}

/// How a startup ends without a session.
enum Ended {
    Gone(Gone),
    /// With an ErrorResponse.
    Refused(Refusal),
    /// After a CancelRequest.
    Cancelled,
}

impl From<Gone> for Ended {
    fn from(gone: Gone) -> Ended {
        Ended::Gone(gone)
    }
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Ended {
        Ended::Refused(refusal)
    }
}

async fn run(shared: &Shared, mut client: Client, peer: IpAddr) -> Close {
    let limits = &shared.served().config.limits.clone();
    let started = timeout(limits.header_timeout, start(shared, &mut client, peer)).await;
    let lease = match started {
        Ok(Ok(lease)) => lease,
        Ok(Err(Ended::Cancelled)) => return client.close(CloseCode::Normal, ""),
        Ok(Err(Ended::Gone(gone))) => return client.gone(gone),
        Ok(Err(Ended::Refused((code, message)))) => {
            let _ = client.send(fatal(code, &message)).await;
            return client.close(CloseCode::Policy, "the session was refused");
        }
        Err(_) => return client.close(CloseCode::Policy, "the session did not begin in time"),
    };
    let (mut lease, place, mut traffic) = lease;
    let close = relay(shared, &mut client, &mut lease, &mut traffic).await;
    let over = place.end().await;
    match traffic.at_rest().filter(|_| over && lease.connection().unsent() == 0) {
        Some(_) => drop(tokio::spawn(postgres::restore(lease))),
        // What the client no longer waits for is not run to its end.
        None => drop(tokio::spawn(lease.cancel())),
    }
    match close {
        Gone::Left => client.gone(Gone::Left),
        Gone::Said(code, reason) => client.close(code, reason),
    }
}

/// Everything before the first ReadyForQuery.
async fn start<'a>(
    shared: &'a Shared,
    client: &mut Client,
    peer: IpAddr,
) -> Result<(Lease, Place<'a>, Traffic), Ended> {
    let startup = loop {
        match client.next(Opening::take).await? {
            // The WebSocket is encrypted, or it is not: nothing in it is a second time.
            Opening::Encryption => client.send(&b"N"[..]).await?,
            Opening::Cancel { process_id, secret } => {
                shared.sessions.cancel((process_id, secret)).await;
                return Err(Ended::Cancelled);
            }
            Opening::Session(startup) => break startup,
        }
    };
    if let Some(unknown) = &startup.negotiate {
        client.send(negotiation(unknown)).await?;
    }
    // AuthenticationCleartextPassword: the password goes where the rest of the session goes.
    client.send(&b"R\0\0\0\x08\0\0\0\x03"[..]).await?;
    let password = client.next(take_password).await?;
    let password = std::str::from_utf8(&password)
        .map(|text| zeroize::Zeroizing::new(text.to_owned()))
        .map_err(|_| ("28P01", "the password is not UTF-8".to_owned()))?;
    let lease = lease(shared, &startup, &password, peer).await?;
    let (lease, welcome, place) = welcome(shared, &startup, lease).await?;
    client.send(welcome).await?;
    Ok((lease, place, Traffic::new()))
}

async fn lease(shared: &Shared, startup: &Startup, password: &str, peer: IpAddr) -> Result<Lease, Ended> {
    let Startup { role, database, .. } = startup;
    let credentials =
        Credentials::new(role, password).map_err(|wrong| ("28000", wrong.to_owned()))?.sent_from(peer);
    let place = shared.served().databases.get(database).cloned().ok_or_else(|| {
        let message = format!("database \"{database}\" does not exist");
        Ended::Refused(("3D000", message))
    })?;
    let mut timing = Timing::default();
    place.lease(&credentials, &mut timing).await.map_err(|failure| refusal(&failure, role).into())
}

/// A failure in PostgreSQL's words.
fn refusal(failure: &Failure, role: &str) -> Refusal {
    let detail = failure.detail.to_string();
    match failure.code {
        Code::InvalidCredentials => ("28P01", format!("password authentication failed for user '{role}'")),
        Code::Forbidden => ("42501", detail),
        Code::TooManyRequests | Code::PoolTimeout => ("53300", detail),
        Code::ShuttingDown => ("57P03", detail),
        _ => ("08006", detail),
    }
}

/// Sets the session as the startup message asks, and what PostgreSQL would say to it: AuthenticationOk, the
/// ParameterStatus of all reported settings, BackendKeyData, ReadyForQuery.
async fn welcome<'a>(
    shared: &'a Shared,
    startup: &Startup,
    mut lease: Lease,
) -> Result<(Lease, Vec<u8>, Place<'a>), Ended> {
    let settings = startup.settings().map_err(|message| Ended::Refused(("22023", message)))?;
    let mut parameters = lease.connection().parameters().to_vec();
    let applied = postgres::apply(&mut lease, &settings, |name, value| {
        match parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => parameters.push((name.to_owned(), value.to_owned())),
        }
    });
    match applied.await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => {
            tokio::spawn(postgres::restore(lease));
            // SQLSTATEs of settings that are refused are few; what is not known goes as the class that they have.
            let code = match refused.code() {
                "42704" => "42704",
                "42501" => "42501",
                "55P02" => "55P02",
                _ => "22023",
            };
            return Err(Ended::Refused((code, refused.message().to_owned())));
        }
        Err(broken) => return Err(refusal(&Failure::from(broken), &startup.role).into()),
    }
    let place = shared.sessions.enter(lease.canceller());
    let mut frames = b"R\0\0\0\x08\0\0\0\0".to_vec();
    for (name, value) in &parameters {
        frame(&mut frames, b'S', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
    }
    let (process_id, secret) = place.key;
    frame(&mut frames, b'K', &[&process_id.to_be_bytes(), &secret.to_be_bytes()]);
    frames.extend_from_slice(b"Z\0\0\0\x05I");
    Ok((lease, frames, place))
}

/// Passes bytes both ways until one side ends.
async fn relay(shared: &Shared, client: &mut Client, lease: &mut Lease, traffic: &mut Traffic) -> Gone {
    let idle_timeout = shared.served().config.websocket_idle_timeout;
    let mut phase = shared.phases();
    let mut ticks = tokio::time::interval(PING_INTERVAL.min(idle_timeout));
    let mut active = Instant::now();
    let connection = lease.connection();
    let mut pending = std::mem::take(&mut client.buffer).freeze();
    let outgoing = client.outgoing.clone();
    let mut permit = None;
    loop {
        if !pending.is_empty() {
            let Ok(taken) = traffic.client_sent(&std::mem::take(&mut pending)) else {
                return Gone::Said(CloseCode::Policy, "this is not PostgreSQL's protocol");
            };
            connection.queue(&taken.bytes);
            if taken.terminated {
                return Gone::Said(CloseCode::Normal, "");
            }
        }
        let now = *phase.borrow_and_update();
        let at_rest = traffic.at_rest() == Some(TransactionStatus::Idle);
        if now == Phase::Stopped || now == Phase::Draining && at_rest {
            let _ = outgoing.try_send(Message::Binary(
                fatal("57P01", "terminating connection due to administrator command").into(),
            ));
            return Gone::Said(CloseCode::Away, "the endpoint is shutting down");
        }
        if !connection.incoming.is_empty()
            && let Some(permit) = permit.take()
        {
            let len = connection.incoming.len().min(MESSAGE_BYTES);
            let bytes = connection.incoming.split_to(len).freeze();
            traffic.server_sent(&bytes);
            active = Instant::now();
            mpsc::Permit::send(permit, Message::Binary(bytes));
            continue;
        }
        let (unsent, read) = (connection.unsent(), connection.incoming.is_empty());
        tokio::select! {
            received = client.receive(), if unsent < OUTGOING_BYTES => match received {
                Ok(bytes) => {
                    active = Instant::now();
                    pending = bytes;
                }
                Err(gone) => return gone,
            },
            driven = connection.drive(read), if read || unsent > 0 => match driven {
                Ok(Some(1..) | None) => {}
                Ok(Some(0)) | Err(_) => return Gone::Said(CloseCode::Error, "PostgreSQL closed the connection"),
            },
            reserved = outgoing.reserve(), if permit.is_none() => match reserved {
                Ok(reserved) => permit = Some(reserved),
                Err(_) => return Gone::Left,
            },
            _ = phase.changed() => {}
            _ = ticks.tick() => {
                if !traffic.is_busy() && active.elapsed() >= idle_timeout {
                    let message = "terminating connection due to idle-session timeout";
                    let _ = outgoing.try_send(Message::Binary(fatal("57P05", message).into()));
                    return Gone::Said(CloseCode::Policy, "idle for longer than websocket.idle_timeout");
                }
                if client.heard.elapsed() >= SILENCE {
                    return Gone::Left;
                }
                if client.heard.elapsed() >= PING_INTERVAL {
                    let _ = outgoing.try_send(Message::Ping(Bytes::new()));
                }
            }
        }
    }
}

/// An ErrorResponse that ends a session.
fn fatal(code: &str, message: &str) -> Vec<u8> {
    let mut frames = Vec::new();
    let message: String = message.chars().filter(|character| *character != '\0').collect();
    let fields = [b"SFATAL\0VFATAL\0C", code.as_bytes(), b"\0M", message.as_bytes(), b"\0\0"];
    frame(&mut frames, b'E', &fields);
    frames
}

/// NegotiateProtocolVersion: 3.0, and the options that there are not.
fn negotiation(unknown: &[String]) -> Vec<u8> {
    let mut frames = Vec::new();
    let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&[0, 3, 0, 0], &count];
    for name in unknown {
        parts.extend([name.as_bytes(), b"\0"]);
    }
    frame(&mut frames, b'v', &parts);
    frames
}

fn frame(frames: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let len: usize = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    frames.push(tag);
    frames.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| frames.extend_from_slice(part));
}
