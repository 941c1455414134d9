//! Bytes of an answer into structs, in wasm: frames by onetrip's derive, and the JSON of profile 2 by serde_json's.

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use onetrip::transport::{BoxFuture, Clock, Failure, Request, Response, Transport};
use onetrip::{Client, FromRow};
use serde::{Deserialize, Deserializer};
use wasm_bindgen::prelude::wasm_bindgen;

/// The row: id int4, account_id int8, name text, city text, active bool, score float8, created_at timestamptz, settings json.
#[derive(FromRow, Deserialize)]
struct User<'a> {
    id: i32,
    #[serde(deserialize_with = "number")]
    account_id: i64,
    #[serde(borrow)]
    name: Cow2<'a>,
    #[serde(borrow)]
    city: Option<Cow2<'a>>,
    active: bool,
    score: Option<f64>,
    #[serde(deserialize_with = "moment")]
    created_at: DateTime<Utc>,
    #[serde(borrow)]
    settings: Json<'a>,
}

/// Text, borrowed where it can be: of JSON only what has no escapes.
struct Cow2<'a>(Cow<'a, str>);

impl<'a> onetrip::types::FromSql<'a> for Cow2<'a> {
    fn from_sql(
        ty: &onetrip::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        <&str as onetrip::types::FromSql>::from_sql(ty, raw).map(|text| Cow2(Cow::Borrowed(text)))
    }

    fn accepts(ty: &onetrip::types::Type) -> bool {
        <&str as onetrip::types::FromSql>::accepts(ty)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Cow2<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> serde::de::Visitor<'de> for Text {
            type Value = Cow2<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow2<'de>, E> {
                Ok(Cow2(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cow2<'de>, E> {
                Ok(Cow2(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A json document, left as its text in both.
struct Json<'a>(&'a str);

impl<'a> onetrip::types::FromSql<'a> for Json<'a> {
    fn from_sql(
        _: &onetrip::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(std::str::from_utf8(raw)?))
    }

    fn accepts(ty: &onetrip::types::Type) -> bool {
        *ty == onetrip::types::Type::JSON
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&serde_json::value::RawValue>::deserialize(deserializer).map(|raw| Json(raw.get()))
    }
}

/// int8 comes as text, for JavaScript's sake.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    <&str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// `2024-02-29 12:34:56.789012+00`
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    let parsed = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z");
    parsed.map(|moment| moment.to_utc()).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    rows: Vec<User<'a>>,
}

thread_local! {
    static FRAMES: RefCell<Bytes> = RefCell::default();
    static JSON: RefCell<Vec<u8>> = RefCell::default();
}

/// Makes the inputs.
#[wasm_bindgen]
pub fn prepare(rows: i32) {
    let mut out = Vec::new();
    let mut push = |tag: u8, body: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(body);
    };
    let columns = [
        ("id", 23),
        ("account_id", 20),
        ("name", 25),
        ("city", 25),
        ("active", 16),
        ("score", 701),
        ("created_at", 1184),
        ("settings", 114),
    ];
    let mut description = (columns.len() as u16).to_be_bytes().to_vec();
    for (name, oid) in columns {
        description.extend_from_slice(name.as_bytes());
        description.extend_from_slice(&[0; 7]);
        description.extend_from_slice(&u32::to_be_bytes(oid));
        description.extend_from_slice(&[0, 0, 255, 255, 255, 255, 0, 1]);
    }
    push(b'T', &description);
    let mut json = Vec::new();
    for id in 1..=rows {
        let account = 9_007_199_254_740_993 + i64::from(id);
        let name = format!("Customer number {id}");
        let city = (id % 10 != 0).then_some(if id % 4 == 0 { "Köln am Rhein" } else { "Springfield" });
        let score = (id % 20 != 0).then_some(f64::from(id) * 1.000_123_456_7 / 3.0);
        let microseconds = 760_000_000_000_000 + i64::from(id) * 1_234_567;
        let settings = format!("{{\"theme\": \"dark\", \"level\": {id}}}");
        let mut row = (columns.len() as u16).to_be_bytes().to_vec();
        let mut value = |bytes: Option<&[u8]>| match bytes {
            None => row.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(bytes) => {
                row.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                row.extend_from_slice(bytes);
            }
        };
        value(Some(&id.to_be_bytes()));
        value(Some(&account.to_be_bytes()));
        value(Some(name.as_bytes()));
        value(city.map(str::as_bytes));
        value(Some(&[u8::from(id % 3 == 0)]));
        value(score.map(f64::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
        value(Some(&microseconds.to_be_bytes()));
        value(Some(settings.as_bytes()));
        push(b'D', &row);
        let epoch: DateTime<Utc> = "2000-01-01T00:00:00Z".parse().expect("a date");
        let created = (epoch + TimeDelta::microseconds(microseconds)).format("%Y-%m-%d %H:%M:%S%.6f+00");
        json.push(serde_json::json!({
            "id": id, "account_id": account.to_string(), "name": name, "city": city, "active": id % 3 == 0,
            "score": score, "created_at": created.to_string(),
            "settings": serde_json::from_str::<serde_json::Value>(&settings).expect("valid JSON"),
        }));
    }
    push(b'C', format!("SELECT {rows}\0").as_bytes());
    push(b'Z', b"I");
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, oid)| {
            serde_json::json!({
                "name": name, "dataTypeID": oid, "tableID": 0, "columnID": 0, "dataTypeSize": -1,
                "dataTypeModifier": -1, "format": "text",
            })
        })
        .collect();
    let json = serde_json::json!({
        "fields": fields, "rows": json, "command": "SELECT", "rowCount": rows, "rowAsArray": false,
    });
    FRAMES.set(out.into());
    JSON.set(json.to_string().into_bytes());
}

fn sum<'a>(users: impl Iterator<Item = User<'a>>) -> f64 {
    users
        .map(|user| {
            let texts =
                user.name.0.len() + user.city.map_or(0, |city| city.0.len()) + user.settings.0.len().min(1);
            f64::from(user.id)
                + user.account_id as f64
                + f64::from(u8::from(user.active))
                + texts as f64
                + user.score.unwrap_or(0.0)
                + user.created_at.timestamp_micros() as f64
        })
        .sum()
}

/// Reads the frames `times` times; the sum shows that both read the same.
#[wasm_bindgen]
pub fn frames(times: u32) -> f64 {
    let config = "https://app:secret@db.example.com/shop".parse::<onetrip::Config>().expect("a valid URL");
    let client = Client::with_transport(config, Memory);
    let mut total = 0.0;
    for _ in 0..times {
        let Poll::Ready(rows) =
            pin!(client.query("select", &[])).poll(&mut Context::from_waker(Waker::noop()))
        else {
            unreachable!("nothing waits")
        };
        let rows = rows.expect("a whole answer");
        let users: Result<Vec<User<'_>>, _> = rows.iter().map(User::from_row).collect();
        total = sum(users.expect("rows of this type").into_iter());
    }
    total
}

/// Reads the JSON `times` times.
#[wasm_bindgen]
pub fn json(times: u32) -> f64 {
    JSON.with_borrow(|json| {
        let mut total = 0.0;
        for _ in 0..times {
            let output: Output<'_> = serde_json::from_slice(json).expect("rows of this type");
            total = sum(output.rows.into_iter());
        }
        total
    })
}

/// Answers from memory, copying the bytes as a transport does.
struct Memory;

impl Transport for Memory {
    fn send(&self, _request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let bytes = FRAMES.with_borrow(|bytes| bytes.to_vec());
        let headers = vec![("content-type", "application/vnd.onetrip.pgwire".to_owned())];
        Box::pin(async move { Ok(Response::whole(200, headers, bytes)) })
    }

    fn clock(&self) -> &dyn Clock {
        self
    }
}

impl Clock for Memory {
    fn now_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _milliseconds: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u32 {
        0
    }
}
