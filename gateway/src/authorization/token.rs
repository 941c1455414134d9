//! Reading a JSON Web Token. RFC 7519, RFC 8725.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::config::JwtConfig;

/// No token is longer.
const TOKEN_LIMIT_BYTES: usize = 16 << 10;

const MALFORMED: &str = "the token is not a JSON Web Token of three parts in base64url";

/// A key that verifies, with the algorithms that it is for: the token has no say in that.
pub(super) struct Key {
    pub(super) id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// The claims of a token that is good.
pub(super) struct Claims {
    /// As the issuer wrote them.
    pub(super) json: String,
    values: Value,
}

impl Claims {
    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.values.get(name)?.as_str().map(str::to_owned)
    }
}

impl Key {
    /// Reads a key of a set; `None` for one that is not for signatures, or of a kind that is not known. A shared secret
    /// is a key only where `secrets` says so.
    pub(super) fn read(jwk: &Value, secrets: bool) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
            AlgorithmParameters::OctetKey(_) if secrets => {
                &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
            }
            AlgorithmParameters::OctetKey(_) => return None,
        };
        let algorithms = match jwk.common.key_algorithm {
            None => possible.to_vec(),
            Some(named) => possible.iter().copied().filter(|algorithm| is(*algorithm, named)).collect(),
        };
        if algorithms.is_empty() {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Key { id: jwk.common.key_id, algorithms, decoding })
    }
}

fn is(algorithm: Algorithm, named: KeyAlgorithm) -> bool {
    // Both are named as RFC 7518 names them.
    format!("{algorithm:?}") == format!("{named:?}")
}

/// Which key a token says that it is signed with.
///
/// # Errors
/// A text when it is no token. Nothing is verified here.
pub(super) fn key_id(token: &str) -> Result<Option<String>, String> {
    if token.len() > TOKEN_LIMIT_BYTES {
        return Err(format!("the token is longer than {TOKEN_LIMIT_BYTES} bytes"));
    }
    // An algorithm that is not known, `none` among them, is no token either.
    decode_header(token).map(|header| header.kid).map_err(|_| MALFORMED.to_owned())
}

/// Verifies signature and times, and what the configuration says of issuer and audience.
///
/// # Errors
/// A text that says what is wrong with the token, without quoting it.
pub(super) fn verify(token: &str, key: &Key, config: &JwtConfig) -> Result<Claims, String> {
    let header = decode_header(token).map_err(|_| MALFORMED.to_owned())?;
    if !key.algorithms.contains(&header.alg) {
        return Err("the algorithm of the token is not one of its key".to_owned());
    }
    let mut validation = Validation::new(header.alg);
    validation.leeway = config.clock_skew.as_secs();
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if config.audience.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&config.audience);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    let values = decode::<Value>(token, &key.decoding, &validation).map_err(|error| {
        match error.kind() {
            ErrorKind::InvalidSignature => "signature error: the token is not signed by this key",
            ErrorKind::ExpiredSignature => "the token has expired",
            ErrorKind::ImmatureSignature => "the token is not valid yet",
            ErrorKind::InvalidIssuer => "the token is from another issuer",
            ErrorKind::InvalidAudience => "the token is for another audience",
            ErrorKind::MissingRequiredClaim(_) => {
                "the token has no exp, or not the iss or aud that is asked for"
            }
            _ => MALFORMED,
        }
        .to_owned()
    })?;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(payload).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let json = json.filter(|_| values.claims.is_object()).ok_or(MALFORMED)?;
    Ok(Claims { json, values: values.claims })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    };
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn config() -> JwtConfig {
        let text = "[databases.app]\nurl = 'postgresql://127.0.0.1/app?sslmode=disable'\n\
                    [databases.app.jwt]\njwks_url = 'http://127.0.0.1/keys'\n\
                    roles = ['ada:secret']";
        let config = Config::from_toml(text).unwrap();
        config.databases["app"].jwt.clone().unwrap()
    }

    fn elliptic(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (Value, EncodingKey) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        // Behind a byte that says that both coordinates follow.
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        (json!({ "kty": "EC", "crv": curve, "x": x, "y": y }), EncodingKey::from_ec_der(pkcs8.as_ref()))
    }

    fn edwards() -> (Value, EncodingKey) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": x }), EncodingKey::from_ed_der(pkcs8.as_ref()))
    }

    #[test]
    fn each_kind_of_key_verifies_its_own_tokens_and_no_others() {
        let claims = json!({ "sub": "ada", "exp": 4_000_000_000_u64 });
        let kinds = [
            (Algorithm::ES256, elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")),
            (Algorithm::ES384, elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")),
            (Algorithm::EdDSA, edwards()),
        ];
        let config = config();
        for (signed, (_, signing)) in &kinds {
            let token = encode(&Header::new(*signed), &claims, signing).unwrap();
            for (verified, (public, _)) in &kinds {
                let key = Key::read(public, false).unwrap();
                let verdict = verify(&token, &key, &config).map(|claims| claims.text("sub"));
                if signed == verified {
                    assert_eq!(verdict, Ok(Some("ada".to_owned())), "{signed:?}");
                } else {
                    assert!(
                        verdict.unwrap_err().contains("algorithm"),
                        "{signed:?} by a key of {verified:?}"
                    );
                }
            }
            let (other, _) = match signed {
                Algorithm::EdDSA => edwards(),
                Algorithm::ES256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
                _ => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            };
            let verdict = verify(&token, &Key::read(&other, false).unwrap(), &config).map(|_| ());
            assert!(verdict.unwrap_err().contains("not signed by this key"), "{signed:?}");
        }
    }

    #[test]
    fn keys_for_other_uses_and_shared_secrets_from_strangers_are_no_keys() {
        let (mut key, _) = edwards();
        key["use"] = "enc".into();
        assert!(Key::read(&key, false).is_none());
        key["use"] = "sig".into();
        assert!(Key::read(&key, false).is_some());
        let secret = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256" });
        assert!(Key::read(&secret, false).is_none());
        assert!(Key::read(&secret, true).is_some());
    }
}
