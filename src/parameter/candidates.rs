//! The types that a Rust value can be, in the order in which they are tried. The first that the value accepts is its type;
//! so a value that accepts several is declared as the first of them.

use postgres_types::Type;

/// A type that a Rust value can be, and how its parameter goes.
pub(crate) struct Candidate {
    pub(crate) type_: Type,
    pub(crate) way: Way,
}

/// How a parameter goes.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// As text that is not declared: PostgreSQL reads it as whatever type stands at its place.
    Text,
    /// As an array literal that is not declared.
    TextArray,
    /// Declared as the type of this OID, in the format of the value. The OID stands here because asking a `Type` for it
    /// is a table of all of them, two kilobytes of wasm.
    Declared(u32),
}

const fn text(type_: Type) -> Candidate {
    Candidate { type_, way: Way::Text }
}

const fn text_array(type_: Type) -> Candidate {
    Candidate { type_, way: Way::TextArray }
}

const fn declared(type_: Type, oid: u32) -> Candidate {
    Candidate { type_, way: Way::Declared(oid) }
}

/// Text comes first, for it is what most parameters are.
pub(crate) static CANDIDATES: [Candidate; 71] = [
    text(Type::TEXT),
    text(Type::JSON),
    declared(Type::INT4, 23),
    declared(Type::INT8, 20),
    declared(Type::BOOL, 16),
    declared(Type::FLOAT8, 701),
    declared(Type::BYTEA, 17),
    declared(Type::TIMESTAMPTZ, 1184),
    declared(Type::TIMESTAMP, 1114),
    declared(Type::DATE, 1082),
    declared(Type::TIME, 1083),
    declared(Type::UUID, 2950),
    declared(Type::NUMERIC, 1700),
    declared(Type::INT2, 21),
    declared(Type::FLOAT4, 700),
    declared(Type::OID, 26),
    declared(Type::INET, 869),
    declared(Type::CIDR, 650),
    declared(Type::MACADDR, 829),
    declared(Type::INTERVAL, 1186),
    declared(Type::TIMETZ, 1266),
    declared(Type::CHAR, 18),
    declared(Type::VARBIT, 1562),
    declared(Type::BIT, 1560),
    declared(Type::JSONB, 3802),
    declared(Type::JSONPATH, 4072),
    declared(Type::XML, 142),
    declared(Type::PG_LSN, 3220),
    declared(Type::POINT, 600),
    declared(Type::BOX, 603),
    declared(Type::PATH, 602),
    declared(Type::LINE, 628),
    declared(Type::LSEG, 601),
    declared(Type::POLYGON, 604),
    declared(Type::CIRCLE, 718),
    declared(Type::MONEY, 790),
    declared(Type::INT4_RANGE, 3904),
    declared(Type::INT8_RANGE, 3926),
    declared(Type::NUM_RANGE, 3906),
    declared(Type::TS_RANGE, 3908),
    declared(Type::TSTZ_RANGE, 3910),
    declared(Type::DATE_RANGE, 3912),
    declared(Type::MACADDR8, 774),
    declared(Type::TS_VECTOR, 3614),
    text_array(Type::TEXT_ARRAY),
    text_array(Type::JSON_ARRAY),
    declared(Type::INT4_ARRAY, 1007),
    declared(Type::INT8_ARRAY, 1016),
    declared(Type::BOOL_ARRAY, 1000),
    declared(Type::FLOAT8_ARRAY, 1022),
    declared(Type::BYTEA_ARRAY, 1001),
    declared(Type::TIMESTAMPTZ_ARRAY, 1185),
    declared(Type::TIMESTAMP_ARRAY, 1115),
    declared(Type::DATE_ARRAY, 1182),
    declared(Type::TIME_ARRAY, 1183),
    declared(Type::UUID_ARRAY, 2951),
    declared(Type::NUMERIC_ARRAY, 1231),
    declared(Type::INT2_ARRAY, 1005),
    declared(Type::FLOAT4_ARRAY, 1021),
    declared(Type::OID_ARRAY, 1028),
    declared(Type::INET_ARRAY, 1041),
    declared(Type::CIDR_ARRAY, 651),
    declared(Type::MACADDR_ARRAY, 1040),
    declared(Type::CHAR_ARRAY, 1002),
    declared(Type::VARBIT_ARRAY, 1563),
    declared(Type::JSONB_ARRAY, 3807),
    declared(Type::POINT_ARRAY, 1017),
    declared(Type::BOX_ARRAY, 1020),
    declared(Type::PATH_ARRAY, 1019),
    declared(Type::INT4_RANGE_ARRAY, 3905),
    declared(Type::INT8_RANGE_ARRAY, 3927),
];

/// Types of extensions, which have no fixed OID. The value goes in its binary form without a declared type; PostgreSQL
/// infers the type from the place.
pub(crate) const EXTENSIONS: [&str; 6] =
    ["hstore", "vector", "halfvec", "sparsevec", "geometry", "geography"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_declared_type_has_its_own_oid() {
        for Candidate { type_, way } in &CANDIDATES {
            if let Way::Declared(oid) = way {
                assert_eq!(type_.oid(), *oid, "{type_}");
            }
        }
    }
}
