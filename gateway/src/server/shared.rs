//! What all connections of an endpoint share: what is served, whether it still is, and how many requests are in flight.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::StartError;
use super::tls::acceptor;
use crate::config::Config;
use crate::metrics::EndpointMetrics;
use crate::pool::{Database, VerifierKey};
use crate::websocket::Sessions;

/// What all connections share.
pub(crate) struct Shared {
    served: RwLock<Arc<Served>>,
    key: Arc<VerifierKey>,
    pub(crate) metrics: EndpointMetrics,
    /// The sessions over WebSocket.
    pub(crate) sessions: Sessions,
    phase: watch::Sender<Phase>,
    in_flight: AtomicUsize,
    idle: Notify,
    requests: AtomicU64,
    request_ids: RandomState,
}

/// A configuration in force. A reload replaces it as a whole; requests in flight keep theirs.
pub(crate) struct Served {
    pub(crate) config: Config,
    pub(crate) databases: HashMap<String, Arc<Database>>,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// How far an endpoint is from its end. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are taken.
    Serving,
    /// Requests are taken, but whoever sends them is told to look for another endpoint.
    Leaving,
    /// Requests are refused; those in flight go on.
    Draining,
    /// What is still in flight ends now.
    Stopped,
}

impl Shared {
    pub(super) fn new(config: Config) -> Result<Shared, StartError> {
        let key = Arc::new(VerifierKey::generate().map_err(StartError)?);
        let served = Served::new(config, None, &key)?;
        Ok(Shared {
            served: RwLock::new(Arc::new(served)),
            key,
            metrics: EndpointMetrics::default(),
            sessions: Sessions::default(),
            phase: watch::Sender::new(Phase::Serving),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            requests: AtomicU64::new(0),
            request_ids: RandomState::new(),
        })
    }

    /// What is served at this moment.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves another configuration from now on. Databases whose settings are the same keep their connections.
    pub(super) fn serve(&self, config: Config) -> Result<(), StartError> {
        let current = self.served();
        let next = Arc::new(Served::new(config, Some(&current), &self.key)?);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        for (name, database) in &current.databases {
            if !next.databases.get(name).is_some_and(|kept| Arc::ptr_eq(kept, database)) {
                database.close_idle();
            }
        }
        Ok(())
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase and every later one as it comes.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Waits until no request is in flight.
    pub(super) async fn answered(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// A new name for a request: 16 hexadecimal digits that tell nothing about other requests.
    pub(crate) fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}", self.request_ids.hash_one(number))
    }
}

/// A request in flight.
pub(crate) struct InFlight(Arc<Shared>);

impl InFlight {
    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Served {
    /// Whether `config` can be served, as far as this machine alone can tell.
    pub(crate) fn check(config: &Config) -> Result<(), StartError> {
        let key = Arc::new(VerifierKey::generate().map_err(StartError)?);
        Served::new(config.clone(), None, &key).map(drop)
    }

    /// Sets up what `config` says, with those databases of `current` whose settings have not changed.
    fn new(config: Config, current: Option<&Served>, key: &Arc<VerifierKey>) -> Result<Served, StartError> {
        let mut databases = HashMap::new();
        for (name, settings) in &config.databases {
            let known = current.and_then(|current| current.databases.get(name));
            let database = match known {
                Some(known) if known.config() == settings => known.clone(),
                _ => {
                    let metrics = known.map(|known| known.metrics().clone()).unwrap_or_default();
                    let database = Database::new(settings.clone(), key.clone(), metrics)
                        .map_err(|error| StartError(format!("databases.{name}: {error}")))?;
                    Arc::new(database)
                }
            };
            databases.insert(name.clone(), database);
        }
        let acceptor = config.tls.as_ref().map(acceptor).transpose()?;
        Ok(Served { config, databases, acceptor })
    }
}
