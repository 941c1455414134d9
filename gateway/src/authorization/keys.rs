//! The keys of an issuer: read from a file, or fetched and kept as long as they are fresh.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::Uri;
use onetrip_wire::problem::Code;
use serde_json::Value;
use tokio::sync::Mutex;

use super::fetch::fetch;
use super::token::Key;
use crate::config::KeySource;
use crate::failure::Failure;

/// How often an issuer is asked.
#[derive(Clone, Copy)]
struct Times {
    /// For how long fetched keys are used without a look at the issuer.
    fresh: Duration,
    /// For how long they are used when the issuer cannot be asked: over it a key that was withdrawn could still be good.
    stale: Duration,
    /// The issuer is not asked more often, whatever key a token names.
    least_interval: Duration,
    /// After a failure, sooner.
    retry_interval: Duration,
}

const TIMES: Times = Times {
    fresh: Duration::from_secs(300),
    stale: Duration::from_secs(3600),
    least_interval: Duration::from_secs(30),
    retry_interval: Duration::from_secs(2),
};

/// The keys of one issuer.
pub(super) struct Keys {
    url: Option<Uri>,
    times: Times,
    known: RwLock<Option<Known>>,
    /// When the issuer was asked last, and whether it answered. Held while it is asked.
    asked: Mutex<Option<(Instant, bool)>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<Vec<Arc<Key>>>,
    at: Instant,
}

impl Keys {
    pub(super) fn new(source: &KeySource) -> Result<Keys, String> {
        let (url, known) = match source {
            KeySource::Url(url) => (Some(url.clone()), None),
            KeySource::File(path) => {
                let shown = path.display();
                let text = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
                let keys = read(&text, true).map_err(|error| format!("{shown}: {error}"))?;
                (None, Some(Known { keys, at: Instant::now() }))
            }
        };
        Ok(Keys { url, times: TIMES, known: RwLock::new(known), asked: Mutex::new(None) })
    }

    /// The key of that id; without one the only key that there is.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Arc<Key>, Failure> {
        let unknown = || Failure::new(Code::InvalidCredentials, "jwk not found");
        let Some(url) = &self.url else {
            return self.known().and_then(|known| known.key(id)).ok_or_else(unknown);
        };
        let known = self.known();
        if let Some(known) = &known
            && known.at.elapsed() < self.times.fresh
            && let Some(key) = known.key(id)
        {
            return Ok(key);
        }
        let asked = self.refresh(url, known.as_ref().map(|known| known.at)).await;
        match self.known().filter(|known| known.at.elapsed() < self.times.stale) {
            Some(known) => known.key(id).ok_or_else(unknown),
            None => Err(match asked {
                Err(cause) => Failure::new(
                    Code::DatabaseUnreachable,
                    "the endpoint cannot get the keys that verify tokens; its log says why",
                )
                .retry_after(2)
                .cause(cause),
                Ok(()) => unknown(),
            }),
        }
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the issuer, unless somebody has since `seen`, or just a moment ago.
    async fn refresh(&self, url: &Uri, seen: Option<Instant>) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if self.known().is_some_and(|known| Some(known.at) != seen) {
            return Ok(());
        }
        if let Some((at, answered)) = *asked {
            let Times { least_interval, retry_interval, .. } = self.times;
            let interval = if answered { least_interval } else { retry_interval };
            if at.elapsed() < interval {
                return if answered { Ok(()) } else { Err("it could not be asked a moment ago".to_owned()) };
            }
        }
        let fetched = match fetch(url).await {
            Ok(text) => read(&text, false),
            Err(error) => Err(error),
        };
        *asked = Some((Instant::now(), fetched.is_ok()));
        match fetched {
            Ok(keys) => {
                let known = Known { keys, at: Instant::now() };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(())
            }
            Err(cause) => {
                tracing::warn!(%url, cause, "the keys that verify tokens could not be fetched");
                Err(cause)
            }
        }
    }
}

impl Known {
    fn key(&self, id: Option<&str>) -> Option<Arc<Key>> {
        match id {
            Some(id) => self.keys.iter().find(|key| key.id.as_deref() == Some(id)).cloned(),
            None => self.keys.first().filter(|_| self.keys.len() == 1).cloned(),
        }
    }
}

/// Reads a set; keys that cannot be used are left out.
fn read(text: &[u8], secrets: bool) -> Result<Arc<Vec<Arc<Key>>>, String> {
    let set: Value = serde_json::from_slice(text).map_err(|_| "this is not JSON".to_owned())?;
    let list = set.get("keys").and_then(Value::as_array).ok_or("this is not a JSON Web Key Set")?;
    let keys: Vec<Arc<Key>> = list.iter().filter_map(|key| Key::read(key, secrets)).map(Arc::new).collect();
    if keys.is_empty() {
        return Err("the set has no key for signatures that can be used".to_owned());
    }
    Ok(Arc::new(keys))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// An issuer whose keys can be changed, and that counts how often it is asked.
    struct Issuer {
        url: Uri,
        set: Arc<std::sync::Mutex<String>>,
        asked: Arc<AtomicUsize>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Issuer {
        async fn start(ids: &[&str]) -> Issuer {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
            let set = Arc::new(std::sync::Mutex::new(jwks(ids)));
            let asked = Arc::new(AtomicUsize::new(0));
            let (served, counted) = (set.clone(), asked.clone());
            let task = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.read(&mut [0; 4096]).await;
                    let body = served.lock().unwrap().clone();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
            Issuer { url, set, asked, task }
        }

        fn keys(&self, times: Times) -> Keys {
            let mut keys = Keys::new(&KeySource::Url(self.url.clone())).unwrap();
            keys.times = times;
            keys
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn jwks(ids: &[&str]) -> String {
        let key = |id| serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": id });
        serde_json::json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() }).to_string()
    }

    async fn has(keys: &Keys, id: &str) -> bool {
        keys.find(Some(id)).await.is_ok()
    }

    #[tokio::test]
    async fn keys_are_asked_for_again_when_they_are_no_longer_fresh_and_withdrawn_ones_are_gone() {
        let issuer = Issuer::start(&["old"]).await;
        let keys = issuer.keys(Times { fresh: Duration::ZERO, least_interval: Duration::ZERO, ..TIMES });
        assert!(has(&keys, "old").await);
        *issuer.set.lock().unwrap() = jwks(&["new"]);
        assert!(!has(&keys, "old").await);
        assert!(has(&keys, "new").await);
    }

    #[tokio::test]
    async fn fresh_keys_cost_no_request_and_unknown_ones_at_most_one_in_an_interval() {
        let issuer = Issuer::start(&["known"]).await;
        let keys = issuer.keys(TIMES);
        for _ in 0..5 {
            assert!(has(&keys, "known").await);
            assert!(!has(&keys, "made up").await);
        }
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test]
    async fn an_issuer_that_is_down_is_done_without_for_a_while_and_then_said_to_be_down() {
        let issuer = Issuer::start(&["known"]).await;
        let times = Times { fresh: Duration::ZERO, retry_interval: Duration::ZERO, ..TIMES };
        let mut keys = issuer.keys(Times { least_interval: Duration::ZERO, ..times });
        assert!(has(&keys, "known").await);
        issuer.task.abort();
        while tokio::net::TcpStream::connect(issuer.url.authority().unwrap().as_str()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(has(&keys, "known").await, "its keys are not stale yet");
        keys.times.stale = Duration::ZERO;
        let failure = keys.find(Some("known")).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.code, Code::DatabaseUnreachable);
    }
}
