//! The OIDs of the built-in types that have a representation of their own. PostgreSQL's `pg_type.dat`.

/// boolean
pub const BOOL: u32 = 16;
/// bytea
pub const BYTEA: u32 = 17;
/// bigint
pub const INT8: u32 = 20;
/// smallint
pub const INT2: u32 = 21;
/// integer
pub const INT4: u32 = 23;
/// oid
pub const OID: u32 = 26;
/// json
pub const JSON: u32 = 114;
/// real
pub const FLOAT4: u32 = 700;
/// double precision
pub const FLOAT8: u32 = 701;
/// timestamp without time zone
pub const TIMESTAMP: u32 = 1114;
/// timestamp with time zone
pub const TIMESTAMPTZ: u32 = 1184;
/// jsonb
pub const JSONB: u32 = 3802;
