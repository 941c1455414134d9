//! PostgreSQL's text format and its binary format, each made from the other, exactly and by type.
//!
//! For clients of endpoints that know text only, and for readers that know no PostgreSQL types. PostgreSQL manual, "Data
//! Types"; the binary formats are those of the types' `send` functions.

mod calendar;
#[cfg(feature = "neon")]
mod read;
mod write;

#[cfg(feature = "neon")]
pub(crate) use read::binary;
pub(crate) use write::text;

use postgres_types::{Kind, Type};

/// What stands between the elements of an array in text format.
fn delimiter(element: &Type) -> char {
    if *element == Type::BOX { ';' } else { ',' }
}

/// Whether both formats are the same bytes.
fn is_verbatim(type_: &Type) -> bool {
    matches!(
        *type_,
        Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::JSON
            | Type::XML
            | Type::UNKNOWN
            | Type::REFCURSOR
            | Type::CSTRING
            | Type::VOID
    )
}

/// Whether [`text`] and [`binary`] know the type.
#[cfg(feature = "neon")]
pub(crate) fn is_known(type_: &Type) -> bool {
    match type_.kind() {
        Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => is_known(inner),
        _ => {
            is_verbatim(type_)
                || matches!(
                    *type_,
                    Type::BOOL
                        | Type::BYTEA
                        | Type::CHAR
                        | Type::INT2
                        | Type::INT4
                        | Type::INT8
                        | Type::OID
                        | Type::XID
                        | Type::CID
                        | Type::XID8
                        | Type::FLOAT4
                        | Type::FLOAT8
                        | Type::NUMERIC
                        | Type::DATE
                        | Type::TIME
                        | Type::TIMETZ
                        | Type::TIMESTAMP
                        | Type::TIMESTAMPTZ
                        | Type::INTERVAL
                        | Type::UUID
                        | Type::JSONB
                        | Type::JSONPATH
                        | Type::INET
                        | Type::CIDR
                        | Type::MACADDR
                        | Type::MACADDR8
                        | Type::BIT
                        | Type::VARBIT
                        | Type::PG_LSN
                        | Type::POINT
                        | Type::BOX
                        | Type::LSEG
                        | Type::LINE
                        | Type::PATH
                        | Type::POLYGON
                        | Type::CIRCLE
                )
        }
    }
}

#[cfg(all(test, feature = "neon", not(target_arch = "wasm32")))]
mod tests;
