//! The JSON of `POST /sql` as frames, values in the binary form of their types.

use std::borrow::Cow;

use bytes::BytesMut;
use postgres_types::Type;
use serde::Deserialize;

use onetrip_wire::representation::FRAMES;

use super::request::Asked;
use crate::text;
use crate::transport::Response;

/// A result; of a batch there are several.
#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    fields: Vec<Field<'a>>,
    #[serde(borrow)]
    rows: Vec<Vec<Option<Cow<'a, str>>>>,
    #[serde(borrow, default)]
    command: Cow<'a, str>,
    #[serde(rename = "rowCount", default)]
    row_count: Option<u64>,
}

#[derive(Deserialize)]
struct Outputs<'a> {
    #[serde(borrow)]
    results: Vec<Output<'a>>,
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "dataTypeID")]
    type_oid: u32,
    #[serde(rename = "tableID", default)]
    table_oid: u32,
    #[serde(rename = "columnID", default)]
    column: i16,
    #[serde(rename = "dataTypeSize", default)]
    type_size: i16,
    #[serde(rename = "dataTypeModifier", default)]
    type_modifier: i32,
}

/// A refusal; every member but the message is as in PostgreSQL's ErrorResponse.
#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(flatten, borrow)]
    fields: std::collections::BTreeMap<Cow<'a, str>, serde_json::Value>,
}

/// The members of a refusal and the codes of PostgreSQL's fields.
const FIELDS: [(&str, u8); 16] = [
    ("severity", b'V'),
    ("code", b'C'),
    ("detail", b'D'),
    ("hint", b'H'),
    ("position", b'P'),
    ("internalPosition", b'p'),
    ("internalQuery", b'q'),
    ("where", b'W'),
    ("schema", b's'),
    ("table", b't'),
    ("column", b'c'),
    ("dataType", b'd'),
    ("constraint", b'n'),
    ("file", b'F'),
    ("line", b'L'),
    ("routine", b'R'),
];

/// What an onetrip endpoint would have answered.
pub(super) fn response(asked: &Asked, received: Response, body: &[u8]) -> Response {
    let status = received.status;
    let mut headers = received.headers;
    headers.retain(|(name, _)| *name != "content-type");
    let frames = |mut headers: Vec<(&'static str, String)>, frames: Vec<u8>| {
        headers.push(("content-type", FRAMES.to_owned()));
        Response::whole(200, headers, frames)
    };
    if status == 200 {
        return match results(asked, body) {
            Some(answer) => frames(headers, answer),
            // What is no answer of such an endpoint is said to be none.
            None => Response::whole(200, headers, Vec::new()),
        };
    }
    let Ok(refusal) = serde_json::from_slice::<Refusal<'_>>(body) else {
        return Response::whole(status, headers, Vec::new());
    };
    let member =
        |name: &str| refusal.fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (sqlstate, severity) = (member("code"), member("severity"));
    if !sqlstate.is_empty() && severity != "FATAL" {
        return frames(headers, failure(asked, &refusal));
    }
    let (code, status, retryable) = match (sqlstate, status) {
        ("28P01" | "28000", _) | (_, 401 | 403) => ("invalid_credentials", 401, false),
        ("3D000", _) => ("unknown_database", 404, false),
        ("53300", _) | (_, 429) => ("too_many_requests", 429, true),
        ("57P03", _) => ("database_unreachable", 502, true),
        (_, 413) => ("request_too_large", 413, false),
        // The server gave up the session, which may have been behind the statement.
        (sqlstate, 400..=499) if !sqlstate.is_empty() => ("connection_lost", 502, false),
        (_, 400..=499) => ("malformed_request", 400, false),
        _ => ("connection_lost", 502, false),
    };
    let problem = serde_json::json!({
        "code": code, "detail": refusal.message, "retryable": retryable, "sqlstate": sqlstate, "status": status,
    });
    headers.push(("content-type", "application/problem+json".to_owned()));
    Response::whole(status, headers, problem.to_string())
}

fn results(asked: &Asked, body: &[u8]) -> Option<Vec<u8>> {
    let outputs = if asked.is_batch() {
        serde_json::from_slice::<Outputs<'_>>(body).ok()?.results
    } else {
        vec![serde_json::from_slice::<Output<'_>>(body).ok()?]
    };
    let mut out = Vec::with_capacity(body.len());
    let (_, is_framed) = asked.shape();
    if is_framed {
        frame(&mut out, b'C', |out| out.extend_from_slice(b"BEGIN\0"));
    }
    for output in &outputs {
        write(&mut out, output)?;
    }
    if is_framed {
        frame(&mut out, b'C', |out| out.extend_from_slice(b"COMMIT\0"));
    }
    ready(&mut out);
    Some(out)
}

fn write(out: &mut Vec<u8>, output: &Output<'_>) -> Option<()> {
    let Output { fields, rows, command, row_count } = output;
    if rows.iter().any(|row| row.len() != fields.len()) {
        return None;
    }
    // Per column, the values in binary; `None` where the type, or one of them, is not known: the column stays text.
    let columns: Vec<Option<Vec<Option<BytesMut>>>> =
        (0..).zip(fields).map(|(at, field)| column(field.type_oid, at, rows)).collect();
    if !fields.is_empty() || !rows.is_empty() {
        frame(out, b'T', |out| {
            out.extend_from_slice(&u16::try_from(fields.len()).unwrap_or_default().to_be_bytes());
            for (field, binary) in fields.iter().zip(&columns) {
                out.extend(field.name.bytes().filter(|&byte| byte != 0));
                out.push(0);
                out.extend_from_slice(&field.table_oid.to_be_bytes());
                out.extend_from_slice(&field.column.to_be_bytes());
                out.extend_from_slice(&field.type_oid.to_be_bytes());
                out.extend_from_slice(&field.type_size.to_be_bytes());
                out.extend_from_slice(&field.type_modifier.to_be_bytes());
                out.extend_from_slice(&u16::from(binary.is_some()).to_be_bytes());
            }
        });
    }
    for (index, row) in rows.iter().enumerate() {
        let mut values = Vec::new();
        for (text, binary) in row.iter().zip(&columns) {
            let bytes = match binary {
                Some(binary) => binary.get(index).and_then(|value| value.as_deref()),
                None => text.as_deref().map(str::as_bytes),
            };
            match bytes {
                None => values.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(bytes) => {
                    values.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
                    values.extend_from_slice(bytes);
                }
            }
        }
        frame(out, b'D', |out| {
            out.extend_from_slice(&u16::try_from(row.len()).unwrap_or_default().to_be_bytes());
            out.extend_from_slice(&values);
        });
    }
    let tag = match (row_count, &**command) {
        (_, "") => {
            frame(out, b'I', |_| {});
            return Some(());
        }
        (Some(count), "INSERT") => format!("INSERT 0 {count}"),
        (Some(count), command) => format!("{command} {count}"),
        (None, command) => command.to_owned(),
    };
    frame(out, b'C', |out| {
        out.extend(tag.bytes().filter(|&byte| byte != 0));
        out.push(0);
    });
    Some(())
}

fn column(type_oid: u32, at: usize, rows: &[Vec<Option<Cow<'_, str>>>]) -> Option<Vec<Option<BytesMut>>> {
    let type_ = Type::from_oid(type_oid).filter(text::is_known)?;
    let value = |row: &Vec<Option<Cow<'_, str>>>| match row.get(at)? {
        None => Some(None),
        Some(text) => text::binary(&type_, text).map(Some),
    };
    rows.iter().map(value).collect()
}

/// PostgreSQL's error, behind as many statements as were sent: which of several failed, the answer does not say.
fn failure(asked: &Asked, refusal: &Refusal<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let (count, is_framed) = asked.shape();
    if asked.is_batch() {
        for _ in 0..count + usize::from(is_framed) {
            frame(&mut out, b'I', |_| {});
        }
    }
    frame(&mut out, b'E', |out| {
        let mut field = |code: u8, text: &str| {
            out.push(code);
            out.extend(text.bytes().filter(|&byte| byte != 0));
            out.push(0);
        };
        for (name, code) in FIELDS {
            match refusal.fields.get(name) {
                Some(serde_json::Value::String(text)) => field(code, text),
                Some(serde_json::Value::Number(number)) => field(code, &number.to_string()),
                _ => {}
            }
        }
        field(b'M', &refusal.message);
        out.push(0);
    });
    ready(&mut out);
    out
}

fn ready(out: &mut Vec<u8>) {
    frame(out, b'Z', |out| out.push(b'I'));
}

fn frame(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    out.push(tag);
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&body);
}
