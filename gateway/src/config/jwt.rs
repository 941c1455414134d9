//! Whose tokens are taken for a database, and which roles they may be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use zeroize::Zeroizing;

use super::Reader;
use super::error::Source;
use super::value::Value;

/// JSON Web Tokens that stand in for a role's password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtConfig {
    /// Where the keys are that sign tokens.
    pub keys: KeySource,
    /// The roles that a token may be; the first is the default one of profile 1. At least one.
    pub roles: Vec<RolePassword>,
    /// What `iss` must be. Default: anything.
    pub issuer: Option<String>,
    /// Of what `aud` must hold one. Default: anything.
    pub audience: Vec<String>,
    /// The claim that names the role. Default: none: the client names one of `roles`.
    pub role_claim: Option<String>,
    /// The key that claims are signed with for SQL, so that a client cannot give itself others. Default: none.
    pub claims_key: Option<ClaimsKey>,
    /// By how much clocks may differ. Default: 30 s, at most 10 minutes.
    pub clock_skew: Duration,
}

/// Where a JSON Web Key Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// A URL: `https`, or `http` on this machine.
    Url(Uri),
    /// A file, read at start and at each reload. Only here a key may be a shared secret (`oct`).
    File(PathBuf),
}

/// A role and the password that the endpoint logs in with for it. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolePassword {
    /// The role.
    pub role: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for RolePassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RolePassword").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A secret that endpoint and database share. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimsKey(pub Zeroizing<String>);

impl fmt::Debug for ClaimsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClaimsKey")
    }
}

/// Reads the `jwt` table of a database.
pub(super) fn jwt(read: &mut Reader<'_>) -> Option<JwtConfig> {
    let first = read.settings.iter().find(|(key, _)| key.starts_with("jwt."));
    let source = first?.1.source.clone();
    let url = read.value("jwt.jwks_url", None, |value| jwks_url(value).map(Some));
    let file = read.value("jwt.jwks_file", None, |value| value.text().map(|path| Some(PathBuf::from(path))));
    if let Some(path) = &file {
        let source =
            read.settings.get("jwt.jwks_file").map_or(Source::Whole, |setting| setting.source.clone());
        super::readable(read, "jwt.jwks_file", source, path);
    }
    let issuer = read.value("jwt.issuer", None, |value| value.text().map(Some));
    let audience = read.value("jwt.audience", Vec::new(), Value::list);
    let role_claim = read.value("jwt.role_claim", None, |value| value.text().map(Some));
    let clock_skew = Duration::ZERO..=Duration::from_secs(600);
    let clock_skew = read.duration("jwt.clock_skew", Duration::from_secs(30), clock_skew);
    let claims_key = read.value("jwt.claims_key", None, |value| {
        let key = value.text().ok().filter(|key| (32..=64).contains(&key.len()));
        let key = key.ok_or("a text of 32 to 64 bytes is expected: head -c 32 /dev/urandom | base64")?;
        Ok(Some(ClaimsKey(Zeroizing::new(key))))
    });
    let roles = read.value("jwt.roles", Vec::new(), roles);
    if roles.is_empty() && !read.settings.contains_key("jwt.roles") {
        read.mistake(
            source.clone(),
            "jwt.roles",
            "this key is missing; roles = [\"authenticated:password\"]",
        );
    }
    let keys = match (url, file) {
        (Some(url), None) => KeySource::Url(url),
        (None, Some(path)) => KeySource::File(path),
        (Some(_), Some(_)) => {
            read.mistake(source, "jwt.jwks_file", "stands beside jwks_url; one of them is enough");
            return None;
        }
        (None, None) => {
            let given = ["jwt.jwks_url", "jwt.jwks_file"].iter().any(|key| read.settings.contains_key(key));
            if !given {
                let text = "this key is missing; jwks_url = \"https://issuer.example/.well-known/jwks.json\"";
                read.mistake(source, "jwt.jwks_url", text);
            }
            return None;
        }
    };
    Some(JwtConfig { keys, roles, issuer, audience, role_claim, claims_key, clock_skew })
}

fn roles(value: &Value) -> Result<Vec<RolePassword>, String> {
    // Nothing of it is quoted in a mistake: it holds passwords.
    let expected = "a list of \"role:password\" is expected, at least one";
    let roles: Option<Vec<RolePassword>> = value
        .list()
        .map_err(|_| expected.to_owned())?
        .iter()
        .map(|text| {
            let (role, password) = text.split_once(':').filter(|(role, _)| !role.is_empty())?;
            if text.contains('\0') {
                return None;
            }
            Some(RolePassword { role: role.to_owned(), password: Zeroizing::new(password.to_owned()) })
        })
        .collect();
    roles.filter(|roles| !roles.is_empty()).ok_or_else(|| expected.to_owned())
}

fn jwks_url(value: &Value) -> Result<Uri, String> {
    let expected =
        "a URL is expected: https://issuer.example/.well-known/jwks.json; http only on this machine";
    let uri: Uri = value.text()?.parse().map_err(|_| expected.to_owned())?;
    let host = uri.host().ok_or(expected)?;
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if local => Ok(uri),
        _ => Err(expected.to_owned()),
    }
}
