//! Who may be which role without its password: tokens, and how often a stranger may guess.
//!
//! | module | one concept |
//! | --- | --- |
//! | `token` | reading a token with a key, and nothing but that key's algorithm |
//! | `keys` | the keys of an issuer, as long as they are fresh |
//! | `fetch` | getting a small JSON document over HTTP |
//! | `guesses` | how many wrong passwords an address may send |

mod fetch;
mod guesses;
mod keys;
mod token;

pub(crate) use guesses::{Guess, Guesses};

use onetrip_wire::problem::Code;

use ring::hmac;

use crate::config::{ClaimsKey, JwtConfig};
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::session_settings::SessionSettings;
use keys::Keys;

/// The setting that holds the claims of a token, as JSON, while a request runs.
const CLAIMS: &str = "request.jwt.claims";

/// The setting that holds their HMAC-SHA-256 in hexadecimal, where the configuration has a key: any client can set a
/// setting, but not this one to what it must be.
const SIGNATURE: &str = "request.jwt.signature";

/// Takes tokens for the roles of one database.
pub(crate) struct Authorizer {
    config: JwtConfig,
    keys: Keys,
}

/// What a token is good for.
pub(crate) struct Authorized {
    pub(crate) credentials: Credentials,
    /// What SQL sees of it.
    pub(crate) claims: Claims,
}

/// The claims of a token, as JSON, and their signature.
pub(crate) struct Claims {
    json: String,
    signature: Option<String>,
}

impl Claims {
    /// Adds them to the settings of a request: last, so that no option of a client's stands in their place.
    ///
    /// # Errors
    /// A text when the request has too many settings.
    pub(crate) fn add_to(&self, settings: &mut SessionSettings) -> Result<(), String> {
        settings.set(CLAIMS, &self.json)?;
        settings.set(SIGNATURE, self.signature.as_deref().unwrap_or_default())
    }
}

impl Authorizer {
    /// # Errors
    /// A text for the operator when the keys of a file cannot be used.
    pub(crate) fn new(config: &JwtConfig) -> Result<Authorizer, String> {
        Ok(Authorizer { keys: Keys::new(&config.keys)?, config: config.clone() })
    }

    /// Verifies the token of an `Authorization` header. `role` is the one that the client names, if it does.
    ///
    /// # Errors
    /// 401 for a token that is none, or not good; 403 for a role that it may not be; 502 when the issuer's keys cannot
    /// be had.
    pub(crate) async fn authorize(&self, token: &str, role: Option<&str>) -> Result<Authorized, Failure> {
        let refused = |detail: String| Failure::new(Code::InvalidCredentials, detail);
        let kid = token::key_id(token).map_err(refused)?;
        let key = self.keys.find(kid.as_deref()).await?;
        let claims = token::verify(token, &key, &self.config).map_err(refused)?;
        let named = match &self.config.role_claim {
            None => None,
            Some(name) => {
                let claim = claims.text(name).ok_or_else(|| {
                    refused("the token does not have the claim that names its role".to_owned())
                })?;
                if role.is_some_and(|role| role != claim) {
                    let detail = "the token is for another role than the request names";
                    return Err(Failure::new(Code::Forbidden, detail));
                }
                Some(claim)
            }
        };
        let wanted = named.or_else(|| role.map(str::to_owned));
        let found = match &wanted {
            Some(wanted) => self.config.roles.iter().find(|known| known.role == *wanted),
            None => self.config.roles.first(),
        };
        let known = found
            .ok_or_else(|| Failure::new(Code::Forbidden, "a token of this issuer cannot be this role"))?;
        let credentials = Credentials::new(&known.role, &known.password).map_err(|_| {
            Failure::new(Code::Internal, "the endpoint's configuration of the role is no use")
        })?;
        let signature = self.config.claims_key.as_ref().map(|ClaimsKey(key)| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
            let tag = hmac::sign(&key, claims.json.as_bytes());
            tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
        });
        Ok(Authorized { credentials, claims: Claims { json: claims.json, signature } })
    }
}

/// The token of an `Authorization` header with the scheme `Bearer`. RFC 6750, section 2.1.
pub(crate) fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, token) = header.split_at_checked(7)?;
    let token = std::str::from_utf8(token).ok()?.trim();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}
