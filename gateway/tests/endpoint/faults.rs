//! Connections that break at the worst moment: what is certain is retried, what is not is said, nothing runs twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use onetrip_wire::backend::write_error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Endpoint, pipeline, postgres, script};

/// What the proxy does with the next bytes from the endpoint.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Fault {
    /// Nothing: they pass.
    None,
    /// They do not reach PostgreSQL; the endpoint reads what a server says that shuts down, and the end.
    ShutDown,
    /// They reach PostgreSQL, which executes them; the endpoint reads the end.
    Swallow,
    /// They do not reach PostgreSQL; the endpoint reads something that is not its protocol.
    Nonsense,
}

/// A proxy in front of the shared server, with one fault at a time.
struct Proxy {
    port: u16,
    fault: Arc<AtomicU8>,
}

impl Proxy {
    async fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let shared = fault.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, shared.clone()));
            }
        });
        Proxy { port, fault }
    }

    fn next(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    async fn endpoint(&self, options: &str) -> Endpoint {
        let url = format!("postgresql://127.0.0.1:{}/postgres?sslmode=disable", self.port);
        let toml = format!("listen = '127.0.0.1:0'\n[databases.app]\nurl = '{url}'\n{options}");
        let mut endpoint = Endpoint::start(&toml).await;
        endpoint.role = postgres().superuser().to_owned();
        endpoint.password = postgres().password().to_owned();
        endpoint
    }
}

async fn relay(mut client: TcpStream, fault: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(("127.0.0.1", postgres().port())).await.unwrap();
    let (mut from_client, mut from_server) = ([0; 65536], [0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(len @ 1..) = read else { return };
                let now = fault.swap(Fault::None as u8, Ordering::SeqCst);
                if now == Fault::ShutDown as u8 {
                    let fatal = fatal("57P01", "terminating connection due to administrator command");
                    client.write_all(&fatal).await.unwrap();
                    return;
                }
                if now == Fault::Nonsense as u8 {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    let _ = client.read(&mut from_client).await;
                    return;
                }
                server.write_all(&from_client[..len]).await.unwrap();
                if now == Fault::Swallow as u8 {
                    // The answer says that it was executed.
                    let _ = server.read(&mut from_server).await;
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(len @ 1..) = read else { return };
                if client.write_all(&from_server[..len]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A FATAL error as a server sends it.
fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_error(&mut frame, sqlstate, message, None);
    let body = String::from_utf8(frame.split_off(5)).unwrap().replace("ERROR", "FATAL");
    frame.extend_from_slice(body.as_bytes());
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_does_not_know_intervalstyle_is_used_without_it() {
    // As PgBouncer 1.18 does it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = Arc::new(AtomicU8::new(0));
    let count = refused.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut startup = [0; 4096];
            let len = client.peek(&mut startup).await.unwrap();
            if startup[..len].windows(13).any(|window| window == b"IntervalStyle") {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = client.read(&mut startup).await;
                client
                    .write_all(&fatal("08P01", "unsupported startup parameter: IntervalStyle"))
                    .await
                    .unwrap();
            } else {
                tokio::spawn(relay(client, Arc::new(AtomicU8::new(Fault::None as u8))));
            }
        }
    });
    let toml = format!(
        "listen = '127.0.0.1:0'\n[databases.app]\nurl = 'postgresql://127.0.0.1:{port}/postgres?sslmode=disable'"
    );
    let endpoint = Endpoint::start(&toml).await;
    let owner = endpoint.caller(postgres().superuser(), postgres().password());
    assert_eq!(owner.value("select 1").await, 1);
    let wrong = endpoint.caller(postgres().superuser(), "wrong").json(r#"{"sql": "select 1"}"#).await;
    assert_eq!(wrong.problem(401, "invalid_credentials")["sqlstate"], "28P01");
    assert_eq!(refused.load(Ordering::SeqCst), 1, "it is asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_refuses_a_password_in_its_own_way_refuses_credentials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = client.read(&mut buffer).await;
            // Asks for an MD5 password, and does not like it.
            client.write_all(b"R\0\0\0\x0c\0\0\0\x05salt").await.unwrap();
            let _ = client.read(&mut buffer).await;
            client.write_all(&fatal("08P01", "password authentication failed")).await.unwrap();
        }
    });
    let toml = format!(
        "listen = '127.0.0.1:0'\n[databases.app]\nurl = 'postgresql://127.0.0.1:{port}/postgres?sslmode=disable'"
    );
    let endpoint = Endpoint::start(&toml).await;
    let reply = endpoint.caller("ada", "wrong").json(r#"{"sql": "select 1"}"#).await;
    assert_eq!(reply.problem(401, "invalid_credentials")["sqlstate"], "08P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_met_a_server_shutting_down_is_sent_again_unseen() {
    let proxy = Proxy::start().await;
    let endpoint = proxy.endpoint("pool_size = 1").await;
    let owner = endpoint.owner();
    let pid = owner.value("select pg_backend_pid()").await;
    proxy.next(Fault::ShutDown);
    assert_ne!(owner.value("select pg_backend_pid()").await, pid, "answered by another backend");
    // A script may have been executed in part without a word, so it is not sent again.
    proxy.next(Fault::ShutDown);
    let problem = owner.frames(script("select 1")).await.problem(502, "connection_lost");
    assert_eq!((problem["sqlstate"].as_str(), problem["retryable"].as_bool()), (Some("57P01"), Some(false)));
    assert_eq!(owner.value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_nothing_runs_twice() {
    let proxy = Proxy::start().await;
    let endpoint = proxy.endpoint("pool_size = 1").await;
    let owner = endpoint.owner();
    owner.rows("create table once (a int)").await;
    proxy.next(Fault::Swallow);
    let reply = owner.frames(pipeline(&[&["insert into once values (1)"]])).await;
    let problem = reply.problem(502, "connection_lost");
    assert_eq!(problem["retryable"], false);
    assert!(problem.get("sqlstate").is_none());
    assert_eq!(reply.header("retry-after"), "");
    assert_eq!(owner.value("select count(*)::int from once").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_postgresqls_is_an_internal_error_and_the_connection_is_gone() {
    let proxy = Proxy::start().await;
    let endpoint = proxy.endpoint("pool_size = 1").await;
    let owner = endpoint.owner();
    let pid = owner.value("select pg_backend_pid()").await;
    proxy.next(Fault::Nonsense);
    let problem = owner.json(r#"{"sql": "select 1"}"#).await.problem(500, "internal");
    assert!(problem["detail"].as_str().unwrap().contains("its log says why"), "{problem}");
    assert_ne!(owner.value("select pg_backend_pid()").await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_a_login_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let toml = format!(
        "listen = '127.0.0.1:0'\n[databases.app]\nurl = 'postgresql://127.0.0.1:{port}/a'\nconnect_timeout = '200ms'"
    );
    let endpoint = Endpoint::start(&toml).await;
    let reply = endpoint.caller("ada", "sesame").json(r#"{"sql": "select 1"}"#).await;
    assert_eq!(reply.problem(502, "database_unreachable")["retryable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_something_else_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    for query in ["sslmode=disable", "sslmode=prefer"] {
        let toml = format!(
            "listen = '127.0.0.1:0'\n[databases.app]\nurl = 'postgresql://127.0.0.1:{port}/a?{query}'"
        );
        let endpoint = Endpoint::start(&toml).await;
        let reply = endpoint.caller("ada", "sesame").json(r#"{"sql": "select 1"}"#).await;
        reply.problem(502, "database_unreachable");
    }
}
