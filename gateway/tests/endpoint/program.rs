//! The program itself: flags, environment, file, messages, signals.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use onetrip_wire::representation::JSON;

use crate::support::{Caller, basic, postgres};

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ONETRIP_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that is ended with the test.
pub struct Running {
    pub child: Child,
    log: BufReader<std::process::ChildStderr>,
    first: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        log.read_line(&mut first).unwrap();
        Running { child, log, first }
    }

    pub fn address(&self) -> SocketAddr {
        let (_, rest) = self.first.split_once("://").unwrap_or_else(|| panic!("{}", self.first));
        rest.split(',').next().unwrap().parse().unwrap()
    }

    pub fn caller(&self) -> Caller {
        let authorization = basic(postgres().superuser(), postgres().password());
        Caller { address: self.address(), authorization }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The rest of the log, when the program has ended by a signal.
    pub fn log_after_signal(&mut self, name: &str) -> String {
        self.signal(name);
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success());
        log
    }

    /// The next line of the log that holds a text.
    pub fn next_line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended without {text}");
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn url() -> String {
    format!("postgresql://127.0.0.1:{}/postgres", postgres().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_stops_at_sigterm() {
    for signal in ["TERM", "INT"] {
        let database = format!("app={}", url());
        let mut running =
            Running::start(program().args(["serve", "--listen", "127.0.0.1:0", "--database", &database]));
        assert!(running.first.contains("listening on http://127.0.0.1:"), "{}", running.first);
        assert!(running.first.contains("databases: app"), "{}", running.first);
        let caller = running.caller();
        assert_eq!(caller.value("select 1").await, 1);
        let secret = caller.sql("select 'a secret value' from a_secret_table").await;
        assert_eq!(secret["error"]["code"], "42P01");
        let mut wrong = caller.clone();
        wrong.authorization = basic("postgres", "a secret password");
        wrong.json(r#"{"sql": "select 1"}"#).await.problem(401, "invalid_credentials");
        wrong.json(r#"{"sql": "a secret statement"}"#).await.problem(401, "invalid_credentials");

        let slow = tokio::spawn(async move { caller.value("select 1 from pg_sleep(0.5)").await });
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        running.signal(signal);
        assert_eq!(slow.await.unwrap(), 1, "the request in flight is answered");
        assert!(running.child.wait().unwrap().success());
        let mut log = String::new();
        running.log.read_to_string(&mut log).unwrap();
        assert!(log.contains("draining") && log.contains("stopped"), "{log}");
        assert!(log.contains("code=\"invalid_credentials\""), "{log}");
        assert!(!log.contains("secret") && !log.contains(postgres().password()), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = std::env::temp_dir().join(format!("onetrip-{}.toml", std::process::id()));
    let text = format!("listen = '127.0.0.1:1'\nlog = 'info'\n[databases.from_file]\nurl = '{}'\n", url());
    std::fs::write(&file, text).unwrap();
    let running = Running::start(
        program()
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .env("ONETRIP_LISTEN", "127.0.0.1:2")
            .env("ONETRIP_DATABASES", format!("from_environment={}", url())),
    );
    std::fs::remove_file(&file).unwrap();
    assert!(running.first.contains("databases: from_environment, from_file"), "{}", running.first);
}

#[test]
fn it_explains_itself_and_its_mistakes() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, status, expected) in [
        (&["--version"][..], 0, concat!("onetrip ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], 0, "serve"),
        (&["serve", "--help"], 0, "ONETRIP_CONFIG"),
        (&["dev", "--help"], 0, "--ephemeral"),
        (&["check-config", "--help"], 0, "--connect"),
        (&[], 2, "Usage: onetrip"),
        (&["serve"], 2, "[databases.app]"),
        (&["serve", "--listen", "5480"], 2, "the flag --listen: listen: an IP address and a port"),
        (&["serve", "--database", "x"], 2, "NAME=URL is expected"),
        (&["serve", "--database", "postgresql://h/d?sslmode=disable"], 2, "NAME=URL is expected"),
        (
            &["serve", "--database", "a=postgresql://u:sesame@h/d"],
            2,
            "databases.a.url: the URL holds a role and a password",
        ),
        (&["serve", "--config", "/not/there.toml"], 2, "/not/there.toml cannot be read"),
        (
            &["serve", "--listen", &taken, "--database", "a=postgresql://h/d"],
            1,
            "another program listens there",
        ),
    ] {
        let output = program().args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

/// Sends a request to an endpoint that may not be there; its answer if all of it came.
async fn try_json(caller: &Caller, body: String) -> Option<serde_json::Value> {
    let stream = tokio::net::TcpStream::connect(caller.address).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let response = sender.send_request(caller.request(JSON, JSON, body)).await.ok()?;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_killed_and_started_again_has_lost_nothing_and_repeats_nothing() {
    let database = format!("app={}", url());
    let start =
        |listen: &str| Running::start(program().args(["serve", "--listen", listen, "--database", &database]));
    let mut running = start("127.0.0.1:0");
    let caller = running.caller();
    caller.rows("create table killed (tag int8)").await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..24_i64)
        .map(|client| {
            let (caller, over) = (caller.clone(), over.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut n) = (Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    n += 1;
                    let tag = client * 1_000_000 + n;
                    let body = format!(
                        r#"{{"sql": "insert into killed values ($1) returning tag", "params": [{tag}]}}"#
                    );
                    match try_json(&caller, body).await {
                        Some(answer) if answer.get("rows").is_some() => {
                            assert_eq!(answer["rows"][0]["tag"], tag.to_string());
                            acknowledged.push(tag);
                        }
                        _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    }
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        running = start(&caller.address.to_string());
    }
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    over.store(true, Ordering::Relaxed);
    let mut acknowledged = 0;
    for client in clients {
        for tag in client.await.unwrap() {
            acknowledged += 1;
            let count = format!("select count(*)::int from killed where tag = {tag}");
            if acknowledged % 20 == 0 {
                assert_eq!(caller.value(&count).await, 1, "{tag} was acknowledged");
            }
        }
    }
    let sums = "select (count(*) >= $1 and count(*) = count(distinct tag))::int from killed"
        .replace("$1", &acknowledged.to_string());
    assert_eq!(caller.value(&sums).await, 1, "{acknowledged} were acknowledged");
    assert!(acknowledged > 50, "{acknowledged}: too quiet to show anything");
    caller.rows("drop table killed").await;
}
