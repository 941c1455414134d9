//! `onetrip dev`: a database and an endpoint by one command, kept or thrown away, and never in each other's way.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use onetrip_wire::representation::JSON;

use crate::program::program;
use crate::support::{Caller, Reply, basic, eventually};

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools");

/// A directory, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("onetrip-dev-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `onetrip dev`, and what it has printed.
struct Dev {
    child: Child,
    banner: String,
}

fn dev(directory: &Path, args: &[&str]) -> Command {
    let mut command = program();
    command.current_dir(directory).args(["dev", "--tools", TOOLS, "--port", "0"]).args(args);
    command
}

impl Dev {
    fn start(mut command: Command) -> Dev {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("\n  data") {
            if lines.read_line(&mut banner).unwrap() == 0 {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("{banner}{errors}");
            }
        }
        Dev { child, banner }
    }

    fn url(&self, what: &str) -> String {
        let line = self.banner.lines().find(|line| line.trim_start().starts_with(what));
        line.unwrap_or_else(|| panic!("{}", self.banner)).split_whitespace().nth(1).unwrap().to_owned()
    }

    fn password(&self) -> String {
        self.url("driver").split([':', '@']).nth(2).unwrap().to_owned()
    }

    fn caller(&self) -> Caller {
        let address = self.url("driver").split(['@', '/']).nth(3).unwrap().parse().unwrap();
        Caller { address, authorization: basic("dev", &self.password()) }
    }

    fn postgres(&self) -> SocketAddr {
        self.url("psql").split(['@', '/']).nth(3).unwrap().parse().unwrap()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        assert!(TcpStream::connect(self.postgres()).is_err(), "PostgreSQL has stopped");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(caller: &Caller, sql: &str) -> Reply {
    let mut request = caller.request(JSON, JSON, serde_json::json!({ "sql": sql }).to_string());
    *request.uri_mut() = "/v1/dev/pipeline".parse().unwrap();
    request.headers_mut().insert("origin", "http://localhost:5173".parse().unwrap());
    caller.send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_gives_an_endpoint_with_a_database_that_is_there_again_the_next_time() {
    let directory = Directory::new("kept");
    directory.file(
        "seed.sql",
        "create table items (id int primary key, name text);\ninsert into items values (1, 'Cup');",
    );
    directory.file("vars", "OTHER=1\nONETRIP_URL=http://old\n");
    let data = directory.0.join("data");
    let args =
        ["--data", data.to_str().unwrap(), "--sql", "seed.sql", "--write-env", "vars", "--jwks", "keys"];
    directory.file("keys", r#"{"keys": [{"kty": "oct", "kid": "a", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#);
    let first = Dev::start(dev(&directory.0, &args));
    let vars = std::fs::read_to_string(directory.0.join("vars")).unwrap();
    assert_eq!(vars, format!("OTHER=1\nONETRIP_URL={}\n", first.url("driver")));
    let caller = first.caller();
    let reply = ask(&caller, "select name from items").await;
    assert_eq!(reply.value()["rows"][0]["name"], "Cup", "{}", reply.text());
    assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:5173");
    assert!(ask(&caller, "insert into items values (2, 'Plate')").await.value().get("error").is_none());
    let superuser = "select rolsuper from pg_roles where rolname = current_user";
    assert_eq!(ask(&caller, superuser).await.value()["rows"][0]["rolsuper"], false);

    let output = dev(&directory.0, &args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("another onetrip dev") && text.contains("--ephemeral"),
        "{text}"
    );
    assert_eq!(ask(&caller, "select 1").await.status, 200, "the first one goes on");
    let (password, postgres) = (first.password(), first.postgres());
    first.interrupt();

    let second = Dev::start(dev(&directory.0, &args));
    assert_eq!((second.password(), second.postgres()), (password, postgres), "URLs stay good");
    let reply = ask(&second.caller(), "select name from items order by id").await;
    assert_eq!(reply.value()["rows"][1]["name"], "Plate", "{}", reply.text());
    assert!(second.banner.contains("\n  tokens  http://authenticated@"), "{}", second.banner);
    let reply = ask(&second.caller(), "select claims.verified() is null as nobody").await;
    assert_eq!(reply.value()["rows"][0]["nobody"], true, "{}", reply.text());
    second.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_keep_nothing_run_side_by_side() {
    let directory = Directory::new("ephemeral");
    let one = Dev::start(dev(&directory.0, &["--ephemeral"]));
    let other = Dev::start(dev(&directory.0, &["--ephemeral"]));
    for (dev, name) in [(&one, "one"), (&other, "other")] {
        let made = ask(&dev.caller(), &format!("create table t as select '{name}' as name")).await;
        assert!(made.value().get("error").is_none(), "{}", made.text());
    }
    assert_eq!(ask(&one.caller(), "select name from t").await.value()["rows"][0]["name"], "one");
    assert_ne!(one.password(), other.password());

    let taken = one.caller().address.port().to_string();
    let output = program()
        .current_dir(&directory.0)
        .args(["dev", "--tools", TOOLS, "--ephemeral", "--port", &taken])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("another program listens") && text.contains("--port"),
        "{text}"
    );
    one.interrupt();
    // Killed, it takes its PostgreSQL along.
    let postgres = other.postgres();
    drop(other);
    eventually("PostgreSQL has stopped", async || TcpStream::connect(postgres).is_err()).await;
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_is_told_with_its_line_and_run_again_the_next_time() {
    let directory = Directory::new("seed");
    let data = directory.0.join("data");
    let args = ["--data", data.to_str().unwrap(), "--sql", "seed.sql"];
    directory
        .file("seed.sql", "create table t (n text);\n\ninsert into t values ('Ä'),\n  (no_such_column);");
    let output = dev(&directory.0, &args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("seed.sql, line 4"), "{text}");
    directory.file("seed.sql", "create table t (n int); insert into t values (7);");
    let dev_again = Dev::start(dev(&directory.0, &args));
    assert_eq!(ask(&dev_again.caller(), "select n from t").await.value()["rows"][0]["n"], 7);
    dev_again.interrupt();

    let output = dev(&directory.0, &["--ephemeral", "--write-env", "no/such/directory"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--write-env: no/such/directory cannot be"), "{text}");

    let output = dev(&directory.0, &["--ephemeral", "--sql", "not-there.sql"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--sql: not-there.sql cannot be read"), "{text}");
}

/// By root as by anybody: PostgreSQL itself refuses root, and an ordinary user can change to no other.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_can_run_it_in_a_directory_of_their_own() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    let directory = Directory::new("user");
    // Where we are an ordinary user, all of the tests above have shown it.
    if std::fs::metadata(&directory.0).unwrap().uid() != 0 {
        return;
    }
    let nobody = 65534;
    let copy = |from: &str, to: &str| {
        let copied = Command::new("cp").args(["-R", from]).arg(directory.0.join(to)).status().unwrap();
        assert!(copied.success(), "{from}");
    };
    // The repository may be root's alone.
    copy(TOOLS, "tools");
    copy(env!("CARGO_BIN_EXE_onetrip"), "onetrip");
    let changed = Command::new("chown").args(["-R", &nobody.to_string()]).arg(&directory.0).status().unwrap();
    assert!(changed.success());
    let mut command = Command::new(directory.0.join("onetrip"));
    command
        .args(["dev", "--port", "0", "--tools", "tools"])
        .current_dir(&directory.0)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .uid(nobody)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let dev = Dev::start(command);
    assert_eq!(ask(&dev.caller(), "select 1 as a").await.value()["rows"][0]["a"], 1);
    assert!(
        directory.0.join(".onetrip/dev/data/PG_VERSION").exists()
            && directory.0.join(".onetrip/.gitignore").exists()
    );
    dev.interrupt();
}
