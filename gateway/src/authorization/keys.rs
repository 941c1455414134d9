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

/// For how long fetched keys are used without a look at the issuer.
const FRESH: Duration = Duration::from_secs(300);

/// For how long they are used when the issuer cannot be asked: over it a key that was withdrawn could still be good.
const STALE: Duration = Duration::from_secs(3600);

/// The issuer is not asked more often, whatever key a token names.
const LEAST_INTERVAL: Duration = Duration::from_secs(30);

/// After a failure, sooner.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The keys of one issuer.
pub(super) struct Keys {
    url: Option<Uri>,
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
        Ok(Keys { url, known: RwLock::new(known), asked: Mutex::new(None) })
    }

    /// The key of that id; without one the only key that there is.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Arc<Key>, Failure> {
        let unknown = || Failure::new(Code::InvalidCredentials, "jwk not found");
        let Some(url) = &self.url else {
            return self.known().and_then(|known| known.key(id)).ok_or_else(unknown);
        };
        let known = self.known();
        if let Some(known) = &known
            && known.at.elapsed() < FRESH
            && let Some(key) = known.key(id)
        {
            return Ok(key);
        }
        let asked = self.refresh(url, known.as_ref().map(|known| known.at)).await;
        match self.known().filter(|known| known.at.elapsed() < STALE) {
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
            let interval = if answered { LEAST_INTERVAL } else { RETRY_INTERVAL };
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
