//! The embedded server as its callers see it: real starts, stops and kills.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use onetrip_embedded_postgres::{Installation, Kind, Options, Postgres, Shutdown};

fn installation() -> Installation {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    Installation::ensure(&tools, &mut |line| eprintln!("{line}")).unwrap()
}

/// The first byte and the code of what the server answers to a startup message, or nothing if nobody listens.
fn greeting(port: u16) -> Option<(u8, u32)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let body = b"user\0postgres\0database\0postgres\0\0";
    let mut startup = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    startup.extend([0, 3, 0, 0]);
    startup.extend(body);
    stream.write_all(&startup).ok()?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).ok()?;
    Some((answer[0], u32::from_be_bytes(answer[5..].try_into().unwrap())))
}

const AUTHENTICATION_OK: Option<(u8, u32)> = Some((b'R', 0));
const AUTHENTICATION_SASL: Option<(u8, u32)> = Some((b'R', 10));

#[test]
fn a_server_asks_for_scram_stops_and_comes_back_on_the_same_port() {
    let postgres = Postgres::start(&installation(), Options::for_tests()).unwrap();
    let port = postgres.port();
    assert_eq!(greeting(port), AUTHENTICATION_SASL, "{}", postgres.log());
    for shutdown in [Shutdown::Fast, Shutdown::Immediate] {
        postgres.stop(shutdown).unwrap();
        assert_eq!(greeting(port), None);
        postgres.stop(shutdown).unwrap();
        postgres.restart().unwrap();
        assert_eq!(greeting(port), AUTHENTICATION_SASL, "{}", postgres.log());
    }

    let directory = postgres.log_path().parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(postgres);
    assert_eq!(greeting(port), None);
    assert!(!directory.exists());
}

#[test]
fn options_reach_the_server() {
    let options = Options::for_tests()
        .host_based_authentication(["host all all 127.0.0.1/32 trust"])
        .setting("log_line_prefix", "it's the prefix ")
        .setting("log_connections", "all");
    let postgres = Postgres::start(&installation(), options).unwrap();
    assert_eq!(greeting(postgres.port()), AUTHENTICATION_OK);
    assert!(postgres.log().contains("it's the prefix LOG:"), "{}", postgres.log());
}

#[test]
fn a_setting_that_the_server_refuses_is_an_error_in_its_own_words() {
    let error =
        Postgres::start(&installation(), Options::for_tests().setting("work_mem", "plenty")).unwrap_err();
    assert_eq!(error.kind(), Kind::Server);
    let text = error.to_string();
    assert!(text.contains(r#"invalid value for parameter "work_mem": "plenty""#), "{text}");
}

#[test]
fn nothing_is_left_when_the_starting_process_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(OWNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once("server: ").map(|(_, rest)| rest.to_owned()));
    let (port, directory) = line.as_deref().unwrap().split_once(' ').unwrap();
    let (port, directory) = (port.parse().unwrap(), PathBuf::from(directory));
    assert_eq!(greeting(port), AUTHENTICATION_SASL);

    owner.kill().unwrap(); // SIGKILL
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while directory.exists() || greeting(port).is_some() {
        assert!(Instant::now() < deadline, "{} or port {port} is still there", directory.display());
        std::thread::yield_now();
    }
}

/// Not a test of its own: the test above runs it as another process and kills that.
#[test]
fn the_process_that_is_killed() {
    let Some(kept) = std::env::var_os(OWNER) else { return };
    let mut options = Options::for_tests();
    if kept != "1" {
        options = options.data_directory(kept);
    }
    let postgres = Postgres::start(&installation(), options).unwrap();
    println!("server: {} {}", postgres.port(), postgres.log_path().parent().unwrap().display());
    let _ = std::io::stdin().read(&mut [0]);
}

/// `1`, or the directory of the data to keep.
const OWNER: &str = "ONETRIP_TEST_IS_OWNER";

/// A directory that every user can reach, gone with the test.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("onetrip-kept-{name}-{}", std::process::id())))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn kept_data_are_found_again_on_the_same_port_and_by_one_server_at_a_time() {
    let kept = Kept::new("data");
    let options = || Options::for_tests().data_directory(&kept.0);
    let first = Postgres::start(&installation(), options()).unwrap();
    let (port, password) = (first.port(), first.password().to_owned());
    let identifier = || std::fs::read(kept.0.join("data/global/pg_control")).unwrap()[..8].to_vec();
    let created = identifier();
    let error = Postgres::start(&installation(), options()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert!(error.to_string().contains("another process runs a server on these data"), "{error}");
    assert_eq!(greeting(port), AUTHENTICATION_SASL, "the first one goes on");
    drop(first);
    assert_eq!(greeting(port), None);

    let second = Postgres::start(&installation(), options().setting("log_connections", "all")).unwrap();
    assert_eq!((second.port(), second.password()), (port, password.as_str()));
    assert_eq!(identifier(), created);
    assert_eq!(greeting(port), AUTHENTICATION_SASL);
    assert!(second.log().contains("connection received"), "options count for kept data: {}", second.log());
    drop(second);

    std::fs::write(kept.0.join("data/PG_VERSION"), "9\n").unwrap();
    let error = Postgres::start(&installation(), options()).unwrap_err().to_string();
    assert!(error.contains("holds data of PostgreSQL 9, and this is PostgreSQL"), "{error}");
}

#[test]
fn kept_data_outlive_an_owner_that_is_killed() {
    let kept = Kept::new("killed");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(OWNER, &kept.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once("server: ").map(|(_, rest)| rest.to_owned()));
    let port: u16 = line.unwrap().split_once(' ').unwrap().0.parse().unwrap();
    owner.kill().unwrap(); // SIGKILL
    owner.wait().unwrap();

    // It waits for the old server to stop.
    let postgres =
        Postgres::start(&installation(), Options::for_tests().data_directory(&kept.0).port(port)).unwrap();
    assert_eq!((postgres.port(), greeting(port)), (port, AUTHENTICATION_SASL));
    assert!(!postgres.log().contains("not properly shut down"), "{}", postgres.log());
}
