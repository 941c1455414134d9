//! What a SQLSTATE means for a client. PostgreSQL manual, appendix "PostgreSQL Error Codes".

/// What a client can do about an SQL error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The transaction was rolled back because of others (`40001`, `40P01`): running it again may succeed.
    Conflict,
    /// The server is short of something or on its way down or up (`53…`, `57P…`, `55P03`): later it may succeed.
    Unavailable,
    /// A constraint does not allow it (`23…`).
    Constraint,
    /// A value does not fit (`22…`).
    Data,
    /// The SQL is wrong, or names something that is not there, or is not allowed (`42…`, `3D000`, `3F000`).
    Statement,
    /// The credentials or the role are refused (`28…`).
    Credentials,
    /// It was cancelled (`57014`), for example by a timeout.
    Cancelled,
    /// All others.
    Other,
}

/// The class of a SQLSTATE.
pub fn class(sqlstate: &str) -> Class {
    match sqlstate {
        "40001" | "40P01" => Class::Conflict,
        "57014" => Class::Cancelled,
        "55P03" => Class::Unavailable,
        "3D000" | "3F000" => Class::Statement,
        _ => match sqlstate.get(..2) {
            Some("22") => Class::Data,
            Some("23") => Class::Constraint,
            Some("28") => Class::Credentials,
            Some("42") => Class::Statement,
            Some("53" | "57" | "58") => Class::Unavailable,
            _ => Class::Other,
        },
    }
}
