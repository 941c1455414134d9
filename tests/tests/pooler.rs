//! Behind a real PgBouncer in transaction mode that knows nothing of prepared statements: the server changes between
//! transactions, and no client notices.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use onetrip_tests::{Database, Gateway};
use serde_json::json;
use tokio::net::TcpStream;

/// A PgBouncer in the foreground; it ends with the test.
struct PgBouncer {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Where the system has it: `cargo xtask test rust` installs it where it can.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join("pgbouncer")).find(|program| program.is_file())
}

/// An account that is not root's, for PgBouncer refuses that.
fn account() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let nobody = text.lines().find(|line| line.starts_with("nobody:"))?;
    let mut fields = nobody.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `settings` are lines of its configuration.
async fn start(program: &Path, database: &Database, settings: &str) -> PgBouncer {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = std::env::temp_dir().join(format!("onetrip-pgbouncer-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (ini, users) = (directory.join("pgbouncer.ini"), directory.join("users"));
    let Database { name, password, address } = database;
    std::fs::write(&users, format!("\"{name}\" \"{password}\"\n")).unwrap();
    let text = format!(
        "[databases]\n{name} = host=127.0.0.1 port={} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = md5\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = 3\n{settings}\n",
        address.port(),
        users.display(),
    );
    std::fs::write(&ini, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-q").arg(&ini).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        let (uid, gid) = account().expect("a system has nobody");
        for path in [&directory, &ini, &users] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        command.uid(uid).gid(gid);
    }
    let pgbouncer = PgBouncer { process: command.spawn().unwrap(), directory, port };
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return pgbouncer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("PgBouncer does not listen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_changes_servers_under_prepared_statements_is_noticed_by_nobody() {
    let Some(program) = program() else {
        eprintln!("skipped: this system has no pgbouncer");
        return;
    };
    let database = Database::create().await;
    let pgbouncer = start(&program, &database, "").await;
    let upstream = ([127, 0, 0, 1], pgbouncer.port).into();
    // More connections than servers, so that they change.
    let settings = "pool_size = 6\npool_timeout = '2m'\nshort_request = '1s'\n[metrics]\nlisten = 'same'\n\
                    token = 'metrics-of-the-test'";
    let gateway = Arc::new(Gateway::start(&database, upstream, settings).await);
    let clients: Vec<_> = (0..10)
        .map(|client| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                for n in 0..30 {
                    // Each statement says which one it is, so that another one's rows would show.
                    let which = (client * 7 + n) % 9;
                    let query = json!({"sql": format!("select $1::int4 as n, {which} as which, pg_sleep(0.001)"),
                        "params": [n]});
                    let answer = gateway.pipeline(&query).await;
                    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                    let answer = answer.json();
                    assert!(answer["error"].is_null(), "{answer}");
                    assert_eq!(answer["rows"][0]["n"], n);
                    assert_eq!(answer["rows"][0]["which"], which);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    // What the guard of a shared flight looks for may be on another server than the reset in front of it.
    let headers = [("authorization", "Bearer metrics-of-the-test")];
    let answer = onetrip_tests::http::send(gateway.address(), "GET", "/metrics", &headers, Vec::new()).await;
    let text = String::from_utf8(answer.unwrap().body).unwrap();
    let shared = format!("onetrip_shared_total{{database=\"{}\"}} 0", database.name);
    assert!(text.lines().any(|line| line == shared), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pooler_lost_on_the_way_is_not_sent_again() {
    let Some(program) = program() else {
        eprintln!("skipped: this system has no pgbouncer");
        return;
    };
    let database = Database::create().await;
    let outside = database.connect().await;
    outside.batch_execute("create table done (n int8)").await.unwrap();
    // It gives up before PostgreSQL has sent anything, and says so with an error like that of a server that ends the session.
    let pgbouncer = start(&program, &database, "query_timeout = 1").await;
    let gateway = Gateway::start(&database, ([127, 0, 0, 1], pgbouncer.port).into(), "").await;
    let insert = "with slow as (select pg_sleep(3)) insert into done select 1 from slow";
    let answer = gateway.pipeline(&json!({ "sql": insert })).await;
    assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    assert_eq!(
        (&answer["code"], &answer["retryable"]),
        (&json!("connection_lost"), &json!(false)),
        "{answer}"
    );
    let busy = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and \
                pid <> pg_backend_pid()";
    while outside.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let done: i64 = outside.query_one("select count(*) from done", &[]).await.unwrap().get(0);
    assert!(done <= 1, "done {done} times");
}
