//! The types that a Rust value can be, in the order in which they are tried. The first that the value accepts is its type;
//! so a value that accepts several is declared as the first of them.

use postgres_types::{Kind, Oid, Type};

/// The types that a Rust value can be. Text comes first, for it is what most parameters are.
pub(crate) fn candidates() -> impl Iterator<Item = (Oid, Type)> {
    CANDIDATES.iter().filter_map(|&oid| Some((oid.into(), Type::from_oid(oid.into())?)))
}

/// How a parameter goes.
pub(crate) enum Way {
    /// As text that is not declared: PostgreSQL reads it as whatever type stands at its place.
    Text,
    /// As an array literal that is not declared.
    TextArray,
    /// Declared as its type, in the format of the value.
    Declared,
}

impl Way {
    pub(crate) fn of(oid: Oid) -> Way {
        match oid {
            TEXT | JSON => Way::Text,
            TEXT_ARRAY | JSON_ARRAY => Way::TextArray,
            _ => Way::Declared,
        }
    }
}

const TEXT: Oid = 25;
const JSON: Oid = 114;
const TEXT_ARRAY: Oid = 1009;
const JSON_ARRAY: Oid = 199;

/// By OID: a table of `Type` would be eight times as large.
#[rustfmt::skip]
const CANDIDATES: [u16; 71] = [
    25, // text
    114, // json
    23, // int4
    20, // int8
    16, // bool
    701, // float8
    17, // bytea
    1184, // timestamptz
    1114, // timestamp
    1082, // date
    1083, // time
    2950, // uuid
    1700, // numeric
    21, // int2
    700, // float4
    26, // oid
    869, // inet
    650, // cidr
    829, // macaddr
    1186, // interval
    1266, // timetz
    18, // char
    1562, // varbit
    1560, // bit
    3802, // jsonb
    4072, // jsonpath
    142, // xml
    3220, // pg_lsn
    600, // point
    603, // box
    602, // path
    628, // line
    601, // lseg
    604, // polygon
    718, // circle
    790, // money
    3904, // int4_range
    3926, // int8_range
    3906, // num_range
    3908, // ts_range
    3910, // tstz_range
    3912, // date_range
    774, // macaddr8
    3614, // ts_vector
    1009, // text_array
    199, // json_array
    1007, // int4_array
    1016, // int8_array
    1000, // bool_array
    1022, // float8_array
    1001, // bytea_array
    1185, // timestamptz_array
    1115, // timestamp_array
    1182, // date_array
    1183, // time_array
    2951, // uuid_array
    1231, // numeric_array
    1005, // int2_array
    1021, // float4_array
    1028, // oid_array
    1041, // inet_array
    651, // cidr_array
    1040, // macaddr_array
    1002, // char_array
    1563, // varbit_array
    3807, // jsonb_array
    1017, // point_array
    1020, // box_array
    1019, // path_array
    3905, // int4_range_array
    3927, // int8_range_array
];

/// Types of extensions, which have no fixed OID. The value goes in its binary form without a declared type; PostgreSQL
/// infers the type from the place.
pub(crate) const EXTENSIONS: [&str; 6] =
    ["hstore", "vector", "halfvec", "sparsevec", "geometry", "geography"];

/// The type of this name, which has another OID in each database.
pub(crate) fn extension(name: &str) -> Type {
    Type::new(name.to_owned(), 0, Kind::Simple, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_is_built_in_and_stands_there_once() {
        let mut oids: Vec<Oid> = candidates().map(|(oid, _)| oid).collect();
        assert_eq!(oids.len(), CANDIDATES.len());
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), CANDIDATES.len());
    }

    #[test]
    fn text_and_its_arrays_are_not_declared() {
        for (oid, type_) in [
            (TEXT, Type::TEXT),
            (JSON, Type::JSON),
            (TEXT_ARRAY, Type::TEXT_ARRAY),
            (JSON_ARRAY, Type::JSON_ARRAY),
        ] {
            assert_eq!(type_.oid(), oid);
            assert!(candidates().any(|(candidate, _)| candidate == oid), "{type_}");
        }
    }
}
