//! Rust values as parameters and results, against a real PostgreSQL: what is declared, what is left to it, and what reads.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use onetrip::types::{self, FromSql, FromSqlOwned, ToSql, Type};
use onetrip::{Client, Kind, Numeric};
use onetrip_tests::Stack;
use serde_json::{Value, json};
use uuid::Uuid;

/// Asks the server both ways: `repr` of the type reads as the value, and the value as a parameter equals `repr`.
async fn check<T>(client: &Client, type_name: &str, cases: &[(T, &str)])
where
    T: ToSql + FromSqlOwned + PartialEq + Debug + Sync,
{
    for (value, repr) in cases {
        let read = client.query_one(&format!("select {repr}::{type_name}"), &[]).await;
        let read: T = read.unwrap_or_else(|error| panic!("{repr}::{type_name}: {error}")).get(0);
        assert_eq!(&read, value, "select {repr}::{type_name}");
        // As text, because json and point have no equality.
        let sql = format!("select ($1::{type_name})::text = ({repr}::{type_name})::text, $1::{type_name}");
        let row = client.query_one(&sql, &[value]).await;
        let row = row.unwrap_or_else(|error| panic!("{value:?} as {type_name}: {error}"));
        assert_eq!(row.get::<_, Option<bool>>(0), Some(true), "{value:?} as {type_name}");
        assert_eq!(&row.get::<_, T>(1), value, "{value:?} as {type_name}");
    }
    let none: Option<T> =
        client.query_one(&format!("select $1::{type_name}"), &[&None::<T>]).await.unwrap().get(0);
    assert!(none.is_none(), "NULL as {type_name}");
}

/// The features that are forwarded to `postgres-types`, each by the types that it brings.
#[tokio::test]
async fn values_of_other_crates_go_and_come() {
    let (_stack, client) = client().await;
    let c = &client;

    check(c, "varbit", &[(bit_vec::BitVec::from_iter([true, false, true]), "B'101'")]).await;
    check(c, "bit(9)", &[(bit_vec::BitVec::from_iter([true; 9]), "B'111111111'")]).await;
    check(c, "cidr", &[("10.1.0.0/16".parse::<cidr::IpCidr>().unwrap(), "'10.1.0.0/16'")]).await;
    check(c, "inet", &[("2001:db8::1/64".parse::<cidr::IpInet>().unwrap(), "'2001:db8::1/64'")]).await;
    let address = eui48::MacAddress::new([8, 0, 0x2b, 1, 2, 3]);
    check(c, "macaddr", &[(address, "'08:00:2b:01:02:03'")]).await;

    let corners = [(0.5, -1.0), (3.0, 4.25)];
    check(c, "point", &[(geo_types::Point::new(0.5, -1.0), "'(0.5,-1)'")]).await;
    check(c, "box", &[(geo_types::Rect::new(corners[0], corners[1]), "'(3,4.25),(0.5,-1)'")]).await;
    check(c, "path", &[(geo_types::LineString::from(corners.to_vec()), "'[(0.5,-1),(3,4.25)]'")]).await;

    use jiff::civil;
    let (day, hour) = (civil::date(2024, 2, 29), civil::time(12, 34, 56, 789_012_000));
    check(c, "date", &[(day, "'2024-02-29'")]).await;
    check(c, "time", &[(hour, "'12:34:56.789012'")]).await;
    check(c, "timestamp", &[(civil::DateTime::from_parts(day, hour), "'2024-02-29 12:34:56.789012'")]).await;
    let moment: jiff::Timestamp = "2024-02-29T12:34:56.789012Z".parse().unwrap();
    check(c, "timestamptz", &[(moment, "'2024-02-29 12:34:56.789012Z'")]).await;

    for name in ["text", "varchar", "name"] {
        check(c, name, &[(smol_str::SmolStr::new("Grüße"), "'Grüße'")]).await;
    }

    let day = time::Date::from_calendar_date(2024, time::Month::February, 29).unwrap();
    let hour = time::Time::from_hms_micro(12, 34, 56, 789_012).unwrap();
    let moment = time::PrimitiveDateTime::new(day, hour);
    check(c, "date", &[(day, "'2024-02-29'")]).await;
    check(c, "time", &[(hour, "'12:34:56.789012'")]).await;
    check(c, "timestamp", &[(moment, "'2024-02-29 12:34:56.789012'")]).await;
    check(c, "timestamptz", &[(moment.assume_utc(), "'2024-02-29 12:34:56.789012Z'")]).await;
}

async fn client() -> (Stack, Client) {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    (stack, client)
}

#[tokio::test]
async fn values_of_every_rust_type_go_and_come() {
    let (_stack, client) = client().await;
    let text = |text: &str| text.to_owned();
    let numeric = |text: &str| text.parse::<Numeric>().unwrap();
    let moment: DateTime<Utc> = "2024-02-29T12:34:56.789012Z".parse().unwrap();
    let uuid: Uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".parse().unwrap();
    let c = &client;
    check(c, "bool", &[(true, "'t'"), (false, "'f'")]).await;
    check(c, "\"char\"", &[(97i8, "'a'")]).await;
    check(c, "int2", &[(i16::MIN, "'-32768'"), (i16::MAX, "32767")]).await;
    check(c, "int4", &[(i32::MIN, "'-2147483648'"), (0, "0"), (i32::MAX, "2147483647")]).await;
    check(c, "int8", &[(i64::MIN, "'-9223372036854775808'"), (i64::MAX, "9223372036854775807")]).await;
    check(c, "oid", &[(u32::MAX, "4294967295")]).await;
    check(c, "float4", &[(1.5f32, "1.5"), (f32::INFINITY, "'Infinity'")]).await;
    check(
        c,
        "float8",
        &[(0.1f64, "0.1"), (f64::NEG_INFINITY, "'-Infinity'"), (f64::MAX, "1.7976931348623157e308")],
    )
    .await;
    for value in
        ["0", "-12.50", "12345678901234567890.12345678901234567890", "0.0001", "10000", "NaN", "Infinity"]
    {
        check(c, "numeric", &[(numeric(value), &format!("'{value}'"))]).await;
    }
    for name in ["text", "varchar", "varchar(20)", "name"] {
        check(c, name, &[(text("Grüße"), "'Grüße'"), (text(""), "''")]).await;
    }
    check(c, "char(5)", &[(text("ab   "), "'ab'")]).await;
    check(c, "bytea", &[(vec![0u8, 255], r"'\x00ff'"), (vec![], "''")]).await;
    check(c, "date", &[("2024-02-29".parse::<NaiveDate>().unwrap(), "'2024-02-29'")]).await;
    check(c, "time", &[("23:59:59.999999".parse::<NaiveTime>().unwrap(), "'23:59:59.999999'")]).await;
    check(
        c,
        "timestamp",
        &[("1900-01-01T00:00:00".parse::<NaiveDateTime>().unwrap(), "'1900-01-01 00:00:00'")],
    )
    .await;
    check(c, "timestamptz", &[(moment, "'2024-02-29 12:34:56.789012+00'")]).await;
    check(c, "timestamptz", &[(SystemTime::UNIX_EPOCH + Duration::from_secs(1), "'1970-01-01 00:00:01+00'")])
        .await;
    check(c, "uuid", &[(uuid, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'")]).await;
    check(c, "json", &[(json!({"a": [1, "ü", null]}), r#"'{"a":[1,"ü",null]}'"#)]).await;
    check(c, "jsonb", &[(json!({"a": [1, "ü", null]}), r#"'{"a": [1, "ü", null]}'"#)]).await;
    check(
        c,
        "inet",
        &[(IpAddr::from([10, 0, 0, 1]), "'10.0.0.1'"), ("::1".parse::<IpAddr>().unwrap(), "'::1'")],
    )
    .await;

    check(c, "bool[]", &[(vec![Some(true), None], "'{t,NULL}'")]).await;
    check(c, "int2[]", &[(vec![1i16, 2], "'{1,2}'")]).await;
    check(c, "int4[]", &[(vec![Some(1i32), None], "'{1,NULL}'"), (vec![], "'{}'")]).await;
    check(c, "int8[]", &[(vec![i64::MAX], "'{9223372036854775807}'")]).await;
    check(c, "float8[]", &[(vec![1.5f64], "'{1.5}'")]).await;
    check(c, "numeric[]", &[(vec![numeric("1.50"), numeric("-3")], "'{1.50,-3}'")]).await;
    check(
        c,
        "text[]",
        &[(
            vec![Some(text(r#"a "b" \c, {d}"#)), None, Some(text("NULL"))],
            r#"array['a "b" \c, {d}', null, 'NULL']"#,
        )],
    )
    .await;
    check(c, "bytea[]", &[(vec![vec![0u8, 255]], r"array['\x00ff'::bytea]")]).await;
    check(c, "uuid[]", &[(vec![uuid], "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'")]).await;
    check(c, "timestamptz[]", &[(vec![Some(moment), None], "'{2024-02-29 12:34:56.789012+00,NULL}'")]).await;
    check(c, "jsonb[]", &[(vec![json!({"a": "\"\\"})], r#"array['{"a": "\"\\"}'::jsonb]"#)]).await;
}

#[tokio::test]
async fn values_read_without_a_copy() {
    let (_stack, client) = client().await;
    let row = client
        .query_one("select 'Ada' as name, '\\x0102'::bytea as key, null::text as nothing", &[])
        .await
        .unwrap();
    let (name, key): (&str, &[u8]) = (row.get("name"), row.get(1));
    assert_eq!((name, key), ("Ada", &[1u8, 2][..]));
    assert_eq!(row.get::<_, Option<&str>>("nothing"), None);
    assert_eq!(row.get::<_, &str>(String::from("NAME")), "Ada");
    assert_eq!(row.try_get_raw("nothing").unwrap(), None);
}

/// Runs `sql` with one parameter and gives the text of its one value.
async fn ask(client: &Client, sql: &str, value: &(dyn ToSql + Sync)) -> String {
    let row = client.query_one(sql, &[value]).await;
    row.unwrap_or_else(|error| panic!("{sql} with {value:?}: {error}")).get(0)
}

#[tokio::test]
async fn a_parameter_meets_types_that_are_not_its_own() {
    let (_stack, client) = client().await;
    client
        .batch_execute(
            "create type mood as enum ('sad', 'happy'); create domain positive as int4 check (value > 0);
             create table meet (big int8, small int2, middle int4, exact numeric, ratio float8, stamp timestamptz,
                day date, key uuid, address inet, feeling mood, tags text[], moods mood[], keys uuid[], document jsonb,
                age positive, span interval, range int4range)",
        )
        .await
        .unwrap();
    let key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let c = &client;
    for (column, value, expected) in [
        ("big", &1i32 as &(dyn ToSql + Sync), "1"),
        ("big", &1i16, "1"),
        ("big", &"1", "1"),
        ("small", &1i32, "1"),
        ("small", &1i64, "1"),
        ("middle", &1i64, "1"),
        ("exact", &1i32, "1"),
        ("exact", &1.5f64, "1.5"),
        ("exact", &"1.50", "1.50"),
        ("ratio", &1i64, "1"),
        ("ratio", &1.5f32, "1.5"),
        ("stamp", &"2024-02-29 00:00:00Z", "2024-02-29 00:00:00+00"),
        ("day", &"2024-02-29", "2024-02-29"),
        ("key", &key, key),
        ("address", &"10.0.0.0/8", "10.0.0.0/8"),
        ("feeling", &"happy", "happy"),
        ("feeling", &Some(String::from("sad")), "sad"),
        ("tags", &vec!["a", "b"], "{a,b}"),
        ("moods", &vec!["sad", "happy"], "{sad,happy}"),
        ("keys", &vec![key], &format!("{{{key}}}")),
        ("document", &json!({"a": 1}), r#"{"a": 1}"#),
        ("document", &r#"{"a":1}"#, r#"{"a": 1}"#),
        ("age", &7i32, "7"),
        ("span", &"1 day", "1 day"),
        ("range", &"[1,5)", "[1,5)"),
    ] {
        let sql = format!("insert into meet ({column}) values ($1) returning {column}::text");
        assert_eq!(ask(c, &sql, value).await, expected, "{column} from {value:?}");
    }
    for column in ["big", "exact", "stamp", "key", "feeling", "tags", "document", "age"] {
        let sql =
            format!("insert into meet ({column}) values ($1) returning coalesce({column}::text, 'NULL')");
        assert_eq!(ask(c, &sql, &None::<&str>).await, "NULL", "{column} from None");
    }
    for (condition, value) in [
        ("big = $1", &1i32 as &(dyn ToSql + Sync)),
        ("big = any($1)", &vec![1i32, 2]),
        ("middle = any($1)", &vec![1i64]),
        ("small < $1", &2i64),
        ("exact = $1", &"1.50"),
        ("key = $1", &key),
        ("key = any($1)", &vec![key]),
        ("feeling = $1", &"sad"),
        ("feeling = any($1)", &vec!["sad", "happy"]),
        ("stamp < $1", &SystemTime::now()),
        ("day < $1", &Utc::now()),
        ("document @> $1", &json!({"a": 1})),
        ("tags @> $1", &vec!["a"]),
        ("address << $1", &"0.0.0.0/0"),
        ("range @> $1", &3i32),
    ] {
        let sql = format!("select (count(*) > 0)::text from meet where {condition}");
        assert_eq!(ask(c, &sql, value).await, "true", "{condition} with {value:?}");
    }
    assert_eq!(ask(c, "select count(*)::text from generate_series(1, $1)", &3i64).await, "3");
    assert_eq!(ask(c, "select (now() - $1 * interval '1 day' < now())::text", &3i32).await, "true");
    assert_eq!(ask(c, "select string_agg(s, '-') from unnest($1::text[]) s", &vec!["a", "b"]).await, "a-b");
    assert_eq!(ask(c, "select ($1 is null)::text", &None::<i32>).await, "true");
    assert_eq!(ask(c, "select substring('abcdef' from $1)", &3i32).await, "cdef");
}

#[derive(Debug, PartialEq, ToSql)]
#[postgres(name = "mood", rename_all = "snake_case")]
enum Mood {
    Sad,
    Happy,
}

#[tokio::test]
async fn types_that_are_not_built_in_are_named_or_travel_as_text() {
    let (_stack, client) = client().await;
    client
        .batch_execute("create type mood as enum ('sad', 'happy'); create type pair as (a int4, b text)")
        .await
        .unwrap();
    let mood =
        Type::new("mood".into(), 0, types::Kind::Enum(vec!["sad".into(), "happy".into()]), "public".into());
    let sql = "select $1::mood as mood, $2::mood";
    let rows = client.query_typed(sql, &[(&Mood::Happy, mood.clone()), (&Mood::Sad, mood)]).await.unwrap();
    assert_eq!(rows[0].columns()[0].type_(), &Type::UNKNOWN);
    assert!(rows[0].columns()[0].type_oid() >= 16384);
    assert_eq!((rows[0].get::<_, &str>(0), rows[0].get::<_, String>(1)), ("happy", "sad".to_owned()));

    let error = client.query_one("select $1::mood", &[&Mood::Sad]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("query_typed"), "{error}");

    for sql in ["select row(1, 'x')::pair", "select array['sad']::mood[]", "select null::pair"] {
        let row = client.query_one(sql, &[]).await.unwrap();
        let error = row.try_get::<_, &str>(0).unwrap_err();
        assert_eq!(error.kind(), Kind::Decode);
        assert!(error.to_string().contains("which is not built in"), "{error}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_gives_an_error_that_names_the_column_and_both_types() {
    let (_stack, client) = client().await;
    let row =
        client.query_one("select 1::int8 as id, null::text as name, 'x' as x, 'y' as x", &[]).await.unwrap();
    fn failed<'a, T: FromSql<'a> + Debug>(row: &'a onetrip::Row, name: &str) -> String {
        let error = row.try_get::<_, T>(name).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (Kind::Decode, onetrip::Outcome::Executed));
        error.to_string()
    }
    for (text, parts) in [
        (failed::<i32>(&row, "id"), ["\"id\"", "int8", "i32"]),
        (failed::<&str>(&row, "name"), ["\"name\"", "text", "NULL"]),
        (failed::<Value>(&row, "x"), ["\"x\"", "text", "Value"]),
        (failed::<i64>(&row, "idd"), ["no column \"idd\"", "4 columns", "id, name, x, x"]),
    ] {
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(row.try_get::<_, i64>(4).unwrap_err().to_string().contains("no column 4"));
    assert_eq!((row.get::<_, &str>("x"), row.get::<_, &str>(3)), ("x", "y"));
}

#[tokio::test]
async fn a_moment_that_rust_cannot_hold_is_an_error_and_no_panic() {
    let (_stack, client) = client().await;
    let sql = "select 'infinity'::timestamptz, '-infinity'::timestamp, '5874897-12-31'::date, '290000-01-01'::timestamptz";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.try_get::<_, DateTime<Utc>>(0).unwrap_err().kind(), Kind::Decode);
    assert_eq!(row.try_get::<_, NaiveDateTime>(1).unwrap_err().kind(), Kind::Decode);
    assert_eq!(row.try_get::<_, NaiveDate>(2).unwrap_err().kind(), Kind::Decode);
    assert_eq!(row.try_get::<_, DateTime<Utc>>(3).unwrap_err().kind(), Kind::Decode);
    let infinity: types::Timestamp<DateTime<Utc>> = row.get(0);
    assert_eq!(infinity, types::Timestamp::PosInfinity);
}

#[tokio::test]
async fn an_extension_value_goes_in_its_binary_form_where_its_type_stands() {
    let (_stack, client) = client().await;
    let available: i64 = client
        .query_one("select count(*) from pg_available_extensions where name = 'hstore'", &[])
        .await
        .unwrap()
        .get(0);
    if available == 0 {
        println!("skipped: this PostgreSQL has no hstore");
        return;
    }
    client.execute("create extension hstore", &[]).await.unwrap();
    let map = HashMap::from([(String::from("a"), Some(String::from("1"))), (String::from("b"), None)]);
    let row =
        client.query_one("select $1::hstore -> 'a' as a, akeys($1::hstore) as keys", &[&map]).await.unwrap();
    assert_eq!((row.get::<_, &str>("a"), row.get::<_, Vec<&str>>("keys")), ("1", vec!["a", "b"]));
}
