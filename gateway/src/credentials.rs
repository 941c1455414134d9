//! The role and password of a request, from its Authorization header (RFC 7617), for as long as it needs them.

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A role of PostgreSQL and its password. The memory is cleared when it is dropped, and `Debug` shows neither.
#[derive(Clone)]
pub(crate) struct Credentials {
    // "role:password"
    text: Zeroizing<String>,
    colon: usize,
    from: Option<IpAddr>,
}

impl Credentials {
    /// Reads an Authorization header.
    ///
    /// # Errors
    /// A text that says what is wrong and what is expected, without quoting anything.
    pub(crate) fn from_header(header: &[u8]) -> Result<Credentials, &'static str> {
        const EXPECTED: &str = "the Authorization header must be: Basic base64(role \":\" password)";
        let (scheme, encoded) = header.split_at_checked(6).ok_or(EXPECTED)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return Err(
                "the Authorization header has another scheme than Basic; send the PostgreSQL role and its \
                        password as Basic base64(role \":\" password)",
            );
        }
        let decoded = Zeroizing::new(
            STANDARD
                .decode(encoded.trim_ascii())
                .map_err(|_| "the Authorization header is not base64 after the word Basic")?,
        );
        let text = std::str::from_utf8(&decoded).map_err(|_| "role and password must be UTF-8")?;
        let (role, password) = text.split_once(':').ok_or("there is no colon between role and password")?;
        Credentials::new(role, password)
    }

    /// # Errors
    /// As [`from_header`](Self::from_header).
    pub(crate) fn new(role: &str, password: &str) -> Result<Credentials, &'static str> {
        if role.is_empty() {
            return Err("the role is empty; send the name of a PostgreSQL role before the colon");
        }
        if role.contains('\0') || password.contains('\0') {
            return Err("role and password must not hold a zero character");
        }
        let mut text = Zeroizing::new(String::with_capacity(role.len() + 1 + password.len()));
        text.push_str(role);
        text.push(':');
        text.push_str(password);
        Ok(Credentials { text, colon: role.len(), from: None })
    }

    /// Says who sent them, so that wrong ones can be counted.
    pub(crate) fn sent_from(mut self, address: IpAddr) -> Credentials {
        self.from = Some(address);
        self
    }

    /// Who sent them; `None` for the endpoint's own.
    pub(crate) fn sender(&self) -> Option<IpAddr> {
        self.from
    }

    pub(crate) fn role(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    pub(crate) fn password(&self) -> &[u8] {
        self.text.as_bytes().get(self.colon + 1..).unwrap_or_default()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_gives_role_and_password() {
        for (plain, role, password) in [
            ("ada:sesame", "ada", "sesame"),
            ("a:b:c", "a", "b:c"),
            ("ada:", "ada", ""),
            ("ä:pässword", "ä", "pässword"),
        ] {
            for scheme in ["Basic", "basic", "BASIC"] {
                let header = format!("{scheme} {}", STANDARD.encode(plain));
                let credentials = Credentials::from_header(header.as_bytes()).unwrap();
                assert_eq!((credentials.role(), credentials.password()), (role, password.as_bytes()));
                assert_eq!(format!("{credentials:?}"), "Credentials");
            }
        }
    }

    #[test]
    fn another_header_is_refused_with_a_reason() {
        let encoded = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        for (header, expected) in [
            (String::new(), "must be: Basic"),
            ("Bearer abc".to_owned(), "another scheme"),
            ("Basic !!!".to_owned(), "not base64"),
            (encoded(b"ada"), "no colon"),
            (encoded(b":sesame"), "role is empty"),
            (encoded(b"ada:\xff"), "UTF-8"),
            (encoded(b"ada:\0"), "zero character"),
        ] {
            let error = Credentials::from_header(header.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{header}: {error}");
        }
    }
}
