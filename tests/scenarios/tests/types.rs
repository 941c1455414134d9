//! Every built-in type, and arrays, domains, enums, composites and ranges, both ways against a real PostgreSQL: what the server
//! sends is what it takes, and as text it is what the server writes.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::error::Error;

use onetrip::Client;
use onetrip::types::private::BytesMut;
use onetrip::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use onetrip_tests::Stack;

/// A value as its bytes, of any type.
#[derive(Debug, Clone, PartialEq)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value of each built-in type that a table can have.
const BUILT_IN: &[(&str, &str)] = &[
    ("bool", "t"),
    ("bytea", "\\x00ff"),
    ("\"char\"", "a"),
    ("name", "Grüße"),
    ("int8", "-9223372036854775808"),
    ("int2", "-32768"),
    ("int2vector", "1 2"),
    ("int4", "2147483647"),
    ("regproc", "now"),
    ("text", "a \"b\" \\c, {d}"),
    ("oid", "4294967295"),
    ("tid", "(1,2)"),
    ("xid", "7"),
    ("cid", "7"),
    ("oidvector", "1 2"),
    ("json", "{\"a\":  1}"),
    ("xml", "<a/>"),
    ("point", "(1,2)"),
    ("lseg", "[(1,2),(3,4)]"),
    ("path", "[(1,2),(3,4)]"),
    ("box", "(3,4),(1,2)"),
    ("polygon", "((1,2),(3,4),(5,6))"),
    ("line", "{1,2,3}"),
    ("cidr", "10.0.0.0/8"),
    ("float4", "1.5"),
    ("float8", "-Infinity"),
    ("circle", "<(1,2),3>"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("money", "1.50"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("inet", "::1/64"),
    ("aclitem", "=r/postgres"),
    ("bpchar", "ab "),
    ("char(5)", "ab"),
    ("varchar", "ab"),
    ("varchar(2)", "ab"),
    ("date", "0044-03-15 BC"),
    ("time", "24:00:00"),
    ("timestamp", "infinity"),
    ("timestamptz", "2024-02-29 12:34:56.789012+05:30"),
    ("interval", "1 year -3 days 04:05:06.789"),
    ("timetz", "12:34:56.5-05:30"),
    ("bit(3)", "101"),
    ("varbit", "10110"),
    ("numeric", "-12345678901234567890.0001"),
    ("numeric(10,2)", "1.5"),
    ("refcursor", "c"),
    ("regprocedure", "now()"),
    ("regclass", "pg_class"),
    ("regtype", "int4"),
    ("regnamespace", "pg_catalog"),
    ("regconfig", "english"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("txid_snapshot", "10:20:10,14"),
    ("pg_snapshot", "10:20:10,14"),
    ("pg_lsn", "16/B374D848"),
    ("xid8", "18446744073709551615"),
    ("tsvector", "'a':1 'b':2"),
    ("tsquery", "'a' & 'b'"),
    ("jsonb", "{\"a\": [1, null]}"),
    ("jsonpath", "$.\"a\"[*]"),
    ("int4range", "[1,5)"),
    ("int8range", "(,5)"),
    ("numrange", "[1.50,2]"),
    ("tsrange", "[\"2024-01-01 00:00:00\",)"),
    ("tstzrange", "empty"),
    ("daterange", "[2024-01-01,2024-02-01)"),
    ("int4multirange", "{[1,5),[7,9)}"),
    ("tsmultirange", "{[\"2024-01-01 00:00:00\",\"2024-02-01 00:00:00\")}"),
];

/// Types of the test's own.
const OWN: &[(&str, &str)] = &[
    ("mood", "happy"),
    ("mood[]", "{sad,NULL}"),
    ("age", "7"),
    ("age[]", "{7,NULL}"),
    ("word", "yes"),
    ("pair", "(1,\"a b\")"),
    ("pair[]", "{\"(1,a)\",\"(,)\"}"),
    ("nested", "(\"(1,a)\",\"{sad,happy}\")"),
    ("agerange", "[1.5,2.5)"),
    ("agemultirange", "{[1.5,2.5)}"),
];

const SETUP: &str = "create type mood as enum ('sad', 'happy'); create domain age as int4 check (value >= 0);
    create domain word as text check (value <> 'no'); create type pair as (a int4, b text);
    create type nested as (pair pair, moods mood[]); create type agerange as range (subtype = float8)";

/// Asks for a value, sends back what came, and compares both as text and as bytes; then NULL.
async fn check(client: &Client, type_name: &str, repr: &str) {
    let literal = repr.replace('\'', "''");
    let row = client.query_one(&format!("select '{literal}'::{type_name}"), &[]).await;
    let row = row.unwrap_or_else(|error| panic!("{type_name}: {error}"));
    let raw = Raw(row.try_get_raw(0).unwrap().unwrap().to_vec());
    let type_ = Type::new(
        type_name.to_owned(),
        row.columns().first().unwrap().type_oid(),
        onetrip::types::Kind::Simple,
        String::new(),
    );
    let sql = format!(
        "select ($1::{type_name})::text = ('{literal}'::{type_name})::text, $1::{type_name}, $2::{type_name}"
    );
    let rows = client.query_typed(&sql, &[(&raw, type_.clone()), (&None::<Raw>, type_)]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{type_name}: {error}"));
    let row = rows.first().unwrap();
    assert_eq!(row.get::<_, Option<bool>>(0), Some(true), "{type_name}");
    assert_eq!(row.try_get_raw(1).unwrap(), Some(&raw.0[..]), "{type_name}");
    assert_eq!(row.get::<_, Option<Raw>>(2), None, "{type_name}");

    // As text, which PostgreSQL reads as any type: alone, as an array element, and NULL.
    let sql =
        format!("select ($1::{type_name})::text = ('{literal}'::{type_name})::text, $2::{type_name} is null");
    let row = client.query_one(&sql, &[&repr, &None::<&str>]).await;
    let row = row.unwrap_or_else(|error| panic!("{type_name} from text: {error}"));
    assert_eq!((row.get::<_, Option<bool>>(0), row.get(1)), (Some(true), true), "{type_name} from text");
}

async fn start() -> (Stack, Client) {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    client.batch_execute(SETUP).await.unwrap();
    (stack, client)
}

#[tokio::test]
async fn every_built_in_type_and_its_array_goes_and_comes() {
    let (_stack, client) = start().await;
    for (type_name, repr) in BUILT_IN {
        // aclitem and the like have no binary form at all.
        let functions =
            format!("select typsend = 0, typarray <> 0 from pg_type where oid = '{type_name}'::regtype");
        let row = client.query_one(&functions, &[]).await.unwrap();
        let (has_no_binary, has_array): (bool, bool) = (row.get(0), row.get(1));
        if has_no_binary {
            assert_eq!(*type_name, "aclitem", "the only one without a binary form");
            continue;
        }
        check(&client, type_name, repr).await;
        if has_array {
            let quoted = repr.replace('\\', "\\\\").replace('"', "\\\"");
            let delimiter = if *type_name == "box" { ';' } else { ',' };
            check(&client, &format!("{type_name}[]"), &format!("{{\"{quoted}\"{delimiter}NULL}}")).await;
        }
    }
}

#[tokio::test]
async fn domains_enums_composites_and_ranges_of_ones_own_go_and_come_known_or_not() {
    let (_stack, client) = start().await;
    let known =
        client.look_up_types(&["mood", "age", "word", "nested", "agerange", "agemultirange"]).await.unwrap();
    for client in [client, known] {
        for (type_name, repr) in OWN {
            check(&client, type_name, repr).await;
        }
    }
}

#[tokio::test]
async fn serde_reads_every_type_that_has_a_text_form_as_what_the_server_reads_as_the_same() {
    let (_stack, client) = start().await;
    let mut without = Vec::new();
    for (type_name, repr) in BUILT_IN.iter().chain(OWN) {
        if *type_name == "aclitem" {
            continue;
        }
        let row = client
            .query_one(&format!("select '{}'::{type_name}", repr.replace('\'', "''")), &[])
            .await
            .unwrap();
        // Numbers, booleans, bytes, JSON and arrays are themselves.
        let Ok(text) = row.deserialize::<String>() else {
            without.push(*type_name);
            continue;
        };
        let sql = format!("select ($1::{type_name})::text = ($2::{type_name})::text");
        let row = client
            .query_one(&sql, &[&text, repr])
            .await
            .unwrap_or_else(|error| panic!("{type_name}: {error}"));
        assert_eq!(row.get::<_, Option<bool>>(0), Some(true), "{type_name} as {text}");
    }
    let expected = [
        "bool",
        "bytea",
        "int8",
        "int2",
        "int2vector",
        "int4",
        "regproc",
        "oid",
        "tid",
        "oidvector",
        "float4",
        "float8",
        "money",
        "regprocedure",
        "regclass",
        "regtype",
        "regnamespace",
        "regconfig",
        "txid_snapshot",
        "pg_snapshot",
        "tsvector",
        "tsquery",
        "mood[]",
        "age",
        "age[]",
        "pair",
        "pair[]",
        "nested",
        "agerange",
        "agemultirange",
    ];
    assert_eq!(without, expected);
}
