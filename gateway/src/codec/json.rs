//! JSON request bodies: `{"sql", "params"}` or `{"batch": [{"sql", "params"}, …]}` (PROTOCOL.md section 1.1).
//!
//! Numbers keep the digits that the client wrote: a parameter is cut out of the body, not read into a number.

use std::borrow::Cow;

use bytes::Bytes;
use onetrip_wire::encoder::Batch;
use onetrip_wire::frontend::{self, Parameter, Statement};
use onetrip_wire::representation::Representation;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Pipeline;
use crate::failure::Failure;
use crate::session_settings::SessionSettings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    batch: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// A member that is there, `null` included: `null` is not the same as nothing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body into frames: text parameters without declared types, text results.
pub(super) fn decode(body: &[u8], representation: Representation) -> Result<Pipeline, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Failure::malformed(format!("byte {}: the body is not UTF-8", error.valid_up_to()))
    })?;
    let body: Body<'_> = object("the body", text)?;
    let mut frames = Vec::with_capacity(text.len() + 64);
    let batch = match (body.sql, body.batch) {
        (Some(sql), None) => {
            statement(&mut frames, "", sql, body.params)?;
            Batch::Single
        }
        (None, Some(batch)) => {
            if body.params.is_some() {
                return Err(Failure::malformed(
                    "params stands beside batch; each element of batch has its own params",
                ));
            }
            let items: Vec<&RawValue> = serde_json::from_str(batch.get())
                .map_err(|_| Failure::malformed("batch must be an array of {\"sql\": …, \"params\": […]}"))?;
            if items.is_empty() {
                return Err(Failure::malformed("batch is empty; it must hold at least one statement"));
            }
            for (index, item) in items.iter().enumerate() {
                let item: Item<'_> = object(&format!("batch[{index}]"), item.get())?;
                let sql =
                    item.sql.ok_or_else(|| Failure::malformed(format!("batch[{index}].sql is missing")))?;
                statement(&mut frames, &format!("batch[{index}]."), sql, item.params)?;
            }
            Batch::Many
        }
        (Some(_), Some(_)) => {
            return Err(Failure::malformed("the body has sql and batch; send one of them"));
        }
        (None, None) => {
            return Err(Failure::malformed(
                "the body has neither sql nor batch; send {\"sql\": \"select $1::int\", \"params\": [1]}",
            ));
        }
    };
    frontend::sync(&mut frames);
    Ok(Pipeline {
        frames: Bytes::from(frames),
        groups: 1,
        script: false,
        batch,
        representation,
        transaction: Bytes::new(),
        settings: SessionSettings::default(),
    })
}

fn statement(
    frames: &mut Vec<u8>,
    path: &str,
    sql: &RawValue,
    params: Option<&RawValue>,
) -> Result<(), Failure> {
    let sql = string(sql).map_err(|wrong| Failure::malformed(format!("{path}sql {wrong}")))?;
    let params: Vec<&RawValue> = match params {
        None => Vec::new(),
        Some(params) => serde_json::from_str(params.get())
            .map_err(|_| Failure::malformed(format!("{path}params must be an array")))?,
    };
    let mut values = Vec::with_capacity(params.len());
    for (index, param) in params.iter().enumerate() {
        let value =
            parameter(param).map_err(|wrong| Failure::malformed(format!("{path}params[{index}] {wrong}")))?;
        values.push(value);
    }
    let parameters: Vec<Parameter<'_>> = values
        .iter()
        .map(|value| Parameter {
            type_oid: 0,
            format: frontend::Format::Text,
            value: value.as_ref().map(|text| text.as_bytes()),
        })
        .collect();
    let statement = Statement { sql: &sql, parameters: &parameters, result_format: frontend::Format::Text };
    frontend::statement(frames, &statement).map_err(|error| {
        let member = if path.is_empty() { "the statement" } else { path.trim_end_matches('.') };
        Failure::malformed(format!("{member}: {}", error.detail()))
    })
}

/// A parameter's text; `None` is NULL.
fn parameter(raw: &RawValue) -> Result<Option<Cow<'_, str>>, &'static str> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => string(raw).map(Some),
        _ => Ok(Some(Cow::Borrowed(text))),
    }
}

fn string(raw: &RawValue) -> Result<Cow<'_, str>, &'static str> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    if !raw.get().starts_with('"') {
        return Err("must be a string");
    }
    let Text(text) =
        serde_json::from_str(raw.get()).map_err(|_| "holds an escape that stands for no character")?;
    if text.contains('\0') {
        return Err("holds a zero character, which PostgreSQL cannot store");
    }
    Ok(text)
}

/// Reads a JSON object.
fn object<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, Failure> {
    // The words are serde_json's, which name members, lines and columns, but no values.
    let wrong = |error: serde_json::Error| {
        let is_json = error.classify() == serde_json::error::Category::Data;
        Failure::malformed(if is_json {
            format!("{what}: {error}")
        } else {
            format!("{what} is not JSON: {error}")
        })
    };
    // serde would take an array for a struct, too.
    if text.trim_ascii_start().starts_with('{') {
        return serde_json::from_str(text).map_err(wrong);
    }
    serde_json::from_str::<&RawValue>(text).map_err(wrong)?;
    Err(Failure::malformed(format!("{what} must be a JSON object: {{\"sql\": …, \"params\": […]}}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use onetrip_wire::request::Request;

    fn frames(body: &str) -> Bytes {
        decode(body.as_bytes(), Representation::Frames)
            .unwrap_or_else(|failure| panic!("{body}: {failure:?}"))
            .frames
    }

    /// The parameters of the first statement, read back from its Bind frame.
    fn parameters(body: &str) -> Vec<Option<String>> {
        let frames = frames(body);
        let Request::Pipeline(groups) = Request::parse(&frames, &Default::default()).unwrap() else {
            panic!()
        };
        let bind = &frames[groups[0].statements[0].bind.clone()][5 + 2..];
        assert_eq!(bind[..2], [0, 0], "text format");
        let count = u16::from_be_bytes([bind[2], bind[3]]);
        let mut rest = &bind[4..];
        let mut values = Vec::new();
        for _ in 0..count {
            let len = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            values.push(usize::try_from(len).ok().map(|len| {
                let value = String::from_utf8(rest[..len].to_vec()).unwrap();
                rest = &rest[len..];
                value
            }));
        }
        values
    }

    #[test]
    fn parameters_keep_what_the_client_wrote() {
        let body = r#"{"sql": "select 1", "params": [null, "a\u00e9\n", 1e400, 0.10, -9007199254740993, true, false,
            [1, "x"], {"a": 1.50}, ""]}"#;
        let expected = [
            None,
            Some("aé\n"),
            Some("1e400"),
            Some("0.10"),
            Some("-9007199254740993"),
            Some("true"),
            Some("false"),
            Some(r#"[1, "x"]"#),
            Some(r#"{"a": 1.50}"#),
            Some(""),
        ];
        assert_eq!(parameters(body), expected.map(|value| value.map(str::to_owned)));
        assert_eq!(parameters(r#"{"sql": "select 1"}"#), Vec::<Option<String>>::new());
    }

    #[test]
    fn a_batch_is_one_group() {
        let frames = frames(r#"{"batch": [{"sql": "a"}, {"sql": "b", "params": [1]}]}"#);
        let Request::Pipeline(groups) = Request::parse(&frames, &Default::default()).unwrap() else {
            panic!()
        };
        assert_eq!(groups.len(), 1);
        let sql = groups[0].statements.iter().map(|statement| &frames[statement.sql.clone()]);
        assert_eq!(sql.collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn a_wrong_body_is_refused_with_the_member_that_is_wrong() {
        let zero = r#"{"batch": [{"sql": "a"}, {"sql": "a", "params": [1, "\u0000"]}]}"#;
        let many = format!(r#"{{"sql": "a", "params": [{}1]}}"#, "1,".repeat(70_000));
        for (body, expected) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[]", "must be a JSON object"),
            ("1", "must be a JSON object"),
            ("{}", "neither sql nor batch"),
            (r#"{"sql": "a"} x"#, "not JSON"),
            (r#"{"sql": null}"#, "sql must be a string"),
            (r#"{"sql": 1}"#, "sql must be a string"),
            (r#"{"sql": "a", "sql": "b"}"#, "duplicate field `sql`"),
            (r#"{"sql": "a", "parms": []}"#, "unknown field `parms`"),
            (r#"{"sql": "a", "params": null}"#, "params must be an array"),
            (r#"{"sql": "a", "params": {}}"#, "params must be an array"),
            (r#"{"sql": "a\u0000"}"#, "sql holds a zero character"),
            (r#"{"sql": "\ud800"}"#, "sql holds an escape"),
            (r#"{"sql": "a", "batch": []}"#, "send one of them"),
            (r#"{"batch": []}"#, "batch is empty"),
            (r#"{"batch": {}}"#, "batch must be an array"),
            (r#"{"batch": [{"sql": "a"}], "params": []}"#, "beside batch"),
            (r#"{"batch": [{"sql": "a"}, {}]}"#, "batch[1].sql is missing"),
            (r#"{"batch": [{"sql": "a"}, {"sql": 1}]}"#, "batch[1].sql must be a string"),
            (r#"{"batch": [{"sql": "a"}, 1]}"#, "batch[1] must be a JSON object"),
            (r#"{"batch": [{"sql": "a", "x": 1}]}"#, "batch[0]: unknown field `x`"),
            (r#"{"batch": [{"sql": "a", "params": 1}]}"#, "batch[0].params must be an array"),
            (zero, "batch[1].params[1] holds a zero character"),
            (&many, "one statement takes at most 65535"),
        ] {
            let failure = decode(body.as_bytes(), Representation::Frames).map(|_| ()).unwrap_err();
            assert!(failure.detail.contains(expected), "{:.60}: {}", body, failure.detail);
        }
        let failure = decode(b"{\"sql\": \"\xff\"}", Representation::Frames).map(|_| ()).unwrap_err();
        assert_eq!(failure.detail, "byte 9: the body is not UTF-8");
    }
}
