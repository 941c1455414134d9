//! One database: who may have which of its connections, and how logging in goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onetrip_wire::problem::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::lease::{Lease, Pool};
use super::reach::Reach;
use super::verifier::VerifierKey;
use crate::codec::neon::Types;
use crate::config::DatabaseConfig;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::metrics::{DatabaseMetrics, Occupancy};
use crate::postgres::{Connection, Target};

/// A database that the endpoint serves, with the pools of its roles.
pub(crate) struct Database {
    config: DatabaseConfig,
    target: Arc<Target>,
    key: Arc<VerifierKey>,
    logins: Semaphore,
    /// By role. A role gets a pool when PostgreSQL has accepted its password, so strangers cannot fill the map.
    pools: Mutex<HashMap<String, Arc<Pool>>>,
    metrics: Arc<DatabaseMetrics>,
    reach: Reach,
    types: Arc<Types>,
}

/// How long getting a connection took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Timing {
    /// Waiting for a seat in the pool, or for others to log in.
    pub(crate) queue: Duration,
    /// Connecting and logging in; zero for a connection that was open.
    pub(crate) connect: Duration,
}

impl Database {
    /// # Errors
    /// A text for the operator when TLS cannot be set up.
    pub(crate) fn new(
        config: DatabaseConfig,
        key: Arc<VerifierKey>,
        metrics: Arc<DatabaseMetrics>,
    ) -> Result<Database, String> {
        Ok(Database {
            target: Arc::new(Target::new(&config)?),
            logins: Semaphore::new(usize::try_from(config.concurrent_logins).unwrap_or(1)),
            key,
            pools: Mutex::default(),
            metrics,
            reach: Reach::default(),
            types: Arc::default(),
            config,
        })
    }

    pub(crate) fn config(&self) -> &DatabaseConfig {
        &self.config
    }

    pub(crate) fn metrics(&self) -> &Arc<DatabaseMetrics> {
        &self.metrics
    }

    /// What is known of its types.
    pub(crate) fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// Whether the server can be reached, as of no longer ago than seconds. `name` is for the log.
    pub(crate) async fn is_reachable(&self, name: &str) -> bool {
        self.reach.is_reachable(name, &self.target).await
    }

    /// What the pools hold now.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let pools = self.pools();
        let idle = pools.values().map(|pool| pool.idle_count()).sum();
        let size = usize::try_from(self.config.pool_size).unwrap_or(usize::MAX);
        Occupancy { pools: pools.len(), idle, most: pools.len().saturating_mul(size) }
    }

    /// A connection that is logged in as the role of `credentials`. The password is one that PostgreSQL has accepted:
    /// just now, or no longer ago than `max_lifetime`.
    pub(crate) async fn lease(
        &self,
        credentials: &Credentials,
        timing: &mut Timing,
    ) -> Result<Lease, Failure> {
        let deadline = tokio::time::Instant::now() + self.config.pool_timeout;
        loop {
            if let Some(pool) = self.proven_pool(credentials) {
                let seat = self.seat(&pool, deadline, timing).await?;
                let started = Instant::now();
                let idle = pool.idle_soon(self.config.max_lifetime).await;
                timing.queue += started.elapsed();
                if let Some(connection) = idle {
                    return Ok(self.leased(connection, &pool, seat));
                }
                let _login = self.login_permit(deadline, timing).await?;
                // Meanwhile somebody may have given a connection back.
                if let Some(connection) = pool.idle(self.config.max_lifetime) {
                    return Ok(self.leased(connection, &pool, seat));
                }
                return match self.login(credentials, timing).await {
                    Ok(connection) => {
                        self.prove(&pool, credentials);
                        Ok(self.leased(connection, &pool, seat))
                    }
                    Err(failure) => {
                        if failure.code == Code::InvalidCredentials {
                            // PostgreSQL does not take this password any longer.
                            pool.state().proof = None;
                        }
                        Err(failure)
                    }
                };
            }

            // Nobody has proven this password: PostgreSQL is asked before a seat of the pool is taken, so that
            // strangers cannot keep the role's own requests from theirs.
            let _login = self.login_permit(deadline, timing).await?;
            if self.proven_pool(credentials).is_some() {
                continue;
            }
            let connection = self.login(credentials, timing).await?;
            let pool = self.pool(credentials.role());
            self.prove(&pool, credentials);
            if let Ok(seat) = pool.seats.clone().try_acquire_owned() {
                pool.trim();
                return Ok(self.leased(connection, &pool, seat));
            }
            // All seats are taken: the password is proven now, and the request waits its turn like the others.
        }
    }

    /// Closes connections that nobody needs.
    pub(crate) fn reap(&self) {
        let pools: Vec<Arc<Pool>> = self.pools().values().cloned().collect();
        for pool in pools {
            pool.reap(self.config.idle_timeout, self.config.max_lifetime);
        }
    }

    /// Closes all connections that wait for a request; those in use close with their last one.
    pub(crate) fn close_idle(&self) {
        for pool in std::mem::take(&mut *self.pools()).into_values() {
            pool.close_idle();
        }
    }

    /// How often [`reap`](Self::reap) is worth a look.
    pub(crate) fn reap_interval(&self) -> Duration {
        let shortest = self.config.idle_timeout.min(self.config.max_lifetime);
        (shortest / 4).clamp(Duration::from_millis(250), Duration::from_secs(15))
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<String, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self, role: &str) -> Arc<Pool> {
        let new = || Arc::new(Pool::new(self.config.pool_size));
        self.pools().entry(role.to_owned()).or_insert_with(new).clone()
    }

    /// The pool of the role, if its proven password is this one.
    fn proven_pool(&self, credentials: &Credentials) -> Option<Arc<Pool>> {
        let pool = self.pools().get(credentials.role()).cloned()?;
        let lifetime = self.config.max_lifetime;
        let proven = {
            let state = pool.state();
            let proof = state.proof.as_ref()?;
            self.key.matches(proof, credentials.password(), Instant::now(), lifetime)
        };
        proven.then_some(pool)
    }

    fn prove(&self, pool: &Pool, credentials: &Credentials) {
        let proof = self.key.proven(credentials.password(), Instant::now());
        pool.state().proof = Some(proof);
    }

    fn leased(&self, connection: Connection, pool: &Arc<Pool>, seat: OwnedSemaphorePermit) -> Lease {
        Lease::new(connection, pool.clone(), self.target.clone(), seat, self.metrics.clone())
    }

    async fn seat(
        &self,
        pool: &Pool,
        deadline: tokio::time::Instant,
        timing: &mut Timing,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let started = Instant::now();
        let seat = timeout_at(deadline, pool.seats.clone().acquire_owned()).await;
        timing.queue += started.elapsed();
        match seat {
            Ok(seat) => Ok(seat.expect("the semaphore of a pool is never closed")),
            Err(_) => Err(Failure::new(
                Code::PoolTimeout,
                format!(
                    "all {} connections of this role were in use for {:?}; try again later, or let the operator \
                     raise pool_size or pool_timeout",
                    self.config.pool_size, self.config.pool_timeout
                ),
            )
            .retry_after(1)),
        }
    }

    async fn login_permit(
        &self,
        deadline: tokio::time::Instant,
        timing: &mut Timing,
    ) -> Result<SemaphorePermit<'_>, Failure> {
        let started = Instant::now();
        let permit = timeout_at(deadline, self.logins.acquire()).await;
        timing.queue += started.elapsed();
        match permit {
            Ok(permit) => Ok(permit.expect("the semaphore of the logins is never closed")),
            Err(_) => Err(Failure::new(
                Code::PoolTimeout,
                format!(
                    "other logins to this database were under way for {:?}; try again later",
                    self.config.pool_timeout
                ),
            )
            .retry_after(1)),
        }
    }

    async fn login(&self, credentials: &Credentials, timing: &mut Timing) -> Result<Connection, Failure> {
        let started = Instant::now();
        let connection = self.target.login(credentials).await;
        let taken = started.elapsed();
        timing.connect += taken;
        self.metrics.connect.observe(taken);
        match &connection {
            Ok(_) => tracing::debug!(role = credentials.role(), "connected to PostgreSQL"),
            Err(error) => {
                self.metrics.failed_logins.add(1);
                tracing::debug!(role = credentials.role(), ?error, "not connected to PostgreSQL");
            }
        }
        Ok(connection?)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use onetrip_embedded_postgres::{Installation, Options, Postgres};

    use super::*;
    use crate::config::Config;

    fn credentials(role: &str, password: &str) -> Credentials {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{role}:{password}"));
        Credentials::from_header(format!("Basic {encoded}").as_bytes()).unwrap()
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
        let config = Config::from_toml(&format!("[databases.app]\nurl = '{url}'\npool_size = 1")).unwrap();
        let key = Arc::new(VerifierKey::generate().unwrap());
        let database = Database::new(config.databases["app"].clone(), key, Arc::default()).unwrap();
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
