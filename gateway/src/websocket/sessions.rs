//! The sessions that are open, by the keys with which a client may cancel what they run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};

use crate::postgres::{BackendKey, Target};

/// Process id and secret, as BackendKeyData gives them to a client. They are the endpoint's own and say nothing about
/// PostgreSQL's.
pub(super) type SessionKey = (i32, i32);

/// All sessions of this endpoint.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionKey, Arc<Cancellable>>>);

/// What cancelling a session takes; `None` once the session has ended.
type Cancellable = tokio::sync::Mutex<Option<(Arc<Target>, BackendKey)>>;

/// A session's place among all; [`end`](Self::end) or a drop takes it away.
pub(super) struct Place<'a> {
    sessions: &'a Sessions,
    pub(super) key: SessionKey,
    cancellable: Arc<Cancellable>,
}

impl Sessions {
    /// Gives a session a key.
    pub(super) fn enter(&self, cancel: Option<(Arc<Target>, BackendKey)>) -> Place<'_> {
        let cancellable = Arc::new(tokio::sync::Mutex::new(cancel));
        let mut sessions = self.lock();
        let key = loop {
            let mut random = [0; 8];
            // Without random numbers no session could be cancelled, nor any other key be made: the endpoint needed them
            // to start.
            let _ = SystemRandom::new().fill(&mut random);
            let [a, b, c, d, e, f, g, h] = random;
            let key = (i32::from_be_bytes([a & 0x7f, b, c, d]), i32::from_be_bytes([e, f, g, h]));
            if !sessions.contains_key(&key) {
                break key;
            }
        };
        sessions.insert(key, cancellable.clone());
        Place { sessions: self, key, cancellable }
    }

    /// Cancels what the session with this key runs; nothing where there is none, as PostgreSQL does.
    pub(super) async fn cancel(&self, key: SessionKey) {
        let Some(cancellable) = self.lock().get(&key).cloned() else { return };
        // The session cannot end meanwhile, so that its connection does not serve somebody else.
        if let Some((target, key)) = &*cancellable.lock().await {
            target.cancel(*key).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Cancellable>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// From here on nobody can cancel anything on the connection.
    pub(super) async fn end(self) {
        *self.cancellable.lock().await = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.key);
    }
}
