//! JSON request bodies: `{"sql", "params"}`, `{"batch": [{"sql", "params"}, …]}`, or `{"groups": […]}` of either (PROTOCOL.md
//! section 1.1).
//!
//! Numbers keep the digits that the client wrote: a parameter is cut out of the body, not read into a number.

use std::borrow::Cow;

use bytes::Bytes;
use onetrip_wire::encoder::Batch;
use onetrip_wire::frontend::{self, Parameter, Statement};
use onetrip_wire::problem::Code;
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
    types: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    batch: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    groups: Option<&'a RawValue>,
}

/// One transaction: a body without groups, or one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    types: Option<&'a RawValue>,
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
    #[serde(borrow, default, deserialize_with = "present")]
    types: Option<&'a RawValue>,
}

/// A member that is there, `null` included: `null` is not the same as nothing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body into frames: text parameters, declared where the client says so, and text results.
pub(super) fn decode(body: &[u8], representation: Representation) -> Result<Pipeline, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Failure::malformed(format!("byte {}: the body is not UTF-8", error.valid_up_to()))
    })?;
    let Body { sql, params, types, batch, groups } = object("the body", text)?;
    let mut frames = Vec::with_capacity(text.len() + 64);
    let (batch, groups) = match groups {
        None => (group(&mut frames, "", &Group { sql, params, types, batch })?, 1),
        Some(_) if sql.is_some() || params.is_some() || types.is_some() || batch.is_some() => {
            return Err(Failure::malformed(
                "sql, params, types or batch stands beside groups; each element of groups has its own",
            ));
        }
        Some(groups) => {
            if matches!(representation, Representation::Json(_)) {
                return Err(Failure::new(
                    Code::NotAcceptable,
                    "the answer to groups cannot be JSON; send an Accept header that takes column blocks or frames",
                ));
            }
            let groups = list(groups, "groups", "{\"sql\": …, \"params\": […]} or {\"batch\": […]}")?;
            for (index, item) in groups.iter().enumerate() {
                group(
                    &mut frames,
                    &format!("groups[{index}]."),
                    &object(&format!("groups[{index}]"), item.get())?,
                )?;
            }
            (Batch::Many, groups.len())
        }
    };
    Ok(Pipeline {
        frames: Bytes::from(frames),
        groups,
        script: false,
        batch,
        representation,
        transaction: Bytes::new(),
        settings: SessionSettings::default(),
    })
}

/// Writes the frames of one transaction, its Sync included. `path` is where it stands in the body.
fn group(frames: &mut Vec<u8>, path: &str, group: &Group<'_>) -> Result<Batch, Failure> {
    let what = if path.is_empty() { "the body" } else { path.trim_end_matches('.') };
    let batch = match (group.sql, group.batch) {
        (Some(sql), None) => {
            statement(frames, path, sql, group.params, group.types)?;
            Batch::Single
        }
        (None, Some(batch)) => {
            for (name, member) in [("params", group.params), ("types", group.types)] {
                if member.is_some() {
                    return Err(Failure::malformed(format!(
                        "{path}{name} stands beside batch; each element of batch has its own {name}"
                    )));
                }
            }
            let items = list(batch, &format!("{path}batch"), "{\"sql\": …, \"params\": […]}")?;
            for (index, item) in items.iter().enumerate() {
                let place = format!("{path}batch[{index}]");
                let item: Item<'_> = object(&place, item.get())?;
                let sql = item.sql.ok_or_else(|| Failure::malformed(format!("{place}.sql is missing")))?;
                statement(frames, &format!("{place}."), sql, item.params, item.types)?;
            }
            Batch::Many
        }
        (Some(_), Some(_)) => {
            return Err(Failure::malformed(format!("{what} has sql and batch; send one of them")));
        }
        (None, None) => {
            return Err(Failure::malformed(format!(
                "{what} has neither sql nor batch; send {{\"sql\": \"select $1::int\", \"params\": [1]}}"
            )));
        }
    };
    frontend::sync(frames);
    Ok(batch)
}

/// Reads an array that must not be empty; `elements` says what it holds.
fn list<'a>(raw: &'a RawValue, what: &str, elements: &str) -> Result<Vec<&'a RawValue>, Failure> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| Failure::malformed(format!("{what} must be an array of {elements}")))?;
    if items.is_empty() {
        return Err(Failure::malformed(format!("{what} is empty; it must hold at least one {elements}")));
    }
    Ok(items)
}

fn statement(
    frames: &mut Vec<u8>,
    path: &str,
    sql: &RawValue,
    params: Option<&RawValue>,
    types: Option<&RawValue>,
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
    let types: Vec<u32> = match types {
        None => Vec::new(),
        Some(types) => serde_json::from_str(types.get())
            .map_err(|_| Failure::malformed(format!("{path}types must be an array of type OIDs")))?,
    };
    if types.len() > values.len() {
        return Err(Failure::malformed(format!(
            "{path}types has {} elements to {} params",
            types.len(),
            values.len()
        )));
    }
    // 0, as for those that `types` does not reach, leaves the type to PostgreSQL.
    let parameters: Vec<Parameter<'_>> = values
        .iter()
        .zip(types.into_iter().chain(std::iter::repeat(0)))
        .map(|(value, type_oid)| Parameter {
            type_oid,
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
    fn declared_types_stand_in_the_parse_frame() {
        for (body, expected) in [
            (
                r#"{"sql": "a", "params": ["1", null, 2], "types": [1700, 0, 4294967295]}"#,
                [1700, 0, u32::MAX],
            ),
            (r#"{"sql": "a", "params": ["1", null, 2], "types": [20]}"#, [20, 0, 0]),
            (r#"{"sql": "a", "params": ["1", null, 2], "types": []}"#, [0, 0, 0]),
            (r#"{"batch": [{"sql": "a", "params": [1, 2, 3], "types": [0, 23]}]}"#, [0, 23, 0]),
            (r#"{"groups": [{"sql": "a", "params": [1, 2, 3], "types": [0, 23]}]}"#, [0, 23, 0]),
        ] {
            let frames = frames(body);
            // Tag, length, an empty name, the text "a", then the count and the OIDs.
            let types = &frames[5 + 1 + 2..];
            let declared = std::iter::once(&types[..2]).chain(types[2..].chunks(4));
            let declared: Vec<u32> = declared
                .take(4)
                .map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
                .collect();
            assert_eq!(declared, [&[3], &expected[..]].concat(), "{body}");
        }
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
    fn each_of_several_groups_has_a_sync_of_its_own() {
        let body = r#"{"groups": [{"sql": "a", "params": [1]}, {"batch": [{"sql": "b"}, {"sql": "c"}]}, {"sql": "d"}]}"#;
        let pipeline = decode(body.as_bytes(), Representation::Frames).unwrap();
        assert_eq!(pipeline.groups, 3);
        let Request::Pipeline(groups) = Request::parse(&pipeline.frames, &Default::default()).unwrap() else {
            panic!()
        };
        let sql = groups.iter().map(|group| {
            let statements = group.statements.iter().map(|statement| &pipeline.frames[statement.sql.clone()]);
            statements.collect::<Vec<_>>()
        });
        assert_eq!(sql.collect::<Vec<_>>(), [&[b"a"][..], &[b"b", b"c"], &[b"d"]]);
    }

    #[test]
    fn the_answer_to_several_groups_cannot_be_json() {
        let body = br#"{"groups": [{"sql": "a"}]}"#;
        let json = Representation::Json(Default::default());
        let failure = decode(body, json).map(|_| ()).unwrap_err();
        assert_eq!(failure.code, Code::NotAcceptable);
        assert!(failure.detail.contains("Accept"), "{}", failure.detail);
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
            (r#"{"sql": "a", "params": [1], "types": [1, 2]}"#, "types has 2 elements to 1 params"),
            (r#"{"sql": "a", "params": [1], "types": ["int4"]}"#, "types must be an array of type OIDs"),
            (r#"{"sql": "a", "params": [1], "types": [-1]}"#, "types must be an array of type OIDs"),
            (r#"{"sql": "a", "params": [1], "types": null}"#, "types must be an array of type OIDs"),
            (r#"{"batch": [{"sql": "a"}], "types": []}"#, "types stands beside batch"),
            (r#"{"groups": [{"sql": "a"}], "types": []}"#, "beside groups"),
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
            (r#"{"groups": []}"#, "groups is empty"),
            (r#"{"groups": {}}"#, "groups must be an array"),
            (r#"{"groups": null}"#, "groups must be an array"),
            (r#"{"groups": [{"sql": "a"}], "sql": "a"}"#, "beside groups"),
            (r#"{"groups": [{"sql": "a"}], "params": []}"#, "beside groups"),
            (r#"{"groups": [{"sql": "a"}], "batch": [{"sql": "a"}]}"#, "beside groups"),
            (r#"{"groups": [{"sql": "a"}, 1]}"#, "groups[1] must be a JSON object"),
            (r#"{"groups": [{"sql": "a"}, {}]}"#, "groups[1] has neither sql nor batch"),
            (r#"{"groups": [{"sql": "a", "batch": []}]}"#, "groups[0] has sql and batch"),
            (r#"{"groups": [{"groups": []}]}"#, "groups[0]: unknown field `groups`"),
            (
                r#"{"groups": [{"sql": "a"}, {"sql": "a", "params": [1, "\u0000"]}]}"#,
                "groups[1].params[1] holds a zero",
            ),
            (
                r#"{"groups": [{"batch": [{"sql": "a"}, {"sql": 1}]}]}"#,
                "groups[0].batch[1].sql must be a string",
            ),
            (r#"{"groups": [{"batch": []}]}"#, "groups[0].batch is empty"),
            (
                r#"{"groups": [{"batch": [{"sql": "a"}], "params": []}]}"#,
                "groups[0].params stands beside batch",
            ),
            (&many, "one statement takes at most 65535"),
        ] {
            let failure = decode(body.as_bytes(), Representation::Frames).map(|_| ()).unwrap_err();
            assert!(failure.detail.contains(expected), "{:.60}: {}", body, failure.detail);
        }
        let failure = decode(b"{\"sql\": \"\xff\"}", Representation::Frames).map(|_| ()).unwrap_err();
        assert_eq!(failure.detail, "byte 9: the body is not UTF-8");
    }
}
