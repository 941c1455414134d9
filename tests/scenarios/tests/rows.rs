//! Rows as tuples, structs and what serde makes of them, and types that are not built in, against a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use onetrip::types::{self, FromSql, ToSql, Type};
use onetrip::{Client, Error, FromRow, Kind, Numeric};
use onetrip_tests::Stack;
use serde::Deserialize;
use uuid::Uuid;

async fn start() -> (Stack, Client) {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    (stack, client)
}

/// Checks that reading fails and that the text says all of `parts`.
fn check_refused<T>(read: Result<T, Error>, parts: &[&str]) {
    let Err(error) = read else { panic!("it was read, where {parts:?} was expected") };
    assert_eq!((error.kind(), error.outcome()), (Kind::Decode, onetrip::Outcome::Executed), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` in {error}");
    }
}

#[derive(Debug, PartialEq, FromRow)]
struct Address<'a> {
    city: &'a str,
    #[onetrip(rename = "zip code")]
    zip: Option<String>,
}

#[derive(Debug, PartialEq, FromRow)]
struct User<'a> {
    id: i64,
    name: &'a str,
    r#type: String,
    key: &'a [u8],
    #[onetrip(flatten)]
    address: Address<'a>,
    #[onetrip(default)]
    visits: i32,
}

#[derive(Debug, PartialEq, FromRow)]
struct Pair<A, B>(A, B);

#[derive(Debug, PartialEq, FromRow)]
struct Named<T> {
    value: T,
}

#[tokio::test]
async fn a_row_reads_as_a_struct_by_name_and_as_a_tuple_by_order() {
    let (_stack, client) = start().await;
    let sql =
        "select 'Berlin' as city, null::text as \"zip code\", 7::int8 as id, 'Ada' as name, 'admin' as type,
               '\\x0102'::bytea as key, now() as extra";
    let row = client.query_one(sql, &[]).await.unwrap();
    let user = User::from_row(&row).unwrap();
    let expected = User {
        id: 7,
        name: "Ada",
        r#type: "admin".into(),
        key: &[1, 2],
        address: Address { city: "Berlin", zip: None },
        visits: 0,
    };
    assert_eq!(user, expected);

    let pairs: Vec<(i32, String)> =
        client.query_as("select i, 'n' || i from generate_series(1, 2) i", &[]).await.unwrap();
    assert_eq!(pairs, [(1, "n1".to_owned()), (2, "n2".to_owned())]);
    let pairs: Vec<Pair<i32, Option<String>>> = client.query_as("select 1, null::text", &[]).await.unwrap();
    assert_eq!(pairs, [Pair(1, None)]);
    let named: Vec<Named<Uuid>> = client.query_as("select $1 as value", &[&Uuid::nil()]).await.unwrap();
    assert_eq!(named, [Named { value: Uuid::nil() }]);
}

#[tokio::test]
async fn a_row_that_is_not_what_was_asked_for_names_the_column_and_both_types() {
    let (_stack, client) = start().await;
    let row = client.query_one("select 1::int4 as value, 'x' as name", &[]).await.unwrap();
    check_refused(Named::<i64>::from_row(&row), &["\"value\"", "int4", "i64"]);
    check_refused(Address::from_row(&row), &["no column \"city\"", "value, name"]);
    check_refused(<(i32,)>::from_row(&row), &["2 columns", "1 values"]);
    check_refused(Pair::<i32, Vec<u8>>::from_row(&row), &["\"name\"", "text", "Vec<u8>"]);
    let row = client.query_one("select null::int4 as value", &[]).await.unwrap();
    check_refused(Named::<i32>::from_row(&row), &["\"value\"", "int4", "i32", "NULL"]);
    let read: Result<Vec<Named<i64>>, Error> = client.query_as("select 1::int4 as value", &[]).await;
    check_refused(read, &["\"value\"", "int4", "i64"]);
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Low,
    High,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Everything<'a> {
    yes: bool,
    small: i16,
    big: i64,
    unsigned: u32,
    ratio: f64,
    name: &'a str,
    nothing: Option<i32>,
    something: Option<i32>,
    exact: String,
    key: Uuid,
    moment: DateTime<Utc>,
    day: NaiveDate,
    numbers: Vec<Option<i32>>,
    grid: Vec<Vec<i32>>,
    words: Vec<String>,
    #[serde(with = "serde_bytes_as_slice")]
    bytes: &'a [u8],
    document: BTreeMap<String, serde_json::Value>,
    raw: String,
    level: Level,
    range: String,
    span: String,
}

/// `&[u8]` is read as bytes and not as a sequence.
mod serde_bytes_as_slice {
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<&'de [u8], D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

#[tokio::test]
async fn a_row_reads_by_serde_with_every_type_it_has_a_word_for() {
    let (_stack, client) = start().await;
    client.batch_execute("create type level as enum ('low', 'high')").await.unwrap();
    let sql = r#"select true as yes, (-7)::int2 as small, 9223372036854775807 as big, 4294967295::oid as unsigned,
        1.5::float8 as ratio, 'Grüße' as name, null::int4 as nothing, 3 as something, 12.50 as exact,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as key, '2024-02-29 12:34:56.789012+00'::timestamptz as moment,
        '2024-02-29'::date as day, array[1, null] as numbers, array[[1, 2], [3, 4]] as grid, array['a "b"', 'c'] as words,
        '\x00ff'::bytea as bytes, '{"a": [1, null]}'::jsonb as document, '{"b":  1}'::json as raw, 'high'::level as level,
        '[1,5)'::int4range as range, '1 mon 2 days 03:04:05.6'::interval as span"#;
    let row = client.query_one(sql, &[]).await.unwrap();
    let read: Everything<'_> = row.deserialize().unwrap();
    let expected = Everything {
        yes: true,
        small: -7,
        big: i64::MAX,
        unsigned: u32::MAX,
        ratio: 1.5,
        name: "Grüße",
        nothing: None,
        something: Some(3),
        exact: "12.50".into(),
        key: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".parse().unwrap(),
        moment: "2024-02-29T12:34:56.789012Z".parse().unwrap(),
        day: "2024-02-29".parse().unwrap(),
        numbers: vec![Some(1), None],
        grid: vec![vec![1, 2], vec![3, 4]],
        words: vec!["a \"b\"".into(), "c".into()],
        bytes: &[0, 255],
        document: BTreeMap::from([("a".into(), serde_json::json!([1, null]))]),
        raw: r#"{"b":  1}"#.into(),
        level: Level::High,
        range: r#"["1","5")"#.into(),
        span: "1 mons 2 days 03:04:05.600000".into(),
    };
    assert_eq!(read, expected);

    let row = client.query_one("select 7 as a, 'x' as b", &[]).await.unwrap();
    assert_eq!(row.deserialize::<(i32, &str)>().unwrap(), (7, "x"));
    assert_eq!(row.deserialize::<serde_json::Value>().unwrap(), serde_json::json!({"a": 7, "b": "x"}));
    let only = client.query_one("select 7", &[]).await.unwrap();
    assert_eq!(only.deserialize::<i64>().unwrap(), 7);

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is never made")]
    struct Wrong {
        a: String,
    }
    check_refused(row.deserialize::<Wrong>(), &["column 0 (\"a\")", "int4", "string", "Wrong"]);
    check_refused(row.deserialize::<Named2>(), &["missing field `value`", "Named2"]);
    check_refused(row.deserialize::<(i32,)>(), &["2 columns"]);
    let null = client.query_one("select null::int4 as value", &[]).await.unwrap();
    check_refused(null.deserialize::<Named2>(), &["column 0 (\"value\")", "int4", "i32"]);
    let large = client.query_one("select 70000 as value", &[]).await.unwrap();
    check_refused(large.deserialize::<BTreeMap<String, i16>>(), &["column 0 (\"value\")", "70000"]);
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "it is never made")]
struct Named2 {
    value: i32,
}

#[derive(Debug, Clone, PartialEq, ToSql, FromSql)]
#[postgres(name = "mood", rename_all = "snake_case")]
enum Mood {
    Sad,
    Happy,
}

#[derive(Debug, Clone, PartialEq, ToSql, FromSql)]
#[postgres(name = "visit")]
struct Visit {
    id: i64,
    mood: Option<Mood>,
    tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, ToSql, FromSql)]
#[postgres(name = "age")]
struct Age(i32);

const TYPES: &str = "create type mood as enum ('sad', 'happy'); create domain age as int4 check (value >= 0);
    create type visit as (id int8, mood mood, tags text[]); create type agerange as range (subtype = float8);
    create table people (id int4 generated always as identity, mood mood, moods mood[], age age, visit visit,
        visits visit[])";

#[tokio::test]
async fn a_derived_enum_reads_from_a_result_in_one_trip_and_a_composite_says_what_to_do() {
    let (_stack, client) = start().await;
    client.batch_execute(TYPES).await.unwrap();
    let sql = "select 'happy'::mood as mood, null::mood as none, array['sad', null]::mood[] as moods, '{}'::mood[] as empty,
               row(1, 'sad', '{a}')::visit as visit, 7::age as age, array[row(1, 'sad', '{a}')::visit] as visits";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, Mood>("mood"), Mood::Happy);
    assert_eq!(
        (row.get::<_, Option<Mood>>("mood"), row.get::<_, Option<Mood>>("none")),
        (Some(Mood::Happy), None)
    );
    assert_eq!(row.get::<_, Vec<Option<Mood>>>("moods"), [Some(Mood::Sad), None]);
    assert_eq!(row.get::<_, Vec<Option<String>>>("moods"), [Some("sad".to_owned()), None]);
    assert_eq!(row.get::<_, Vec<Mood>>("empty"), []);
    assert_eq!(row.get::<_, Age>("age"), Age(7));

    check_refused(row.try_get::<_, Visit>("visit"), &["\"visit\"", "not built in", "look_up_types"]);
    check_refused(row.try_get::<_, Vec<Visit>>("visits"), &["\"visits\""]);
    // Nothing that is asked of such a value panics.
    check_refused(row.try_get::<_, i32>("mood"), &["i32"]);
    check_refused(row.try_get::<_, Vec<Mood>>("mood"), &["Vec"]);
    check_refused(row.try_get::<_, Mood>("moods"), &["Mood"]);
    check_refused(row.try_get::<_, Vec<Vec<Mood>>>("moods"), &["Vec"]);
    check_refused(row.try_get::<_, Vec<i32>>("moods"), &["Vec<i32>"]);
    check_refused(row.try_get::<_, Visit>("mood"), &["Visit"]);
    check_refused(row.try_get::<_, String>("visit"), &["look_up_types", "text"]);
    check_refused(row.try_get::<_, Mood>("none"), &["NULL"]);
    let other = client.query_one("select 'angry'::text::varchar as text", &[]).await.unwrap();
    check_refused(other.try_get::<_, Mood>(0), &["varchar", "Mood"]);
}

#[tokio::test]
async fn types_that_were_looked_up_go_and_come_like_built_in_ones() {
    let (stack, client) = start().await;
    client.batch_execute(TYPES).await.unwrap();
    let error = client.query("select $1::mood", &[&Mood::Sad]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("look_up_types"), "{error}");

    stack.pipeline(&serde_json::json!({"sql": "select 1"})).await;
    stack.proxy.forget();
    let client = client.look_up_types(&["visit", "public.mood", "age", "agerange"]).await.unwrap();
    assert_eq!(stack.proxy.flights().len(), 1);
    let visit = Visit { id: 7, mood: Some(Mood::Sad), tags: vec!["a".into(), "b c".into()] };
    let none = Visit { id: 8, mood: None, tags: vec![] };
    let moods = vec![Mood::Happy, Mood::Sad];
    let visits = vec![visit.clone(), none.clone()];
    let sql = "insert into people (mood, moods, age, visit, visits) values ($1, $2, $3, $4, $5)
               returning mood, moods, age, visit, visits, 'sad' = mood as is_sad";
    let row = client.query_one(sql, &[&Mood::Sad, &moods, &Age(3), &visit, &visits]).await.unwrap();
    assert_eq!((row.get("mood"), row.get("age"), row.get("is_sad")), (Mood::Sad, Age(3), true));
    assert_eq!(row.get::<_, Vec<Mood>>("moods"), moods);
    assert_eq!((row.get::<_, Visit>("visit"), row.get::<_, Vec<Visit>>("visits")), (visit, visits));
    assert_eq!(row.columns().first().unwrap().type_().name(), "mood");
    let nulls: [Option<&str>; 2] = client
        .query_one("select $1::mood::text, $2::visit::text", &[&None::<Mood>, &None::<Visit>])
        .await
        .map(|row| [row.get::<_, Option<String>>(0), row.get(1)].map(|text| text.map(|_| "")))
        .unwrap();
    assert_eq!(nulls, [None, None]);
    check_refused(row.try_get::<_, Visit>("mood"), &["\"mood\"", "mood", "Visit"]);

    let error = client.look_up_types(&["mood", "no_such_type"]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("\"no_such_type\""), "{error}");
}

#[tokio::test]
async fn types_that_were_told_need_no_look_up() {
    let (_stack, client) = start().await;
    client.batch_execute(TYPES).await.unwrap();
    let labels = vec!["sad".to_owned(), "happy".to_owned()];
    let mood = Type::new("mood".into(), 0, types::Kind::Enum(labels), "public".into());
    let client = client.with_types([mood]);
    let sql = "insert into people (mood) values ($1) returning mood";
    assert_eq!(client.query_one(sql, &[&Mood::Happy]).await.unwrap().get::<_, Mood>(0), Mood::Happy);
    let (row,) = client.transaction().query_one(sql, &[&Some(Mood::Sad)]).commit().await.unwrap();
    assert_eq!(row.get::<_, Mood>(0), Mood::Sad);
    let count = client.query_one("select count(*) from people where mood = $1", &[&Mood::Sad]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
    let _: Numeric = client.query_one("select 1.50", &[]).await.unwrap().get(0);
}
