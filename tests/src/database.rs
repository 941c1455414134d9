//! One PostgreSQL server for each test process, and a database and a role in it for each test.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use onetrip_embedded_postgres::{Installation, Options, Postgres};
use tokio_postgres::{Client, NoTls};

/// The PostgreSQL of this process: started by the first call, gone with the process.
///
/// # Panics
/// With the reason, when it cannot be installed or started.
pub fn postgres() -> &'static Postgres {
    static POSTGRES: OnceLock<Postgres> = OnceLock::new();
    POSTGRES.get_or_init(|| {
        Postgres::start(&installation(), Options::for_tests())
            .unwrap_or_else(|error| panic!("PostgreSQL for the tests does not start: {error}"))
    })
}

/// PostgreSQL's programs in `target/tools`, installed when missing.
///
/// # Panics
/// With the reason, when they cannot be installed.
pub fn installation() -> Installation {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    Installation::ensure(&tools, &mut |line| eprintln!("{line}"))
        .unwrap_or_else(|error| panic!("PostgreSQL for the tests cannot be installed: {error}"))
}

/// A database of its own with an ordinary role that owns it. The role's name is the database's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The name of the database and of its owner.
    pub name: String,
    /// The owner's password.
    pub password: String,
    /// Where the server listens.
    pub address: SocketAddr,
}

impl Database {
    /// Creates one in the process's own [`postgres`].
    ///
    /// # Panics
    /// With the reason, when that fails.
    pub async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::create_in(postgres(), &name).await
    }

    /// Creates one of this name, made of lower-case letters, digits and underscores.
    ///
    /// # Panics
    /// With the reason, when that fails.
    pub async fn create_in(postgres: &Postgres, name: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], postgres.port()));
        let superuser = Self { name: "postgres".into(), password: postgres.password().into(), address };
        let client = superuser.connect().await;
        let password = format!("password-of-{name}");
        for statement in [
            format!("create role {name} login password '{password}'"),
            format!("create database {name} owner {name}"),
        ] {
            client.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        Self { name: name.into(), password, address }
    }

    /// A direct connection as the owner: what the gateway is compared with.
    ///
    /// # Panics
    /// With the reason, when that fails.
    pub async fn connect(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port());
        config.user(&self.name).dbname(&self.name).password(&self.password);
        let connected = config.connect(NoTls).await;
        let (client, connection) =
            connected.unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name));
        tokio::spawn(connection);
        client
    }
}
