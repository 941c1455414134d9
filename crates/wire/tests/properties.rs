//! What must hold for any input: nothing panics, nothing is lost, chunks do not matter.

#![cfg(not(target_arch = "wasm32"))]
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the point")]

#[path = "common/blocks.rs"]
mod blocks;
#[path = "common/frames.rs"]
mod frames;

use blocks::Value;
use onetrip_wire::backend::Values;
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::Limits;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::representation::{BlockOptions, Int8, JsonOptions, Representation, Strings};
use onetrip_wire::request::Request;
use onetrip_wire::response::{Event, ResponseReader};
use onetrip_wire::{Error, Kind, backend, oid};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

type Parameters = Vec<(u32, bool, Option<Vec<u8>>)>;

fn statements() -> impl Strategy<Value = Vec<Vec<(String, Parameters)>>> {
    let parameter = (any::<u32>(), any::<bool>(), option::of(vec(any::<u8>(), 0..40)));
    vec(vec(("[^\0]{0,40}", vec(parameter, 0..5)), 1..4), 1..4)
}

fn pipeline(groups: &[Vec<(String, Parameters)>]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in groups {
        for (sql, parameters) in group {
            let parameters: Vec<Parameter<'_>> = parameters
                .iter()
                .map(|(type_oid, binary, value)| Parameter {
                    type_oid: *type_oid,
                    format: if *binary { Format::Binary } else { Format::Text },
                    value: value.as_deref(),
                })
                .collect();
            let statement = Statement { sql, parameters: &parameters, result_format: Format::Binary };
            frontend::statement(&mut out, &statement).unwrap();
        }
        frontend::sync(&mut out);
    }
    out
}

/// A row of four columns: text, int4, int8, jsonb.
type Row = (Option<String>, Option<i32>, Option<i64>, Option<bool>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof![
        "[ -~]{0,30}".boxed(),
        "\\PC{0,20}".boxed(),
        (0usize..600).prop_map(|len| "x".repeat(len)).boxed(),
        (0usize..300).prop_map(|len| "é\u{feff}🦀".repeat(len)).boxed(),
    ];
    vec(
        (option::of(text), option::of(any::<i32>()), option::of(any::<i64>()), option::of(any::<bool>())),
        0..60,
    )
}

fn answer(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    frames::fields(&mut out, &[("t", 25), ("i", oid::INT4), ("b", oid::INT8), ("j", oid::JSONB)]);
    for (text, int4, int8, json) in rows {
        let (int4, int8) = (int4.map(|value| value.to_string()), int8.map(|value| value.to_string()));
        let json = json.map(|value| format!("{{\"a\": [{value}, \"é\"]}}"));
        frames::row(
            &mut out,
            &[
                text.as_ref().map(|text| text.as_bytes()),
                int4.as_ref().map(|text| text.as_bytes()),
                int8.as_ref().map(|text| text.as_bytes()),
                json.as_ref().map(|text| text.as_bytes()),
            ],
        );
    }
    frames::frame(&mut out, b'C', format!("SELECT {}\0", rows.len()).as_bytes());
    frames::frame(&mut out, b'Z', b"I");
    out
}

/// All events of an answer that arrives in chunks of these lengths, as text.
fn events(answer: &[u8], chunks: &[usize]) -> Result<Vec<String>, Error> {
    let mut reader = ResponseReader::new(1, Limits::default());
    let (mut events, mut rest) = (Vec::new(), answer);
    let mut lengths = chunks.iter().copied().filter(|&len| len > 0).chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(lengths.next().unwrap().min(rest.len()));
        rest = later;
        reader.push(chunk);
        while let Some(event) = reader.event()? {
            events.push(match &event {
                Event::Row(row) => format!("{:?} {:?}", reader.position(), row.body()),
                event => format!("{:?} {event:?}", reader.position()),
            });
        }
    }
    reader.finish()?;
    Ok(events)
}

fn encode(representation: Representation, answer: &[u8]) -> Result<Vec<u8>, Error> {
    let (mut encoder, mut out) = (Encoder::new(representation, Batch::Single), Vec::new());
    encoder.frames(answer, &Limits::default(), &mut out)?;
    encoder.finish(&mut out);
    Ok(out)
}

fn representations() -> Vec<Representation> {
    let blocks = BlockOptions { strings: Strings::Utf16, int8: Int8::Binary, ..BlockOptions::default() };
    vec![
        Representation::Frames,
        Representation::Blocks(BlockOptions::default()),
        Representation::Blocks(blocks),
        Representation::Json(JsonOptions::default()),
    ]
}

/// JSON text of the value of a key.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i16>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (-1e6..1e6f64).prop_map(|value| value.to_string()),
        "[ -~é世]{0,12}".prop_map(|value| serde_json::to_string(&value).unwrap()),
        Just("{\"x\":[1,\"}\"]}".to_owned()),
        Just("[]".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_pipeline_that_was_written_is_read_as_it_was_meant(groups in statements()) {
        let body = pipeline(&groups);
        let Request::Pipeline(read) = Request::parse(&body, &Limits::default()).unwrap() else { panic!("a script") };
        prop_assert_eq!(read.len(), groups.len());
        for (read, group) in read.iter().zip(&groups) {
            prop_assert_eq!(read.statements.len(), group.len());
            for (read, (sql, parameters)) in read.statements.iter().zip(group) {
                prop_assert_eq!(&body[read.sql.clone()], sql.as_bytes());
                let types: Vec<u8> = parameters.iter().flat_map(|(oid, ..)| oid.to_be_bytes()).collect();
                prop_assert_eq!(&body[read.parameter_types.clone()], &types);
                prop_assert_eq!(body[read.parse.start], b'P');
                prop_assert_eq!(body[read.bind.start], b'B');
                prop_assert_eq!(read.parse.end, read.bind.start);
                prop_assert_eq!(read.bind.end, read.describe_execute.start);
            }
        }
    }

    #[test]
    fn every_prefix_of_a_pipeline_is_refused_with_an_offset_inside_it(groups in statements(), cut in any::<Index>()) {
        let body = pipeline(&groups);
        let cut = cut.index(body.len());
        // A prefix that ends after a Sync is a pipeline, too.
        if let Err(error) = Request::parse(&body[..cut], &Limits::default()) {
            prop_assert!(error.offset() <= cut as u64, "{error}");
        } else {
            prop_assert_eq!(&body[cut - 5..cut], b"S\0\0\0\x04");
        }
    }

    #[test]
    fn a_damaged_pipeline_never_panics(groups in statements(), at in any::<Index>(), byte in any::<u8>()) {
        let mut body = pipeline(&groups);
        let at = at.index(body.len());
        body[at] = byte;
        if let Err(error) = Request::parse(&body, &Limits::default()) {
            prop_assert!(error.offset() <= body.len() as u64, "{error}");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&bytes, &Limits::default());
        let _ = events(&bytes, &[3]);
        let _ = backend::row_description(&bytes);
        let _ = Values::new(&bytes).map(|values| values.count());
        for representation in representations() {
            let _ = encode(representation, &bytes);
        }
    }

    #[test]
    fn any_accept_header_is_answered(accept in "\\PC{0,80}") {
        if let Err(text) = Representation::negotiate(&accept, Representation::Frames) {
            prop_assert!(text.len() < 500);
        }
    }

    #[test]
    fn an_answer_says_the_same_however_it_is_cut(rows in rows(), chunks in vec(0usize..50, 0..100)) {
        let answer = answer(&rows);
        let whole = events(&answer, &[]).unwrap();
        prop_assert_eq!(whole.len(), rows.len() + 3);
        prop_assert_eq!(events(&answer, &chunks).unwrap(), whole);
    }

    #[test]
    fn an_answer_that_ends_early_is_truncated(rows in rows(), cut in any::<Index>()) {
        let answer = answer(&rows);
        let cut = cut.index(answer.len());
        let error = events(&answer[..cut], &[]).unwrap_err();
        prop_assert_eq!(error.kind(), Kind::Truncated);
        prop_assert_eq!(error.offset(), cut as u64);
    }

    #[test]
    fn a_damaged_answer_never_panics(rows in rows(), at in any::<Index>(), byte in any::<u8>()) {
        let mut answer = answer(&rows);
        let at = at.index(answer.len());
        answer[at] = byte;
        let _ = events(&answer, &[7]);
        for representation in representations() {
            let _ = encode(representation, &answer);
        }
    }

    #[test]
    fn blocks_hold_what_the_rows_held(rows in rows(), utf16 in any::<bool>(), binary in any::<bool>()) {
        let options = BlockOptions {
            strings: if utf16 { Strings::Utf16 } else { Strings::Utf8 },
            int8: if binary { Int8::Binary } else { Int8::Text },
            ..BlockOptions::default()
        };
        let (read, tags) = blocks::read(&encode(Representation::Blocks(options), &answer(&rows)).unwrap());
        prop_assert_eq!(tags.iter().filter(|&&tag| tag != b'B').copied().collect::<Vec<_>>(), b"FCZ");
        let expected: Vec<Vec<Value>> = rows
            .iter()
            .map(|(text, int4, int8, json)| {
                vec![
                    text.clone().map_or(Value::Null, Value::Text),
                    int4.map_or(Value::Null, |value| Value::Integer(value.into())),
                    match int8 {
                        None => Value::Null,
                        Some(value) if binary => Value::Integer(*value),
                        Some(value) => Value::Text(value.to_string()),
                    },
                    json.map_or(Value::Json("null".into()), |value| Value::Json(format!("{{\"a\": [{value}, \"é\"]}}"))),
                ]
            })
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn json_columns_hold_what_the_rows_held(
        keys in vec("[a-z\"é ]{1,6}", 1..5),
        rows in vec((vec(member(), 5), 0..40_u8), 8..60),
        spaces in any::<bool>(),
    ) {
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("j", oid::JSONB)]);
        let texts: Vec<Option<String>> = rows.iter().map(|(members, odd)| match odd {
            0 => None,
            1 => Some("[1]".to_owned()),
            odd => {
                // Now and then one key less.
                let left_out = if *odd == 2 { 1 } else { 0 };
                let members = keys.iter().skip(left_out).zip(members).map(|(key, value)| {
                    format!("{}:{value}", serde_json::to_string(key).unwrap())
                });
                let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
                Some(if spaces { text.replace('{', "{ ").replace(':', ": ") } else { text })
            }
        }).collect();
        for text in &texts {
            frames::row(&mut frames, &[text.as_ref().map(|text| text.as_bytes())]);
        }
        frames::frame(&mut frames, b'Z', b"I");
        let (read, _) = blocks::read(&encode(Representation::Blocks(BlockOptions::default()), &frames).unwrap());
        for (read, text) in read.iter().zip(&texts) {
            let Value::Json(read) = &read[0] else { panic!("{read:?}") };
            prop_assert_eq!(blocks::parse(read), blocks::parse(text.as_deref().unwrap_or("null")));
        }
    }

    #[test]
    fn typed_json_holds_what_the_rows_held(rows in rows()) {
        let json = encode(Representation::Json(JsonOptions::default()), &answer(&rows)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(&json["row_count"], rows.len());
        for (row, (text, int4, int8, _)) in json["rows"].as_array().unwrap().iter().zip(&rows) {
            prop_assert_eq!(row["t"].as_str(), text.as_deref());
            prop_assert_eq!(row["i"].as_i64(), int4.map(i64::from));
            prop_assert_eq!(row["b"].as_str().map(str::to_owned), int8.map(|value| value.to_string()));
        }
    }

    #[test]
    fn floats_survive(values in vec(option::of(any::<f64>()), 1..50)) {
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("f", oid::FLOAT8)]);
        for value in &values {
            let text = value.map(|value| if value.is_infinite() {
                if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
            } else {
                format!("{value}")
            });
            frames::row(&mut frames, &[text.as_ref().map(|text| text.as_bytes())]);
        }
        frames::frame(&mut frames, b'Z', b"I");
        let (read, _) = blocks::read(&encode(Representation::Blocks(BlockOptions::default()), &frames).unwrap());
        for (read, value) in read.iter().zip(&values) {
            match (&read[0], value) {
                (Value::Null, None) => {}
                (Value::Float(read), Some(value)) => prop_assert!(read == value || read.is_nan() && value.is_nan()),
                (read, value) => prop_assert!(false, "{read:?} for {value:?}"),
            }
        }
    }
}
