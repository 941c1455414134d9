//! Both formats of each type, from each other, and every way to be cut short.

use postgres_types::Type;

use super::{binary, is_known, text};

/// What PostgreSQL writes, and what is written here where that differs: a `T` within moments, quotes around elements, the
/// parts of an interval in one order.
fn cases() -> Vec<(Type, &'static str, &'static str)> {
    let same = |type_: Type, texts: &[&'static str]| -> Vec<(Type, &'static str, &'static str)> {
        texts.iter().map(|text| (type_.clone(), *text, *text)).collect()
    };
    let mut cases = [
        same(Type::BOOL, &["t", "f"]),
        same(Type::INT2, &["-32768", "32767"]),
        same(Type::INT4, &["-2147483648", "0"]),
        same(Type::INT8, &["-9223372036854775808", "9223372036854775807"]),
        same(Type::OID, &["4294967295"]),
        same(Type::XID8, &["18446744073709551615"]),
        same(Type::NUMERIC, &["0", "-12.50", "12345678901234567890.0001", "NaN", "Infinity", "-Infinity"]),
        same(Type::TEXT, &["", "Grüße \u{1f680}", "a\"b\\c"]),
        same(Type::JSON, &["{\"a\":  1}"]),
        same(Type::JSONB, &["{\"a\": 1}"]),
        same(Type::BYTEA, &["\\x", "\\x00ff5c"]),
        same(Type::CHAR, &["", "a", "\\377"]),
        same(Type::UUID, &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        same(
            Type::DATE,
            &["2024-02-29", "0044-03-15 BC", "5874897-12-31", "infinity", "-infinity", "0001-01-01 BC"],
        ),
        same(Type::TIME, &["00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.000001"]),
        same(Type::TIMETZ, &["12:34:56+00:00", "12:34:56.100000-05:30", "00:00:00+15:59:59"]),
        same(Type::INET, &["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]),
        same(Type::CIDR, &["10.0.0.0/8", "10.0.0.1/32", "::1/128"]),
        same(Type::MACADDR, &["08:00:2b:01:02:03"]),
        same(Type::MACADDR8, &["08:00:2b:01:02:03:04:05"]),
        same(Type::BIT, &["", "1", "10110011", "101100110"]),
        same(Type::PG_LSN, &["0/0", "16/B374D848"]),
        same(Type::INTERVAL, &["infinity", "-infinity"]),
        same(Type::INT4_RANGE, &["empty", "(,)"]),
        same(Type::INT4MULTI_RANGE, &["{}"]),
        same(Type::INT4_ARRAY, &["{}"]),
    ]
    .concat();
    cases.extend([
        (Type::FLOAT8, "0.1", "0.1"),
        (Type::FLOAT8, "1.7976931348623157e+308", "1.7976931348623157e308"),
        (Type::FLOAT8, "5e-324", "5e-324"),
        (Type::FLOAT8, "NaN", "NaN"),
        (Type::FLOAT8, "-Infinity", "-Infinity"),
        (Type::FLOAT8, "-0", "-0.0"),
        (Type::FLOAT4, "0.1", "0.1"),
        (Type::FLOAT4, "Infinity", "Infinity"),
        (Type::TIMESTAMP, "2024-02-29 12:34:56.789012", "2024-02-29T12:34:56.789012"),
        (Type::TIMESTAMP, "0044-03-15 12:00:00 BC", "0044-03-15T12:00:00 BC"),
        (Type::TIMESTAMP, "294276-12-31 23:59:59.999999", "294276-12-31T23:59:59.999999"),
        (Type::TIMESTAMP, "4714-11-24 00:00:00 BC", "4714-11-24T00:00:00 BC"),
        (Type::TIMESTAMP, "infinity", "infinity"),
        (Type::TIMESTAMPTZ, "2024-02-29 12:34:56+00", "2024-02-29T12:34:56+00:00"),
        (Type::TIMESTAMPTZ, "2024-03-01 01:04:56.5+05:30", "2024-02-29T19:34:56.500000+00:00"),
        (Type::TIMESTAMPTZ, "1899-12-31 23:59:59-00:00:30", "1900-01-01T00:00:29+00:00"),
        (Type::TIMESTAMPTZ, "0044-03-15 12:00:00+01 BC", "0044-03-15T11:00:00+00:00 BC"),
        (Type::TIMESTAMPTZ, "-infinity", "-infinity"),
        (Type::INTERVAL, "1 year 2 mons -3 days +04:05:06.789", "14 mons -3 days 04:05:06.789000"),
        (Type::INTERVAL, "-1 years", "-12 mons 0 days 00:00:00.000000"),
        (Type::INTERVAL, "-178956970 years -8 mons", "-2147483648 mons 0 days 00:00:00.000000"),
        (Type::INTERVAL, "-00:00:00.000001", "0 mons 0 days -00:00:00.000001"),
        (Type::INTERVAL, "2562047788:00:54.775807", "0 mons 0 days 2562047788:00:54.775807"),
        (Type::BYTEA, "a\\\\b\\000\\377", "\\x615c6200ff"),
        (Type::POINT, "(1,-2.5)", "(1.0,-2.5)"),
        (Type::BOX, "(3,4),(1,2)", "(3.0,4.0),(1.0,2.0)"),
        (Type::LSEG, "[(1,2),(3,4)]", "[(1.0,2.0),(3.0,4.0)]"),
        (Type::LINE, "{1,2,3}", "{1.0,2.0,3.0}"),
        (Type::PATH, "((1,2),(3,4))", "((1.0,2.0),(3.0,4.0))"),
        (Type::PATH, "[(1,2)]", "[(1.0,2.0)]"),
        (Type::POLYGON, "((1,2),(3,4),(5,6))", "((1.0,2.0),(3.0,4.0),(5.0,6.0))"),
        (Type::CIRCLE, "<(1,2),3>", "<(1.0,2.0),3.0>"),
        (Type::INT4_ARRAY, "{1,NULL,-3}", "{\"1\",NULL,\"-3\"}"),
        (Type::INT4_ARRAY, "{{1,2},{3,4}}", "{{\"1\",\"2\"},{\"3\",\"4\"}}"),
        (Type::INT4_ARRAY, "[0:1]={1,2}", "[0:1]={\"1\",\"2\"}"),
        (Type::INT4_ARRAY, "[-1:0][2:3]={{1,2},{3,4}}", "[-1:0][2:3]={{\"1\",\"2\"},{\"3\",\"4\"}}"),
        (
            Type::TEXT_ARRAY,
            r#"{a,"b c","NULL",NULL,"","\"\\",null}"#,
            r#"{"a","b c","NULL",NULL,"","\"\\",NULL}"#,
        ),
        (Type::TEXT_ARRAY, r"{a\,b,\NULL}", r#"{"a,b","NULL"}"#),
        (Type::BOX_ARRAY, "{(1,1),(0,0);(2,2),(1,1)}", "{\"(1.0,1.0),(0.0,0.0)\";\"(2.0,2.0),(1.0,1.0)\"}"),
        (Type::BYTEA_ARRAY, r#"{"\\x00ff"}"#, r#"{"\\x00ff"}"#),
        (Type::INT4_RANGE, "[1,5)", "[\"1\",\"5\")"),
        (Type::INT4_RANGE, "(,5)", "(,\"5\")"),
        (
            Type::TS_RANGE,
            "[\"2024-01-01 00:00:00\",\"2024-02-01 00:00:00\"]",
            "[\"2024-01-01T00:00:00\",\"2024-02-01T00:00:00\"]",
        ),
        (Type::INT4MULTI_RANGE, "{[1,5),[7,)}", "{[\"1\",\"5\"),[\"7\",)}"),
        (Type::INT4_RANGE_ARRAY, "{\"[1,5)\",empty}", "{\"[\\\"1\\\",\\\"5\\\")\",\"empty\"}"),
    ]);
    cases
}

#[test]
fn each_text_becomes_binary_and_that_becomes_the_same_value_again() {
    for (type_, postgresql, ours) in cases() {
        assert!(is_known(&type_), "{type_}");
        let raw = binary(&type_, postgresql).unwrap_or_else(|| panic!("{type_}: {postgresql}"));
        assert_eq!(text(&type_, &raw).as_deref(), Some(ours), "{type_}: {postgresql}");
        let again = binary(&type_, ours).unwrap_or_else(|| panic!("{type_}: {ours}"));
        assert_eq!(again, raw, "{type_}: {ours}");
    }
}

#[test]
fn a_text_or_a_binary_that_is_cut_anywhere_does_no_harm() {
    for (type_, postgresql, _) in cases() {
        for (end, _) in postgresql.char_indices() {
            if let Some(raw) = binary(&type_, &postgresql[..end]) {
                assert!(text(&type_, &raw).is_some(), "{type_}: {}", &postgresql[..end]);
            }
        }
        let raw = binary(&type_, postgresql).unwrap();
        for end in 0..raw.len() {
            let _ = text(&type_, &raw[..end]);
        }
    }
}

#[test]
fn what_is_none_of_its_type_is_refused() {
    for (type_, wrong) in [
        (Type::BOOL, "yes"),
        (Type::INT2, "32768"),
        (Type::INT8, "1.0"),
        (Type::BYTEA, "\\x0"),
        (Type::BYTEA, "\\9"),
        (Type::UUID, "a0eebc99"),
        (Type::DATE, "2023-02-29"),
        (Type::DATE, "29.02.2024"),
        (Type::TIMESTAMP, "Thu Feb 29 12:00:00 2024"),
        (Type::TIMESTAMPTZ, "2024-02-29 12:00:00"),
        (Type::INTERVAL, "P1Y"),
        (Type::INTERVAL, "99999999999 days"),
        (Type::INET, "10.0.0.1/33"),
        (Type::BIT, "012"),
        (Type::POINT, "(1,2,3)"),
        (Type::INT4_ARRAY, "{1,2"),
        (Type::INT4_ARRAY, "{1,2}}"),
        (Type::INT4_ARRAY, "{1,,2}"),
        (Type::INT4_ARRAY, "{{1,2},{3}}"),
        (Type::INT4_ARRAY, "{{1},2}"),
        (Type::INT4_ARRAY, "{1,{2}}"),
        (Type::INT4_ARRAY, "[0:1][0:1]={1,2}"),
        (Type::INT4_ARRAY, "{{{{{{{1}}}}}}}"),
        (Type::INT4_RANGE, "[1,5"),
        (Type::INT4_RANGE, "[1;5)"),
        (Type::INT4MULTI_RANGE, "{[1,5)"),
        (Type::TS_VECTOR, "'a'"),
    ] {
        assert_eq!(binary(&type_, wrong), None, "{type_}: {wrong}");
    }
}
