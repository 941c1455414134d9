//! Golden vectors: what a real PostgreSQL answered (`tests/vectors`), read and encoded again.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the point")]

#[path = "common/blocks.rs"]
mod blocks;

use blocks::Value as BlockValue;
use onetrip_wire::Kind;
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::Limits;
use onetrip_wire::representation::{BLOCKS, Representation};
use onetrip_wire::response::{Event, ResponseReader};
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn vectors() -> Vec<Value> {
    let recorded: Value = serde_json::from_str(include_str!("../../../tests/vectors/answers.json")).unwrap();
    recorded["vectors"].as_array().unwrap().clone()
}

fn bytes(vector: &Value, member: &str) -> Vec<u8> {
    let hex = vector[member].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn encode(accept: &str, batch: Batch, frames: &[u8]) -> Vec<u8> {
    let representation = Representation::negotiate(accept, Representation::Frames).unwrap();
    let (mut encoder, mut out) = (Encoder::new(representation, batch), Vec::new());
    assert_eq!(encoder.frames(frames, &Limits::default(), &mut out).unwrap(), frames.len());
    encoder.finish(&mut out);
    out
}

/// The rows of one statement, as text.
type Rows = Vec<Vec<Option<String>>>;

/// The rows of an answer as text, statement after statement, and the SQLSTATE if it failed.
fn read(frames: &[u8]) -> (Vec<Rows>, Option<String>) {
    let mut reader = ResponseReader::new(1, Limits::default());
    reader.push(frames);
    let (mut results, mut rows, mut failed) = (Vec::new(), Vec::new(), None);
    while let Some(event) = reader.event().unwrap() {
        match event {
            Event::Row(row) => rows.push(
                (0..row.len())
                    .map(|index| {
                        row.value(index).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
                    })
                    .collect(),
            ),
            Event::Complete(_) | Event::Empty => {
                assert_eq!(reader.position().statement, results.len());
                results.push(std::mem::take(&mut rows));
            }
            Event::Failed(error) => {
                assert_eq!(reader.position().statement, results.len());
                failed = Some(error.code().to_owned());
                results.push(std::mem::take(&mut rows));
            }
            _ => {}
        }
    }
    reader.finish().unwrap();
    (results, failed)
}

#[test]
fn recorded_frames_encode_to_the_recorded_answers() {
    for vector in vectors() {
        let frames = bytes(&vector, "frames");
        let batch = if vector["request"]["batch"].is_null() { Batch::Single } else { Batch::Many };
        for (member, parameters) in [
            ("blocks", ""),
            ("blocks_utf16", ";strings=utf16"),
            ("blocks_joined", ";strings=utf16-joined"),
            ("blocks_text", ";timestamps=text;json=text"),
            ("blocks_int8", ";int8=binary"),
        ] {
            let blocks = encode(&format!("{BLOCKS}{parameters}"), batch, &frames);
            assert_eq!(blocks, bytes(&vector, member), "{} {member}", vector["name"]);
        }
        let json: Value =
            serde_json::from_slice(&encode("application/json;rows=array", batch, &frames)).unwrap();
        assert_eq!(json, vector["json"], "{}", vector["name"]);
    }
}

#[test]
fn blocks_with_all_options_off_hold_the_text_of_the_rows() {
    for vector in vectors() {
        let (results, _) = read(&bytes(&vector, "frames"));
        let expected: Vec<Vec<Option<String>>> = results.into_iter().flatten().collect();
        let (rows, _) = blocks::read(&bytes(&vector, "blocks_text"));
        assert_eq!(rows.len(), expected.len(), "{}", vector["name"]);
        for (row, expected) in rows.iter().zip(&expected) {
            for (value, expected) in row.iter().zip(expected) {
                match (value, expected) {
                    (BlockValue::Null, None) => {}
                    (BlockValue::Text(text), Some(expected)) => {
                        assert_eq!(text, expected, "{}", vector["name"])
                    }
                    (BlockValue::Integer(value), Some(expected)) => assert_eq!(&value.to_string(), expected),
                    (BlockValue::Bool(value), Some(expected)) => {
                        assert_eq!(&expected[..1], if *value { "t" } else { "f" })
                    }
                    (BlockValue::Float(value), Some(expected)) => {
                        let expected: f64 = expected.parse().unwrap();
                        assert!(value.to_bits() == expected.to_bits() || value.is_nan() && expected.is_nan());
                    }
                    (BlockValue::Bytes(value), Some(expected)) => {
                        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                        assert_eq!(&format!("\\x{hex}"), expected);
                    }
                    (value, expected) => panic!("{}: {value:?} for {expected:?}", vector["name"]),
                }
            }
        }
    }
}

#[test]
fn recorded_rows_and_errors_read_as_the_typed_json_has_them() {
    let mut statements = 0;
    for vector in vectors() {
        let (results, failed) = read(&bytes(&vector, "frames"));
        let json = &vector["json"];
        let left_open = json["error"]["code"] == "25000";
        assert!(left_open || json["error"]["code"].as_str() == failed.as_deref(), "{}", vector["name"]);
        let recorded = json["results"].as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
        for (result, recorded) in results.iter().zip(&recorded) {
            let rows = recorded["rows"].as_array().map_or(0, Vec::len);
            assert_eq!(result.len(), rows, "{}", vector["name"]);
            statements += 1;
        }
    }
    assert!(statements > 20, "{statements}");
}

#[test]
fn every_prefix_of_a_recorded_answer_is_truncated_and_nothing_else() {
    for vector in vectors() {
        let frames = bytes(&vector, "frames");
        let prefixes: Vec<usize> =
            if frames.len() < 5_000 { (0..frames.len()).collect() } else { (0..500).collect() };
        for len in prefixes {
            let mut reader = ResponseReader::new(1, Limits::default());
            reader.push(&frames[..len]);
            while reader
                .event()
                .unwrap_or_else(|error| panic!("{} at {len}: {error}", vector["name"]))
                .is_some()
            {}
            let error = reader.finish().unwrap_err();
            assert_eq!((error.kind(), error.offset()), (Kind::Truncated, len as u64), "{}", vector["name"]);
        }
    }
}
