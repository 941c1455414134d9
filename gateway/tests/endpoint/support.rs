//! A real PostgreSQL, an endpoint in this process, and an HTTP client that hides nothing.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onetrip_embedded_postgres::{Installation, Options, Postgres};
use onetrip_gateway::{Config, Server};
use onetrip_wire::Limits;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::representation::{BLOCKS, FRAMES, JSON};
use onetrip_wire::response::{Event, ResponseReader};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The server that most tests share.
pub fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| start_postgres(Options::for_tests()))
}

pub fn start_postgres(options: Options) -> Postgres {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools");
    let installation = Installation::ensure(tools.as_ref(), &mut |line| eprintln!("{line}")).unwrap();
    Postgres::start(&installation, options).unwrap()
}

/// An endpoint in this process.
pub struct Endpoint {
    pub address: SocketAddr,
    pub role: String,
    pub password: String,
    stop: Option<oneshot::Sender<()>>,
    pub running: JoinHandle<()>,
}

impl Endpoint {
    /// Serves the database `postgres` of `server` as `app`, with more TOML in its table.
    pub async fn of(server: &Postgres, options: &str) -> Endpoint {
        Endpoint::with(server, "", "sslmode=disable", options).await
    }

    pub async fn with(server: &Postgres, global: &str, query: &str, options: &str) -> Endpoint {
        let url = format!("postgresql://127.0.0.1:{}/postgres?{query}", server.port());
        let toml =
            format!("listen = \"127.0.0.1:0\"\n{global}\n[databases.app]\nurl = \"{url}\"\n{options}\n");
        let mut endpoint = Endpoint::start(&toml).await;
        endpoint.role = server.superuser().to_owned();
        endpoint.password = server.password().to_owned();
        endpoint
    }

    pub async fn start(toml: &str) -> Endpoint {
        let server = Server::bind(Config::from_toml(toml).unwrap()).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Endpoint { address, role: String::new(), password: String::new(), stop: Some(stop), running }
    }

    /// On the server that all tests share.
    pub async fn shared() -> Endpoint {
        Endpoint::of(postgres(), "").await
    }

    /// The same endpoint for another role.
    pub fn caller(&self, role: &str, password: &str) -> Caller {
        Caller { address: self.address, authorization: basic(role, password) }
    }

    pub fn owner(&self) -> Caller {
        self.caller(&self.role, &self.password)
    }

    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// A role that can log in, with a name of its own.
    pub async fn new_role(&self, password: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let role = format!("role_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.owner().rows(&format!("create role {role} login password '{password}'")).await;
        role
    }
}

pub fn basic(role: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{role}:{password}")))
}

/// Somebody who sends requests with a role and a password.
#[derive(Clone)]
pub struct Caller {
    pub address: SocketAddr,
    pub authorization: String,
}

impl Caller {
    pub fn request(&self, content_type: &str, accept: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::post(format!("http://{}/v1/app/pipeline", self.address))
            .header("host", self.address.to_string())
            .header("authorization", &self.authorization)
            .header("content-type", content_type)
            .header("accept", accept)
            .body(Full::new(body.into()))
            .unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        send(self.address, request).await
    }

    /// A JSON request, a JSON answer.
    pub async fn json(&self, body: &str) -> Reply {
        self.send(self.request(JSON, JSON, body.to_owned())).await
    }

    pub async fn sql(&self, sql: &str) -> Value {
        let reply = self.json(&serde_json::json!({ "sql": sql }).to_string()).await;
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.value()
    }

    /// The rows of a statement that must succeed.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let result = self.sql(sql).await;
        assert!(result.get("error").is_none(), "{sql}: {result}");
        result["rows"].as_array().unwrap().clone()
    }

    /// The first value of the first row of a statement that must succeed.
    pub async fn value(&self, sql: &str) -> Value {
        let rows = self.rows(sql).await;
        rows[0].as_object().unwrap().values().next().unwrap().clone()
    }

    /// A frames request, a frames answer.
    pub async fn frames(&self, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(FRAMES, FRAMES, body)).await
    }

    pub async fn blocks(&self, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(FRAMES, BLOCKS, body)).await
    }
}

/// A response that has arrived, whole or cut.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub cut: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap())
    }

    /// A problem with this code, told in the right way.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.value();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["request_id"], self.header("onetrip-request-id"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }

    /// What the frames of the body say about `groups` groups.
    pub fn events(&self, groups: usize) -> Vec<Event> {
        let mut reader = ResponseReader::new(groups, Limits::default());
        reader.push(&self.body);
        let mut events = Vec::new();
        while let Some(event) = reader.event().unwrap() {
            events.push(event);
        }
        reader.finish().unwrap();
        events
    }

    /// The tags of the frames of the body.
    pub fn tags(&self) -> String {
        let (mut tags, mut rest) = (String::new(), &self.body[..]);
        while let Some(frame) = onetrip_wire::frame::first(rest, &Limits::default()).unwrap() {
            tags.push(frame.tag as char);
            rest = &rest[frame.frame_len()..];
        }
        tags
    }
}

pub async fn collect(response: Response<hyper::body::Incoming>) -> Reply {
    let (head, mut body) = response.into_parts();
    let (mut bytes, mut cut) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    Reply { status: head.status, headers: head.headers, body: bytes.into(), cut }
}

/// One request on a connection of its own.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    let mut sender = connect(address).await;
    collect(sender.send_request(request).await.unwrap()).await
}

pub async fn connect(address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn connect_h2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A pipeline of groups of statements without parameters.
pub fn pipeline(groups: &[&[&str]]) -> Vec<u8> {
    let mut body = Vec::new();
    for group in groups {
        for sql in *group {
            statement(&mut body, sql, &[]);
        }
        frontend::sync(&mut body);
    }
    body
}

pub fn statement(body: &mut Vec<u8>, sql: &str, parameters: &[Option<&str>]) {
    let parameters: Vec<Parameter<'_>> = parameters
        .iter()
        .map(|text| Parameter { type_oid: 0, format: Format::Text, value: text.map(str::as_bytes) })
        .collect();
    frontend::statement(body, &Statement { sql, parameters: &parameters, result_format: Format::Text })
        .unwrap();
}

pub fn script(sql: &str) -> Vec<u8> {
    let mut body = Vec::new();
    frontend::query(&mut body, sql).unwrap();
    body
}

/// Asks again until the answer is right; fails after ten seconds.
pub async fn eventually(what: &str, mut right: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if right().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
