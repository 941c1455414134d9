//! One running server: started, stopped, restarted, and certain to go when its owner goes.

use std::{
    fmt, fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::{
    account::{Account, create_private_directory, write_private_file},
    error::{Error, Kind, tail},
    installation::Installation,
    options::Options,
};

/// A running PostgreSQL server on a loopback port of its own, with a data directory of its own.
///
/// Dropping it stops the server and removes the data. When the process ends without dropping it (a static, an
/// abort, SIGKILL), a small supervising shell notices the closed pipe and does the same.
pub struct Postgres {
    account: Account,
    installation: Installation,
    directory: PathBuf,
    port: u16,
    password: String,
    guardian: Option<Child>,
}

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Rolls back what runs, closes all connections with `57P01`, and writes a checkpoint.
    Fast,
    /// Drops everything at once, as a crash does; the next start replays the log.
    Immediate,
}

impl Postgres {
    /// Creates a database cluster and starts a server on it; returns when the server accepts connections.
    ///
    /// Takes about a second. The cluster is UTF-8 with the collation C.UTF-8, so that results do not depend on
    /// the machine's locales.
    ///
    /// # Errors
    /// [`Kind::InvalidOption`], [`Kind::NoUnprivilegedUser`], [`Kind::Server`] with the end of the server's log,
    /// [`Kind::Io`].
    pub fn start(installation: &Installation, options: Options) -> Result<Self, Error> {
        let configuration = options.configuration()?;
        let account = Account::choose()?;
        let installation = installation.reachable(account)?;
        let directory =
            account.temporary_directory().join(format!("onetrip-postgres-data-{}", random_hex(8)?));
        create_private_directory(&directory).map_err(|error| Error::io("creating", &directory, error))?;
        account.own(&directory)?;
        let guardian = guard(account, &installation, &directory)?;
        let password = match &options.password {
            Some(password) => password.clone(),
            None => random_hex(16)?,
        };

        // From here on dropping this value (on an error, too) cleans up.
        let mut postgres =
            Self { account, installation, directory, port: 0, password, guardian: Some(guardian) };
        postgres.create_cluster(&options, &configuration)?;
        for attempt in 1.. {
            postgres.port = free_port()?;
            match postgres.run_server() {
                Ok(()) => break,
                // Between our looking and the server's binding, somebody else has taken the port.
                Err(_) if attempt < PORT_ATTEMPTS && postgres.log().contains("Address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(postgres)
    }

    /// The address that it listens on.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The port that it listens on; it stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name of the superuser, and of the database that exists from the start.
    pub fn superuser(&self) -> &str {
        SUPERUSER
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// A connection URL with the superuser's credentials. A database name that needs escaping is yours to escape.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// What the server has logged so far; empty if that cannot be read.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The file that the server logs to. It is removed together with the data.
    pub fn log_path(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// The process id of the server's main process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        let text = fs::read_to_string(self.directory.join("data/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Stops the server and keeps its data, so that [`restart`](Self::restart) finds it again.
    /// Does nothing when it is stopped already.
    ///
    /// # Errors
    /// [`Kind::Server`] when it does not stop within a minute.
    pub fn stop(&self, shutdown: Shutdown) -> Result<(), Error> {
        if self.process_id().is_none() {
            return Ok(());
        }
        let mode = match shutdown {
            Shutdown::Fast => "fast",
            Shutdown::Immediate => "immediate",
        };
        self.pg_ctl(&["stop", "--mode", mode])
    }

    /// Starts the server again on the same port and data, after stopping it if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<(), Error> {
        self.stop(Shutdown::Fast)?;
        self.run_server()
    }

    fn create_cluster(&self, options: &Options, configuration: &str) -> Result<(), Error> {
        let data = self.directory.join("data");
        let password_file = self.directory.join("password");
        self.write(&password_file, &self.password)?;
        let output = self
            .account
            .command(&self.installation.program("initdb"))
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync"])
            .args(["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::io("running", &self.installation.program("initdb"), error))?;
        let _ = fs::remove_file(&password_file);
        if !output.status.success() {
            return Err(Error::program(Kind::Server, "initdb", &output, ""));
        }

        let configuration_path = data.join("postgresql.conf");
        let sample = fs::read_to_string(&configuration_path)
            .map_err(|error| Error::io("reading", &configuration_path, error))?;
        self.write(&configuration_path, &format!("{sample}{configuration}"))?;
        let mut rules = options.host_based_authentication.join("\n");
        rules.push('\n');
        self.write(&data.join("pg_hba.conf"), &rules)?;
        if let Some(tls) = &options.tls {
            self.write(&data.join("server.crt"), &tls.certificate_pem)?;
            self.write(&data.join("server.key"), &tls.key_pem)?;
        }
        Ok(())
    }

    fn run_server(&self) -> Result<(), Error> {
        // Tells the guardian that a server may be coming up which has not written its process id yet.
        let starting = self.directory.join("starting");
        self.write(&starting, "")?;
        let log = self.log_path();
        let port = format!("--port={}", self.port);
        let started = self.pg_ctl(&["start", "--log", &log.to_string_lossy(), "--options", &port]);
        let _ = fs::remove_file(&starting);
        started.map_err(|error| {
            Error::new(Kind::Server, format!("{error}\nThe server's log ends with:\n{}", tail(&self.log())))
        })
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), Error> {
        let program = self.installation.program("pg_ctl");
        // Not `output()`: the server inherits these handles, and a pipe would never see its end.
        let status = self
            .account
            .command(&program)
            .args(arguments)
            .args(["--wait", "--silent", "--timeout", "60", "--pgdata"])
            .arg(self.directory.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| Error::io("running", &program, error))?;
        if status.success() {
            return Ok(());
        }
        let action = arguments.first().copied().unwrap_or_default();
        Err(Error::new(Kind::Server, format!("PostgreSQL did not {action}: pg_ctl ended with {status}")))
    }

    /// Writes a private file that belongs to the server's user.
    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        write_private_file(path, text).map_err(|error| Error::io("writing", path, error))?;
        self.account.own(path)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            drop(guardian.stdin.take());
            let _ = guardian.wait();
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Postgres")
            .field("port", &self.port)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Starts the shell that outlives us by the time it takes to stop the server and to remove its directory.
///
/// It waits for the end of its standard input, a pipe whose other end only this process holds: the kernel closes
/// it however this process ends.
fn guard(account: Account, installation: &Installation, directory: &Path) -> Result<Child, Error> {
    let shell = Path::new("/bin/sh");
    account
        .command(shell)
        .args(["-c", GUARDIAN, "onetrip-postgres-guardian"])
        .arg(installation.program("pg_ctl"))
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Error::io("running", shell, error))
}

/// A port that is free at this moment.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::io("binding a port on", Path::new("127.0.0.1"), error))
}

/// Random bytes from the operating system as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut buffer = vec![0; bytes];
    fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut buffer))
        .map_err(|error| Error::io("reading", source, error))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

const SUPERUSER: &str = "postgres";
const PORT_ATTEMPTS: u32 = 5;
const GUARDIAN: &str = r#"
while read -r line; do :; done
if [ -e "$2/starting" ]; then sleep 1; fi
if [ -e "$2/data/postmaster.pid" ]; then "$1" stop --silent --mode immediate --timeout 20 --pgdata "$2/data"; fi
rm -rf "$2"
"#;
