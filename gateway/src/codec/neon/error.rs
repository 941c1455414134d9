//! Errors as JSON, with the keys that clients of this profile read.

use onetrip_wire::backend::ErrorResponse;
use onetrip_wire::json;

/// An error, ready to be written; keys that it has nothing for are `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) message: String,
    /// The SQLSTATE, or nothing where PostgreSQL has no word for it.
    pub(crate) code: String,
    pub(crate) severity: String,
    fields: Vec<(&'static str, String)>,
    /// The index of the statement of a batch that failed.
    pub(crate) statement: Option<usize>,
}

/// The keys after `message` and `code`, in order, with the field of an ErrorResponse that they hold; `severity` stands
/// among them.
const KEYS: &[(&str, u8)] = &[
    ("detail", b'D'),
    ("hint", b'H'),
    ("position", b'P'),
    ("internalPosition", b'p'),
    ("internalQuery", b'q'),
    ("severity", b'V'),
    ("where", b'W'),
    ("table", b't'),
    ("column", b'c'),
    ("schema", b's'),
    ("dataType", b'd'),
    ("constraint", b'n'),
    ("file", b'F'),
    ("line", b'L'),
    ("routine", b'R'),
];

impl SqlError {
    /// An error of the endpoint's own.
    pub(crate) fn new(message: impl Into<String>) -> SqlError {
        SqlError { message: message.into(), ..SqlError::default() }
    }

    /// An error of the endpoint's own for which PostgreSQL has a SQLSTATE.
    pub(crate) fn with_code(code: &str, message: impl Into<String>) -> SqlError {
        SqlError { code: code.to_owned(), severity: "ERROR".to_owned(), ..SqlError::new(message) }
    }

    /// An error that PostgreSQL sent, at the statement with this index.
    pub(crate) fn of_postgres(error: &ErrorResponse, statement: Option<usize>) -> SqlError {
        let fields = KEYS.iter().filter(|(key, _)| *key != "severity");
        SqlError {
            message: error.message().to_owned(),
            code: error.code().to_owned(),
            severity: error.severity().to_owned(),
            fields: fields.filter_map(|(key, code)| Some((*key, error.field(*code)?.to_owned()))).collect(),
            statement,
        }
    }

    /// The JSON object.
    pub(crate) fn json(&self) -> Vec<u8> {
        let mut out = b"{\"message\":".to_vec();
        json::string(&mut out, self.message.as_bytes());
        out.extend_from_slice(b",\"code\":");
        json::string(&mut out, self.code.as_bytes());
        for (key, _) in KEYS {
            out.push(b',');
            json::string(&mut out, key.as_bytes());
            out.push(b':');
            let field = self.fields.iter().find(|(found, _)| found == key).map(|(_, text)| text);
            match (*key, field) {
                ("severity", _) => json::string(&mut out, self.severity.as_bytes()),
                (_, Some(text)) => json::string(&mut out, text.as_bytes()),
                (_, None) => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        out
    }
}
