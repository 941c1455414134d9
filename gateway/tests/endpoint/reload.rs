//! Reload: another configuration in force, and no request the worse for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use onetrip_wire::representation::JSON;

use crate::program::{Running, program, url};
use crate::support::{Caller, Reply, collect, connect, eventually};
use crate::tls::Authority;

/// A configuration file, gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        File(std::env::temp_dir().join(format!("onetrip-{name}-{}.toml", std::process::id())))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, format!("listen = '127.0.0.1:0'\n{text}")).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn serve(file: &File) -> Running {
    Running::start(program().args(["serve", "--config"]).arg(&file.0))
}

async fn ask(caller: &Caller, database: &str, sql: &str) -> Reply {
    let mut request = caller.request(JSON, JSON, serde_json::json!({ "sql": sql }).to_string());
    *request.uri_mut() = format!("/v1/{database}/pipeline").parse().unwrap();
    caller.send(request).await
}

fn database(name: &str, options: &str) -> String {
    format!("[databases.{name}]\nurl = '{}'\n{options}\n", url())
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_come_go_and_change_and_those_that_stay_keep_their_connections() {
    let file = File::new("reload");
    file.write(&(database("stays", "") + &database("goes", "") + &database("changes", "pool_size = 1")));
    let mut running = serve(&file);
    let caller = running.caller();
    let process = async |name: &str| {
        ask(&caller, name, "select pg_backend_pid() as id").await.value()["rows"][0]["id"].clone()
    };
    let (stays, changes, goes) = (process("stays").await, process("changes").await, process("goes").await);
    assert_eq!(process("stays").await, stays);
    ask(&caller, "comes", "select 1").await.problem(404, "unknown_database");
    // In flight on a database that goes.
    let in_flight = {
        let caller = caller.clone();
        tokio::spawn(async move { ask(&caller, "goes", "select 7 as a, pg_sleep(1)").await })
    };
    let busy = "select count(*)::int as n from pg_stat_activity where query like 'select 7 as a%' and state = 'active'";
    eventually("the query runs", async || ask(&caller, "stays", busy).await.value()["rows"][0]["n"] == 1)
        .await;

    file.write(&(database("stays", "") + &database("comes", "") + &database("changes", "pool_size = 2")));
    running.signal("HUP");
    eventually("the new database is there", async || ask(&caller, "comes", "select 1").await.status == 200)
        .await;
    ask(&caller, "goes", "select 1").await.problem(404, "unknown_database");
    assert_eq!(process("stays").await, stays, "the same connection");
    assert_ne!(process("changes").await, changes, "a pool of its own");
    let reply = in_flight.await.unwrap();
    assert_eq!(reply.value()["rows"][0]["a"], 7, "a request in flight is answered");
    let left = format!("select count(*)::int as n from pg_stat_activity where pid in ({goes}, {changes})");
    eventually("the old connections are closed", async || {
        ask(&caller, "stays", &left).await.value()["rows"][0]["n"] == 0
    })
    .await;
    let log = running.log_after_signal("TERM");
    assert!(log.contains("databases: changes changed, comes added, goes removed"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_leaves_the_old_one_in_force_and_the_log_says_why() {
    let file = File::new("broken");
    file.write(&database("app", ""));
    let mut running = serve(&file);
    let caller = running.caller();
    assert_eq!(ask(&caller, "app", "select 1").await.status, 200);
    for (text, expected) in [
        (database("app", "pool_sise = 1"), "databases.app.pool_sise: there is no such key; did you mean"),
        (
            database("app", "") + "[tls]\ncertificate = '/not/there.pem'\nkey = '/not/there.key'",
            "/not/there.pem cannot be read",
        ),
        ("[databases".to_owned(), "this is not TOML"),
        (String::new(), "no database is configured"),
    ] {
        file.write(&text);
        running.signal("HUP");
        let line = running.next_line_with(expected);
        assert!(line.contains("not reloaded, the old one stays in force"), "{line}");
        assert_eq!(ask(&caller, "app", "select 1").await.status, 200);
    }
    file.write(&(database("app", "") + "[limits]\nrequest_bytes = 100"));
    std::fs::write(&file.0, std::fs::read_to_string(&file.0).unwrap().replace("127.0.0.1:0", "127.0.0.1:1"))
        .unwrap();
    running.signal("HUP");
    let line = running.next_line_with("listen has changed");
    assert!(line.contains("takes a restart"), "{line}");
    running.next_line_with("configuration reloaded");
    let long = format!("select 1 -- {}", "x".repeat(100));
    ask(&caller, "app", &long).await.problem(413, "request_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_reloads_go_on() {
    let file = File::new("load");
    let write = |size: usize| file.write(&database("app", &format!("pool_size = {size}")));
    write(3);
    let running = serve(&file);
    let caller = running.caller();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (caller, stop, answered) = (caller.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut sender = connect(caller.address).await;
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    sender.ready().await.unwrap();
                    let body = format!(
                        r#"{{"sql": "select $1::int as a", "params": [{}]}}"#,
                        client * 100_000 + number
                    );
                    let reply =
                        collect(sender.send_request(caller.request(JSON, JSON, body)).await.unwrap()).await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    assert_eq!(reply.value()["rows"][0]["a"], client * 100_000 + number);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..10 {
        let before = answered.load(Ordering::Relaxed);
        write(2 + round % 3);
        running.signal("HUP");
        eventually("requests go on", async || answered.load(Ordering::Relaxed) > before + 20).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again() {
    let file = File::new("tls");
    let (certificate, key) = (file.0.with_extension("crt"), file.0.with_extension("key"));
    let renew = || {
        let authority = Authority::new("localhost");
        std::fs::write(&certificate, &authority.certificate_pem).unwrap();
        std::fs::write(&key, &authority.key_pem).unwrap();
        authority
    };
    let first = renew();
    let tls = format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", certificate.display(), key.display());
    file.write(&(database("app", "") + &tls));
    let running = serve(&file);
    let address = running.address();
    assert!(first.connect(address, "h2").await.is_ok());
    let second = renew();
    assert!(second.connect(address, "h2").await.is_err(), "not before it is told to");
    running.signal("HUP");
    eventually("the new certificate is shown", async || second.connect(address, "h2").await.is_ok()).await;
    for path in [certificate, key] {
        let _ = std::fs::remove_file(path);
    }
}
