//! Recognising a password that PostgreSQL has accepted, without keeping it.

use std::time::{Duration, Instant};

use ring::{hmac, rand};

use crate::credentials::Credentials;

/// A key of this process alone: what it makes of a password is of no use anywhere else.
pub(crate) struct VerifierKey(hmac::Key);

impl VerifierKey {
    pub(crate) fn generate() -> Result<VerifierKey, String> {
        hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .map(VerifierKey)
            .map_err(|_| "the operating system gives no random numbers".to_owned())
    }

    /// What stands for a role with a password while PostgreSQL is being asked about it.
    pub(crate) fn tag(&self, credentials: &Credentials) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        // A role holds no zero character, so nothing else is written in the same way.
        context.update(credentials.role().as_bytes());
        context.update(&[0]);
        context.update(credentials.password());
        context.sign().as_ref().to_vec()
    }

    /// Remembers that PostgreSQL has accepted `password`.
    pub(crate) fn proven(&self, password: &[u8], now: Instant) -> Proof {
        Proof { tag: hmac::sign(&self.0, password), at: now }
    }

    /// Whether `password` is the proven one and the proof is not older than `lifetime`. The comparison takes the same
    /// time wherever the difference is.
    pub(crate) fn matches(&self, proof: &Proof, password: &[u8], now: Instant, lifetime: Duration) -> bool {
        let fresh = now.saturating_duration_since(proof.at) < lifetime;
        hmac::verify(&self.0, password, proof.tag.as_ref()).is_ok() && fresh
    }
}

/// That PostgreSQL has accepted a password, and when.
pub(crate) struct Proof {
    tag: hmac::Tag,
    at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proven_password_matches_and_only_for_its_lifetime() {
        let (key, now, hour) = (VerifierKey::generate().unwrap(), Instant::now(), Duration::from_secs(3600));
        let proof = key.proven(b"sesame", now);
        assert!(key.matches(&proof, b"sesame", now, hour));
        assert!(!key.matches(&proof, b"sesamf", now, hour));
        assert!(!key.matches(&proof, b"", now, hour));
        assert!(!key.matches(&proof, b"sesame", now + hour, hour));
        assert!(!VerifierKey::generate().unwrap().matches(&proof, b"sesame", now, hour));
    }
}
