//! The `Neon-Connection-String` of a request: `postgresql://role:password@host/database?options`.
//!
//! The host is not looked at: an endpoint connects only to databases that its configuration names.

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::session_settings::SessionSettings;

/// What a connection string says. `Debug` is absent on purpose: it holds a password.
pub(crate) struct ConnectionString {
    pub(crate) role: String,
    /// `None` where there is none, which a token may stand in for.
    pub(crate) password: Option<Zeroizing<String>>,
    /// A name in the endpoint's configuration.
    pub(crate) database: String,
    pub(crate) settings: SessionSettings,
}

/// Parameters that become settings of the session under the same name.
const SETTINGS: &[&str] = &[
    "application_name",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "timezone",
];

impl ConnectionString {
    /// # Errors
    /// A text that quotes nothing of the connection string.
    pub(crate) fn parse(text: &str) -> Result<ConnectionString, String> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| {
                scheme.starts_with(|character: char| character.is_ascii_alphabetic())
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            })
            .ok_or("invalid connection string: it must be postgresql://role:password@host/database")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err("incorrect scheme".to_owned());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user_info = authority.rsplit_once('@').map_or("", |(user_info, _)| user_info);
        let (role, password) = match user_info.split_once(':') {
            Some((role, password)) => (role, Some(password)),
            None => (user_info, None),
        };
        if role.is_empty() {
            return Err("missing username".to_owned());
        }
        let role = decoded(role, "invalid username")?;
        let password = match password.filter(|password| !password.is_empty()) {
            Some(password) => Some(Zeroizing::new(decoded(password, "invalid password")?)),
            None => None,
        };
        if path.is_empty() {
            return Err("missing database name".to_owned());
        }
        let database = decoded(path, "invalid database name")?;
        let mut settings = SessionSettings::default();
        for (name, value) in pairs(query) {
            let value = decoded(&value.replace('+', " "), "invalid parameter of the connection string")?;
            if name == "options" {
                settings.options(&value)?;
            } else if let Some(known) = SETTINGS.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                settings.set(known, &value)?;
            }
        }
        Ok(ConnectionString { role, password, database, settings })
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decoded(text: &str, wrong: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| format!("{wrong}: it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(format!("{wrong}: it holds a zero character"));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_gives_role_password_database_and_settings() {
        let text = "postgres://a%40b:p%3Aw%2F@any.host:5432/shop%20x?sslmode=require&options=-c%20search_path%3Da%2Cb\
                    &application_name=web+app";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!(parsed.role, "a@b");
        assert_eq!(parsed.password.unwrap().as_str(), "p:w/");
        assert_eq!(parsed.database, "shop x");
        let settings: Vec<_> = parsed.settings.iter().collect();
        assert_eq!(settings, [("search_path", "a,b"), ("application_name", "web app")]);
    }

    #[test]
    fn a_password_may_be_absent_and_hold_an_at_sign() {
        let parsed = ConnectionString::parse("postgresql://web@host/shop").unwrap();
        assert!(parsed.password.is_none());
        let parsed = ConnectionString::parse("postgresql://web:a@b@host/shop?options=project%3Dx").unwrap();
        assert_eq!(parsed.password.unwrap().as_str(), "a@b");
    }

    #[test]
    fn another_text_is_refused_without_quoting_it() {
        for (text, expected) in [
            ("host=x user=y", "invalid connection string"),
            ("", "invalid connection string"),
            ("mysql://web:secret@host/shop", "incorrect scheme"),
            ("postgres://host/shop", "missing username"),
            ("postgres://:secret@host/shop", "missing username"),
            ("postgres://web:secret@host", "missing database name"),
            ("postgres://web:secret@host/", "missing database name"),
            ("postgres://web:%ffsecret@host/shop", "invalid password"),
            ("postgres://web:secret@host/shop?options=-c%20nothing", "options"),
            ("postgres://web:secret@host/sh%00op", "invalid database name"),
        ] {
            let Err(error) = ConnectionString::parse(text) else { panic!("{text} is taken") };
            assert!(error.starts_with(expected) || error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
