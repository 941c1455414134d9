//! The types that a Rust value can be, in the order in which they are tried. The first that the value accepts is its type;
//! so a value that accepts several is declared as the first of them.

use postgres_types::Type;

/// Text comes first, for it is what most parameters are. It is not declared: PostgreSQL reads it as whatever type stands at
/// its place.
pub(crate) static TEXTS: [Type; 2] = [Type::TEXT, Type::JSON];
/// Declared as what they are, in the format of the value.
pub(crate) static SCALARS: [Type; 42] = [
    Type::INT4,
    Type::INT8,
    Type::BOOL,
    Type::FLOAT8,
    Type::BYTEA,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMP,
    Type::DATE,
    Type::TIME,
    Type::UUID,
    Type::NUMERIC,
    Type::INT2,
    Type::FLOAT4,
    Type::OID,
    Type::INET,
    Type::CIDR,
    Type::MACADDR,
    Type::INTERVAL,
    Type::TIMETZ,
    Type::CHAR,
    Type::VARBIT,
    Type::BIT,
    Type::JSONB,
    Type::JSONPATH,
    Type::XML,
    Type::PG_LSN,
    Type::POINT,
    Type::BOX,
    Type::PATH,
    Type::LINE,
    Type::LSEG,
    Type::POLYGON,
    Type::CIRCLE,
    Type::MONEY,
    Type::INT4_RANGE,
    Type::INT8_RANGE,
    Type::NUM_RANGE,
    Type::TS_RANGE,
    Type::TSTZ_RANGE,
    Type::DATE_RANGE,
    Type::MACADDR8,
    Type::TS_VECTOR,
];
/// Sent as array literals, not declared.
pub(crate) static TEXT_ARRAYS: [Type; 2] = [Type::TEXT_ARRAY, Type::JSON_ARRAY];
/// Declared as what they are.
pub(crate) static ARRAYS: [Type; 25] = [
    Type::INT4_ARRAY,
    Type::INT8_ARRAY,
    Type::BOOL_ARRAY,
    Type::FLOAT8_ARRAY,
    Type::BYTEA_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::TIMESTAMP_ARRAY,
    Type::DATE_ARRAY,
    Type::TIME_ARRAY,
    Type::UUID_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::INT2_ARRAY,
    Type::FLOAT4_ARRAY,
    Type::OID_ARRAY,
    Type::INET_ARRAY,
    Type::CIDR_ARRAY,
    Type::MACADDR_ARRAY,
    Type::CHAR_ARRAY,
    Type::VARBIT_ARRAY,
    Type::JSONB_ARRAY,
    Type::POINT_ARRAY,
    Type::BOX_ARRAY,
    Type::PATH_ARRAY,
    Type::INT4_RANGE_ARRAY,
    Type::INT8_RANGE_ARRAY,
];
/// Types of extensions, which have no fixed OID. The value goes in its binary form without a declared type; PostgreSQL
/// infers the type from the place.
pub(crate) const EXTENSIONS: [&str; 6] =
    ["hstore", "vector", "halfvec", "sparsevec", "geometry", "geography"];
