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
type Cancellable = tokio::sync::Mutex<Option<Cancel>>;

struct Cancel {
    target: Arc<Target>,
    key: BackendKey,
    /// Whether PostgreSQL has not confirmed each cancellation, so that one may still be on its way.
    pending: bool,
}

/// A session's place among all; [`end`](Self::end) or a drop takes it away.
pub(super) struct Place<'a> {
    sessions: &'a Sessions,
    pub(super) key: SessionKey,
    cancellable: Arc<Cancellable>,
}

impl Sessions {
    /// Gives a session a key.
    pub(super) fn enter(&self, cancel: Option<(Arc<Target>, BackendKey)>) -> Place<'_> {
        let cancel = cancel.map(|(target, key)| Cancel { target, key, pending: false });
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
        if let Some(cancel) = &mut *cancellable.lock().await {
            // Which stays so if nobody waits for the end of this.
            let before = std::mem::replace(&mut cancel.pending, true);
            let confirmed = cancel.target.cancel(cancel.key).await;
            cancel.pending = before || !confirmed;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Cancellable>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// From here on nobody can cancel anything on the connection. Whether that is all over: otherwise a cancellation may yet
    /// come, and would hit whoever uses the connection then.
    pub(super) async fn end(self) -> bool {
        self.cancellable.lock().await.take().is_none_or(|cancel| !cancel.pending)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Config;

    /// A session on a server that takes a cancellation, and confirms it or not; what cancels it.
    async fn session(sessions: &Sessions, confirms: bool) -> Place<'_> {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = server.accept().await {
                stream.read_exact(&mut [0; 16]).await.unwrap();
                if !confirms {
                    silent.push(stream);
                }
            }
        });
        let url = format!("postgresql://{address}/app?sslmode=disable");
        let config = format!("[databases.app]\nurl = '{url}'\nconnect_timeout = '1s'");
        let config = Config::from_toml(&config).unwrap();
        let target = Arc::new(Target::new(&config.databases["app"]).unwrap());
        sessions.enter(Some((target, BackendKey { process_id: 1, secret: 2 })))
    }

    #[tokio::test]
    async fn a_connection_to_which_a_cancellation_may_be_under_way_is_not_clean() {
        let sessions = Sessions::default();
        assert!(session(&sessions, false).await.end().await, "nobody cancelled anything");
        for confirms in [true, false] {
            let place = session(&sessions, confirms).await;
            sessions.cancel(place.key).await;
            assert_eq!(place.end().await, confirms);
        }
        let place = session(&sessions, false).await;
        let given_up = tokio::time::timeout(Duration::from_millis(50), sessions.cancel(place.key));
        given_up.await.unwrap_err();
        assert!(!place.end().await, "who wanted it went away before it was confirmed");
    }
}
