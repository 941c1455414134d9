//! One database: whose password is proven, the pools of the roles, and how logging in goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onetrip_wire::problem::Code;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::admission::{self, Deadline};
use super::lease::Lease;
use super::queue::{Claim, Leased};
use super::reach::Reach;
use super::role_pool::RolePool;
use super::verifier::VerifierKey;
use crate::authorization::{Authorizer, Guess, Guesses};
use crate::codec::neon::Types;
use crate::config::DatabaseConfig;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::metrics::{DatabaseMetrics, Occupancy};
use crate::postgres::{Connection, Target};

/// A database that the endpoint serves, with the pools of its roles.
pub(crate) struct Database {
    context: Arc<Context>,
    /// By role. A role gets a pool when PostgreSQL has accepted its password, so strangers cannot fill the map.
    pools: Arc<Mutex<HashMap<String, Arc<RolePool>>>>,
    proving: Arc<Proving>,
    reach: Reach,
    types: Arc<Types>,
    authorizer: Option<Authorizer>,
    guesses: Arc<Guesses>,
}

/// What the pools of a database share.
pub(super) struct Context {
    pub(super) config: DatabaseConfig,
    pub(super) target: Arc<Target>,
    pub(super) logins: Semaphore,
    pub(super) metrics: Arc<DatabaseMetrics>,
    key: Arc<VerifierKey>,
}

/// How long getting a connection took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// Waiting for a connection of the pool, or for others to log in.
    pub(crate) queue: Duration,
    /// Connecting and logging in; zero for a connection that was open.
    pub(crate) connect: Duration,
}

/// Passwords that PostgreSQL is being asked about, by a keyed hash of role and password: each is asked about once,
/// however many requests bring it.
#[derive(Default)]
struct Proving {
    logins: Mutex<HashMap<Vec<u8>, watch::Receiver<Option<Proven>>>>,
    waiting: AtomicUsize,
}

/// How long the login took, or why there is none.
type Proven = Result<Duration, Failure>;

/// Who is asking, and that PostgreSQL has accepted the password: just now, or no longer ago than `max_lifetime`.
pub(crate) struct Access<'a> {
    pool: Arc<RolePool>,
    credentials: &'a Credentials,
}

impl Access<'_> {
    /// A connection that is logged in as the role, its session as after a login, or a place in the flight of another
    /// request of the role.
    pub(crate) async fn lease(&self, claim: Claim, timing: &mut Timing) -> Result<Leased, Failure> {
        self.pool.lease(self.credentials, claim, timing).await
    }
}

impl Database {
    /// # Errors
    /// A text for the operator when TLS cannot be set up.
    pub(crate) fn new(
        config: DatabaseConfig,
        key: Arc<VerifierKey>,
        metrics: Arc<DatabaseMetrics>,
    ) -> Result<Database, String> {
        let authorizer = config.jwt.as_ref().map(Authorizer::new).transpose()?;
        let context = Context {
            target: Arc::new(Target::new(&config)?),
            logins: Semaphore::new(usize::try_from(config.concurrent_logins).unwrap_or(1)),
            metrics,
            key,
            config,
        };
        Ok(Database {
            context: Arc::new(context),
            pools: Arc::default(),
            proving: Arc::default(),
            reach: Reach::default(),
            types: Arc::default(),
            authorizer,
            guesses: Arc::default(),
        })
    }

    pub(crate) fn config(&self) -> &DatabaseConfig {
        &self.context.config
    }

    pub(crate) fn metrics(&self) -> &Arc<DatabaseMetrics> {
        &self.context.metrics
    }

    /// Who takes tokens for its roles, if anybody.
    pub(crate) fn authorizer(&self) -> Option<&Authorizer> {
        self.authorizer.as_ref()
    }

    /// What is known of its types.
    pub(crate) fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// Whether the server can be reached, as of no longer ago than seconds. `name` is for the log.
    pub(crate) async fn is_reachable(&self, name: &str) -> bool {
        self.reach.is_reachable(name, &self.context.target).await
    }

    /// What the pools hold now.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let pools = self.pools();
        let idle = pools.values().map(|pool| pool.idle_count()).sum();
        let size = usize::try_from(self.context.config.pool_size).unwrap_or(usize::MAX);
        Occupancy { pools: pools.len(), idle, most: pools.len().saturating_mul(size) }
    }

    /// Finds out whether PostgreSQL accepts the password, before anything else is done for the request. A stranger gets
    /// no place in the queue of the role, and nothing that it sends is read.
    pub(crate) async fn authenticate<'a>(
        &self,
        credentials: &'a Credentials,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Access<'a>, Failure> {
        let begun = Instant::now();
        // For the logins of others, and for one's own.
        let limit = self.context.config.pool_timeout + self.context.config.connect_timeout;
        let until = deadline.within(begun, limit);
        loop {
            if let Some(pool) = self.proven_pool(credentials) {
                return Ok(Access { pool, credentials });
            }
            let _waiting = Waiting::new(self)?;
            let (asked_by_us, mut proven) = self.ask(credentials)?;
            let answer = timeout_at(until.instant, proven.wait_for(Option::is_some)).await;
            let answer = match answer {
                Ok(Ok(answer)) => answer.clone(),
                // The task that asked has panicked, or is gone with the runtime.
                Ok(Err(_)) => None,
                Err(_) if until.is_deadline => {
                    return Err(admission::expired());
                }
                Err(_) => {
                    return Err(self.no_login_in_time());
                }
            };
            match answer {
                Some(Ok(connect)) => {
                    let connect = if asked_by_us { connect } else { Duration::ZERO };
                    timing.connect += connect;
                    timing.queue += begun.elapsed().saturating_sub(connect);
                }
                Some(Err(failure)) => return Err(failure),
                None => {
                    let detail =
                        "the endpoint gave up asking PostgreSQL about the password; its log may say why";
                    return Err(Failure::new(Code::Internal, detail));
                }
            }
        }
    }

    /// A connection that is logged in as the role of `credentials`, its session as after a login, for as long as its
    /// user likes: a session, not a request.
    pub(crate) async fn lease(
        &self,
        credentials: &Credentials,
        timing: &mut Timing,
    ) -> Result<Lease, Failure> {
        let access = self.authenticate(credentials, Deadline::default(), timing).await?;
        let claim = Claim { deadline: Deadline::default(), frames: None, again: false };
        match access.lease(claim, timing).await? {
            Leased::Own(lease) => Ok(lease.for_a_session()),
            Leased::Along(_) => Err(Failure::new(Code::Internal, "a session was sent along with a request")),
        }
    }

    /// Closes connections that nobody needs.
    pub(crate) fn reap(&self) {
        let pools: Vec<Arc<RolePool>> = self.pools().values().cloned().collect();
        for pool in pools {
            pool.reap();
        }
    }

    /// Closes all connections that wait for a request; those in use close with their last one.
    pub(crate) fn close_idle(&self) {
        let pools = std::mem::take(&mut *self.pools());
        for pool in pools.into_values() {
            pool.close_idle();
        }
    }

    /// How often [`reap`](Self::reap) is worth a look.
    pub(crate) fn reap_interval(&self) -> Duration {
        let config = &self.context.config;
        let shortest = config.idle_timeout.min(config.max_lifetime);
        (shortest / 4).clamp(Duration::from_millis(250), Duration::from_secs(15))
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<String, Arc<RolePool>>> {
        lock(&self.pools)
    }

    /// The pool of the role, if its proven password is this one.
    fn proven_pool(&self, credentials: &Credentials) -> Option<Arc<RolePool>> {
        let pool = self.pools().get(credentials.role()).cloned()?;
        let (key, lifetime) = (&self.context.key, self.context.config.max_lifetime);
        let now = std::time::Instant::now();
        pool.is_proven(|proof| key.matches(proof, credentials.password(), now, lifetime)).then_some(pool)
    }

    /// Asks PostgreSQL about the password, or joins those who have asked already; the former is `true`. Only who asks may
    /// be guessing.
    fn ask(&self, credentials: &Credentials) -> Result<(bool, watch::Receiver<Option<Proven>>), Failure> {
        let tag = self.context.key.tag(credentials);
        let mut logins = lock(&self.proving.logins);
        if let Some(proven) = logins.get(&tag) {
            return Ok((false, proven.clone()));
        }
        let guess = self.guess(credentials)?;
        let (sender, receiver) = watch::channel(None);
        logins.insert(tag.clone(), receiver.clone());
        let asking = Asking { proving: self.proving.clone(), tag };
        let (context, pools) = (self.context.clone(), self.pools.clone());
        let credentials = credentials.clone();
        // Not within the request, whose client may go away while others wait for the same answer.
        tokio::spawn(async move {
            let proven = context.ask(&pools, &credentials).await;
            drop(asking);
            let wrong = proven.as_ref().is_err_and(|failure| failure.code == Code::InvalidCredentials);
            if let Some(guess) = guess.filter(|_| !wrong) {
                guess.right();
            }
            // Who went away needs no answer.
            let _ = sender.send(Some(proven));
        });
        Ok((true, receiver))
    }

    /// Counts a password that may be a stranger's guess.
    fn guess(&self, credentials: &Credentials) -> Result<Option<Guess>, Failure> {
        let Some(address) = credentials.sender() else { return Ok(None) };
        let begun = self.guesses.begin(address, credentials.role(), std::time::Instant::now());
        begun.map(Some).map_err(|seconds| {
            let detail = "too many wrong passwords came from this address; wait before another try";
            Failure::new(Code::TooManyRequests, detail).retry_after(seconds)
        })
    }

    fn no_login_in_time(&self) -> Failure {
        Failure::new(
            Code::PoolTimeout,
            format!(
                "other logins to this database were under way for {:?}; try again later",
                self.context.config.pool_timeout + self.context.config.connect_timeout
            ),
        )
        .retry_after(1)
    }
}

impl Context {
    /// Logs in and keeps the connection in the pool of the role, which is made if there is none.
    async fn ask(
        self: &Arc<Self>,
        pools: &Mutex<HashMap<String, Arc<RolePool>>>,
        credentials: &Credentials,
    ) -> Proven {
        let _permit = self.logins.acquire().await;
        let begun = Instant::now();
        let connection = self.login(credentials).await?;
        let taken = begun.elapsed();
        let new = || Arc::new(RolePool::new(self.clone()));
        let pool = lock(pools).entry(credentials.role().to_owned()).or_insert_with(new).clone();
        self.prove(&pool, credentials);
        pool.adopt(connection);
        Ok(taken)
    }

    /// Remembers that PostgreSQL has accepted the password.
    pub(super) fn prove(&self, pool: &RolePool, credentials: &Credentials) {
        let proof = self.key.proven(credentials.password(), std::time::Instant::now());
        pool.set_proof(Some(proof));
    }

    pub(super) async fn login(&self, credentials: &Credentials) -> Result<Box<Connection>, Failure> {
        let started = Instant::now();
        let connection = self.target.login(credentials).await;
        self.metrics.connect.observe(started.elapsed());
        match &connection {
            Ok(_) => tracing::debug!(role = credentials.role(), "connected to PostgreSQL"),
            Err(error) => {
                self.metrics.failed_logins.add(1);
                tracing::debug!(role = credentials.role(), ?error, "not connected to PostgreSQL");
            }
        }
        Ok(Box::new(connection?))
    }
}

/// A password that PostgreSQL is being asked about. Who brings it after the end of this asks anew, even if it ends in a panic.
struct Asking {
    proving: Arc<Proving>,
    tag: Vec<u8>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        lock(&self.proving.logins).remove(&self.tag);
    }
}

/// A request that waits for a password to be proven. There is an end to them, too.
struct Waiting<'a>(&'a Proving);

impl<'a> Waiting<'a> {
    fn new(database: &'a Database) -> Result<Waiting<'a>, Failure> {
        let proving = &*database.proving;
        let waiting = Waiting(proving);
        let before = proving.waiting.fetch_add(1, Ordering::Relaxed);
        if before >= usize::try_from(database.context.config.queue_size).unwrap_or(usize::MAX) {
            return Err(admission::full(before, Duration::ZERO));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks; and if it did, what they hold would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use base64::Engine;
    use onetrip_embedded_postgres::{Installation, Options, Postgres};

    use super::*;
    use crate::config::Config;

    pub(in super::super) fn credentials(role: &str, password: &str) -> Credentials {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{role}:{password}"));
        Credentials::from_header(format!("Basic {encoded}").as_bytes()).unwrap()
    }

    /// A database where nobody listens.
    pub(in super::super) fn unreachable() -> Database {
        database("url = 'postgresql://127.0.0.1:1/app?sslmode=disable'")
    }

    fn database(settings: &str) -> Database {
        let config = Config::from_toml(&format!("[databases.app]\n{settings}")).unwrap();
        let key = Arc::new(VerifierKey::generate().unwrap());
        Database::new(config.databases["app"].clone(), key, Arc::default()).unwrap()
    }

    impl Database {
        /// A pool that nobody has proven.
        pub(in super::super) fn pool(&self) -> Arc<RolePool> {
            Arc::new(RolePool::new(self.context.clone()))
        }
    }

    #[test]
    fn a_login_that_panics_is_not_waited_for_by_who_comes_later() {
        let database = unreachable();
        let owner = credentials("app", "secret");
        // Without a clock the login panics.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..2 {
                let (asked_by_us, mut proven) = database.ask(&owner).unwrap();
                assert!(asked_by_us);
                assert!(proven.wait_for(Option::is_some).await.is_err());
            }
        });
    }

    fn process_id(lease: &mut Lease) -> i32 {
        lease.connection().key().unwrap().process_id
    }

    #[tokio::test]
    async fn a_lease_that_is_dropped_closes_its_connection_and_one_that_is_released_does_not() {
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools");
        let installation = Installation::ensure(tools.as_ref(), &mut |_| {}).unwrap();
        let postgres = Postgres::start(&installation, Options::for_tests()).unwrap();
        let url = format!("postgresql://127.0.0.1:{}/postgres?sslmode=disable", postgres.port());
        let database = database(&format!("url = '{url}'\npool_size = 1"));
        let owner = credentials(postgres.superuser(), postgres.password());
        let mut timing = Timing::default();

        let mut lease = database.lease(&owner, &mut timing).await.unwrap();
        let first = process_id(&mut lease);
        lease.release();
        let mut lease = database.lease(&owner, &mut timing).await.unwrap();
        assert_eq!(process_id(&mut lease), first, "a released connection is used again");
        drop(lease);
        // The only seat is free, and nothing is left to take.
        let mut lease = database.lease(&owner, &mut timing).await.unwrap();
        assert_ne!(process_id(&mut lease), first, "a dropped connection is gone");
        let exists = || std::path::Path::new(&format!("/proc/{first}")).exists();
        for _ in 0..500 {
            if !exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server still has the dropped connection");
    }
}
