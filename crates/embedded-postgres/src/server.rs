//! One running server: started, stopped, restarted, and certain to go when its owner goes.

use std::{
    fmt, fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::{
    account::{Account, write_private_file},
    error::{Error, Kind, tail},
    installation::{Installation, PACKAGE_VERSION},
    options::{Durability, Options},
    place::Place,
};

/// A running PostgreSQL server on a loopback port of its own, with a data directory of its own.
///
/// Dropping it stops the server and removes the data, unless they are kept in a
/// [`data_directory`](Options::data_directory). When the process ends without dropping it (a static, an
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
    /// Creates a database cluster, or finds the one that was kept, and starts a server on it; returns when the server
    /// accepts connections.
    ///
    /// Takes about a second, and a fraction of it with kept data. The cluster is UTF-8 with the collation C.UTF-8, so that results do not depend on
    /// the machine's locales.
    ///
    /// # Errors
    /// [`Kind::InvalidOption`], [`Kind::NoUnprivilegedUser`], [`Kind::Server`] with the end of the server's log,
    /// [`Kind::InUse`], [`Kind::Io`].
    pub fn start(installation: &Installation, options: Options) -> Result<Self, Error> {
        let configuration = options.configuration()?;
        let account = Account::choose()?;
        let installation = installation.reachable(account)?;
        let place = match &options.data_directory {
            Some(directory) => Place::kept(account, directory)?,
            None => Place::passing(account)?,
        };
        let guardian = guard(account, &installation, &place)?;

        // From here on dropping this value (on an error, too) cleans up.
        let directory = place.directory;
        let mut postgres = Self {
            account,
            installation,
            directory,
            port: 0,
            password: String::new(),
            guardian: Some(guardian),
        };
        postgres.cluster(&options)?;
        postgres.write(&postgres.directory.join("data/onetrip.conf"), &configuration)?;
        let mut rules = options.host_based_authentication.join("\n");
        rules.push('\n');
        postgres.write(&postgres.directory.join("data/pg_hba.conf"), &rules)?;
        if let Some(tls) = &options.tls {
            postgres.write(&postgres.directory.join("data/server.crt"), &tls.certificate_pem)?;
            postgres.write(&postgres.directory.join("data/server.key"), &tls.key_pem)?;
        }
        postgres.run_on_some_port(options.port)?;
        Ok(postgres)
    }

    /// Whether the user that the server runs as can reach a directory of this path, made or yet to be made; for root that
    /// is another user than this process's.
    ///
    /// # Errors
    /// [`Kind::NoUnprivilegedUser`], [`Kind::Io`].
    pub fn reaches(directory: &Path) -> Result<bool, Error> {
        let account = Account::choose()?;
        Ok(directory.ancestors().find(|path| path.exists()).is_some_and(|path| account.reaches(path)))
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

    /// The file that the server logs to. It is removed together with the data, and at the next start with kept data.
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

    /// Makes the cluster, or finds the one that is there, and its password.
    fn cluster(&mut self, options: &Options) -> Result<(), Error> {
        let (data, password_file) = (self.directory.join("data"), self.directory.join("password"));
        if data.exists() {
            let version = data.join("PG_VERSION");
            let found =
                fs::read_to_string(&version).map_err(|error| Error::io("reading", &version, error))?;
            let needed = PACKAGE_VERSION.split('.').next().unwrap_or_default();
            if found.trim() != needed {
                return Err(Error::new(
                    Kind::Server,
                    format!(
                        "{} holds data of PostgreSQL {}, and this is PostgreSQL {needed}: choose another directory, \
                         or bring the data over with pg_dump",
                        data.display(),
                        found.trim()
                    ),
                ));
            }
            let password = fs::read_to_string(&password_file)
                .map_err(|error| Error::io("reading", &password_file, error))?;
            self.password = password.trim().to_owned();
            return Ok(());
        }
        self.password = match &options.password {
            Some(password) => password.clone(),
            None => random_hex(16)?,
        };
        self.write(&password_file, &self.password)?;
        // Under another name until it is whole, for somebody may end us meanwhile.
        let unfinished = self.directory.join("data.part");
        let _ = fs::remove_dir_all(&unfinished);
        let mut initdb = self.account.command(&self.installation.program("initdb"));
        if options.durability == Durability::None {
            initdb.arg("--no-sync");
        }
        let output = initdb
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
            .args(["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(&unfinished)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::io("running", &self.installation.program("initdb"), error))?;
        if !output.status.success() {
            return Err(Error::program(Kind::Server, "initdb", &output, ""));
        }
        let configuration = unfinished.join("postgresql.conf");
        let sample = fs::read_to_string(&configuration)
            .map_err(|error| Error::io("reading", &configuration, error))?;
        self.write(&configuration, &format!("{sample}\ninclude_if_exists 'onetrip.conf'\n"))?;
        fs::rename(&unfinished, &data).map_err(|error| Error::io("renaming", &unfinished, error))
    }

    fn run_on_some_port(&mut self, wanted: Option<u16>) -> Result<(), Error> {
        let port_file = self.directory.join("port");
        let last = fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse().ok());
        let _ = fs::remove_file(self.log_path());
        for attempt in 1.. {
            let first = if attempt == 1 { wanted.or(last) } else { None };
            self.port = match first.filter(|port| is_free(*port)) {
                Some(port) => port,
                None => free_port()?,
            };
            match self.run_server() {
                Ok(()) => break,
                // Between our looking and the server's binding, somebody else has taken the port.
                Err(_) if attempt < PORT_ATTEMPTS && self.log().contains("Address already in use") => {
                    let _ = fs::remove_file(self.log_path());
                }
                Err(error) => return Err(error),
            }
        }
        self.write(&port_file, &self.port.to_string())
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

/// Starts the shell that outlives us by the time it takes to stop the server and, unless its data are kept, to remove
/// its directory.
///
/// It waits for the end of its standard input, a pipe whose other end only this process holds: the kernel closes
/// it however this process ends. Its standard output is the lock, which so is held until the server is gone.
fn guard(account: Account, installation: &Installation, place: &Place) -> Result<Child, Error> {
    let shell = Path::new("/bin/sh");
    let (mode, lock) = match &place.lock {
        Some(lock) => {
            ("fast", Stdio::from(lock.try_clone().map_err(|error| Error::io("opening", shell, error))?))
        }
        None => ("immediate", Stdio::null()),
    };
    account
        .command(shell)
        .args(["-c", GUARDIAN, "onetrip-postgres-guardian"])
        .arg(installation.program("pg_ctl"))
        .arg(&place.directory)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(lock)
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

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
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
if [ -e "$2/data/postmaster.pid" ]; then
    "$1" stop --silent --mode "$3" --timeout 60 --pgdata "$2/data" >/dev/null
fi
if [ "$3" = immediate ]; then rm -rf "$2"; fi
"#;
