//! A workload in each format that a client could receive.

use onetrip_wire::backend::{self, CommandTag, Field, Values, tag};
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::{self, Limits};
use onetrip_wire::representation::{BlockOptions, JsonOptions, JsonResult, Representation, Strings};

use crate::data::Workload;

/// What PostgreSQL answers to Parse, Bind, Describe, Execute and Sync.
pub fn frames(workload: &Workload) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, tag::PARSE_COMPLETE, |_| {});
    frame(&mut out, tag::BIND_COMPLETE, |_| {});
    frame(&mut out, tag::ROW_DESCRIPTION, |out| {
        count(out, workload.columns.len());
        for (index, column) in workload.columns.iter().enumerate() {
            out.extend_from_slice(column.name.as_bytes());
            out.push(0);
            out.extend_from_slice(&16_679_u32.to_be_bytes());
            count(out, index + 1);
            out.extend_from_slice(&column.type_oid.to_be_bytes());
            out.extend_from_slice(&column.type_size.to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            out.extend_from_slice(&0_i16.to_be_bytes());
        }
    });
    for row in &workload.rows {
        frame(&mut out, tag::DATA_ROW, |out| {
            count(out, row.len());
            for value in row {
                let Some(value) = value else {
                    out.extend_from_slice(&(-1_i32).to_be_bytes());
                    continue;
                };
                let len = i32::try_from(value.len()).expect("a value is short");
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        });
    }
    frame(&mut out, tag::COMMAND_COMPLETE, |out| {
        out.extend_from_slice(format!("SELECT {}\0", workload.rows.len()).as_bytes());
    });
    frame(&mut out, tag::READY, |out| out.push(b'I'));
    out
}

fn frame(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    let len = u32::try_from(body.len() + 4).expect("a frame is short");
    out.push(tag);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&body);
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).expect("a workload has few columns").to_be_bytes());
}

/// Blocks whose text is UTF-8.
pub fn blocks_utf8() -> Representation {
    Representation::Blocks(BlockOptions::default())
}

/// Blocks whose text that is not ASCII is UTF-16.
pub fn blocks_utf16() -> Representation {
    Representation::Blocks(BlockOptions { strings: Strings::Utf16, ..BlockOptions::default() })
}

/// The same with long ASCII text in the arena, as Bun is sent it.
pub fn blocks_joined() -> Representation {
    Representation::Blocks(BlockOptions { strings: Strings::Utf16Joined, ..BlockOptions::default() })
}

/// Typed JSON with rows as objects.
pub fn typed_json() -> Representation {
    Representation::Json(JsonOptions::default())
}

/// The rows of typed JSON with nothing around them: what `response()` hands on.
pub fn json_rows() -> Representation {
    Representation::Json(JsonOptions { result: JsonResult::Rows, ..JsonOptions::default() })
}

/// Frames in the representation that a client asked for, by the encoder that endpoint and wasm share.
pub fn encoded(frames: &[u8], representation: Representation) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(representation, Batch::Single);
    let read = encoder.frames(frames, &Limits::default(), &mut out).expect("the frames are well-formed");
    assert_eq!(read, frames.len());
    encoder.finish(&mut out);
    out
}

/// The peer's format, written as its proxy's public source does since 2025: each value from the row's bytes straight
/// into the text, all values as strings, rows as arrays.
pub fn peer_json(frames: &[u8]) -> Vec<u8> {
    let mut out = b"{\"rows\":[".to_vec();
    let (mut fields, mut rows, mut command) = (Vec::new(), 0_u64, None);
    each(frames, |tag, body| match tag {
        tag::ROW_DESCRIPTION => fields = backend::row_description(body).expect("it is well-formed"),
        tag::DATA_ROW => {
            out.extend_from_slice(if rows == 0 { b"[" } else { b",[" });
            rows += 1;
            let values = Values::new(body).expect("it is well-formed");
            for (index, value) in values.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                match value.expect("it is well-formed") {
                    None => out.extend_from_slice(b"null"),
                    Some(value) => {
                        let text = std::str::from_utf8(value).expect("it is UTF-8");
                        serde_json::to_writer(&mut out, text).expect("a Vec takes all");
                    }
                }
            }
            out.push(b']');
        }
        tag::COMMAND_COMPLETE => command = CommandTag::parse(body).ok(),
        _ => {}
    });
    out.extend_from_slice(b"],\"fields\":");
    serde_json::to_writer(&mut out, &peer_fields(&fields)).expect("a Vec takes all");
    let command = command.expect("the answer has a command tag");
    out.extend_from_slice(
        format!(",\"command\":\"{}\",\"rowCount\":{rows},\"rowAsArray\":true}}", command.command())
            .as_bytes(),
    );
    out
}

/// The same text by way of a `serde_json::Value` for each value, as that proxy did before.
pub fn peer_json_by_values(frames: &[u8]) -> Vec<u8> {
    use serde_json::Value;
    let (mut fields, mut rows, mut command) = (Vec::new(), Vec::new(), None);
    each(frames, |tag, body| match tag {
        tag::ROW_DESCRIPTION => fields = backend::row_description(body).expect("it is well-formed"),
        tag::DATA_ROW => rows.push(Value::Array(
            Values::new(body)
                .expect("it is well-formed")
                .map(|value| match value.expect("it is well-formed") {
                    None => Value::Null,
                    Some(value) => Value::String(std::str::from_utf8(value).expect("it is UTF-8").to_owned()),
                })
                .collect(),
        )),
        tag::COMMAND_COMPLETE => command = CommandTag::parse(body).ok(),
        _ => {}
    });
    let command = command.expect("the answer has a command tag");
    let answer = serde_json::json!({
        "rowCount": rows.len(),
        "rows": rows,
        "fields": peer_fields(&fields),
        "command": command.command(),
        "rowAsArray": true,
    });
    serde_json::to_vec(&answer).expect("a Vec takes all")
}

fn peer_fields(fields: &[Field]) -> serde_json::Value {
    fields
        .iter()
        .map(|field| {
            serde_json::json!({
                "name": field.name,
                "dataTypeID": field.type_oid,
                "tableID": field.table_oid,
                "columnID": field.column,
                "dataTypeSize": field.type_size,
                "dataTypeModifier": field.type_modifier,
                "format": "text",
            })
        })
        .collect()
}

/// The least that JSON can say: the rows as objects, numbers, booleans and documents as themselves. What a client
/// makes of it is not finished (timestamps stay text); it bounds what any JSON can reach.
pub fn minimal_json(workload: &Workload) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, row) in workload.rows.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        for (at, (column, value)) in workload.columns.iter().zip(row).enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            serde_json::to_writer(&mut out, &column.name).expect("a Vec takes all");
            out.push(b':');
            match (value.as_deref(), column.type_oid) {
                (None, _) => out.extend_from_slice(b"null"),
                (Some("t"), 16) => out.extend_from_slice(b"true"),
                (Some(_), 16) => out.extend_from_slice(b"false"),
                (Some(text), 23 | 701 | 3802) => out.extend_from_slice(text.as_bytes()),
                (Some(text), _) => serde_json::to_writer(&mut out, text).expect("a Vec takes all"),
            }
        }
        out.push(b'}');
    }
    out.push(b']');
    out
}

fn each(frames: &[u8], mut take: impl FnMut(u8, &[u8])) {
    let mut rest = frames;
    while let Some(frame) = frame::first(rest, &Limits::default()).expect("the frames are well-formed") {
        take(frame.tag, frame.body);
        rest = rest.get(frame.frame_len()..).unwrap_or_default();
    }
}
