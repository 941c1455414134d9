//! What the protocol promises, case by case; the same tests run on the host and in wasm.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the point")]

#[path = "common/blocks.rs"]
mod blocks;
#[path = "common/frames.rs"]
mod frames;

use blocks::Value;
use onetrip_wire::backend::{CommandTag, ErrorResponse, TransactionStatus};
use onetrip_wire::blocks::BlockEncoder;
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::{self, Limits};
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::problem::{Code, Problem};
use onetrip_wire::representation::{
    BlockOptions, Int8, Json, JsonOptions, JsonResult, Representation, Rows, Strings, Timestamps, Values,
};
use onetrip_wire::request::Request;
use onetrip_wire::response::{Event, Position, ResponseReader};
use onetrip_wire::sqlstate::{Class, class};
use onetrip_wire::{Kind, backend, oid};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn one_statement(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::statement(&mut out, &Statement { sql, parameters: &[], result_format: Format::Text }).unwrap();
    frontend::sync(&mut out);
    out
}

fn encode(representation: Representation, batch: Batch, frames: &[u8]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(representation, batch), Vec::new());
    let read = encoder.frames(frames, &Limits::default(), &mut out).unwrap();
    assert_eq!(read, frames.len());
    encoder.finish(&mut out);
    out
}

fn json(batch: Batch, rows: Rows, frames: &[u8]) -> String {
    let out = encode(Representation::Json(JsonOptions { rows, ..JsonOptions::default() }), batch, frames);
    serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
    String::from_utf8(out).unwrap()
}

fn column(oid: u32, options: BlockOptions, values: &[Option<&str>]) -> Vec<Value> {
    let mut frames = Vec::new();
    frames::fields(&mut frames, &[("c", oid)]);
    for value in values {
        frames::row(&mut frames, &[value.map(str::as_bytes)]);
    }
    frames::frame(&mut frames, b'Z', b"I");
    let (rows, _) = blocks::read(&encode(Representation::Blocks(options), Batch::Single, &frames));
    rows.into_iter().flatten().collect()
}

#[test]
fn a_statement_is_four_frames_as_the_manual_has_them() {
    let parameters = [
        Parameter { type_oid: 23, format: Format::Binary, value: Some(&[0, 0, 0, 7]) },
        Parameter { type_oid: 0, format: Format::Text, value: None },
    ];
    let mut out = Vec::new();
    let statement = Statement { sql: "select $1", parameters: &parameters, result_format: Format::Binary };
    frontend::statement(&mut out, &statement).unwrap();
    frontend::sync(&mut out);
    let expected = [
        &b"P\0\0\0\x19\0select $1\0\0\x02\0\0\0\x17\0\0\0\0"[..],
        &b"B\0\0\0\x1e\0\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\x01"[..],
        &b"D\0\0\0\x06P\0"[..],
        &b"E\0\0\0\x09\0\0\0\0\0"[..],
        &b"S\0\0\0\x04"[..],
    ]
    .concat();
    assert_eq!(out, expected);

    let mut encoded = frontend::Encoded::default();
    assert!(encoded.is_empty());
    encoded.push(23, Format::Binary);
    encoded.push(0, Format::Text);
    assert_eq!(encoded.len(), 2);
    let mut out = Vec::new();
    encoded.write(&mut out, "select $1", b"\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff").unwrap();
    frontend::sync(&mut out);
    assert_eq!(out, expected);
}

#[test]
fn a_statement_that_postgresql_cannot_take_is_refused_and_nothing_is_written() {
    let mut out = Vec::new();
    let zero = Statement { sql: "select '\0'", parameters: &[], result_format: Format::Text };
    assert_eq!(frontend::statement(&mut out, &zero).unwrap_err().offset(), 8);
    let many = vec![Parameter { type_oid: 0, format: Format::Text, value: None }; 65_536];
    let many = Statement { sql: "select 1", parameters: &many, result_format: Format::Text };
    let error = frontend::statement(&mut out, &many).unwrap_err();
    assert!(error.to_string().contains("65536 parameters") && error.to_string().contains("65535"), "{error}");
    let mut many = frontend::Encoded::default();
    (0..65_536).for_each(|_| many.push(0, Format::Text));
    assert!(many.write(&mut out, "select 1", &[255; 4 * 65_536]).is_err());
    assert!(frontend::query(&mut out, "select '\0'").is_err());
    assert!(out.is_empty());
}

#[test]
fn what_is_no_pipeline_is_refused_with_its_offset() {
    let good = one_statement("select 1");
    let named = b"P\0\0\0\x09s\0x\0\0\0".to_vec();
    let rows_limit = [&good[..good.len() - 6], &[1], &good[good.len() - 5..]].concat();
    let bind_of_statement = [&b"P\0\0\0\x0b\0sql\0\0\0"[..], b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0"].concat();
    let cases: &[(&str, Vec<u8>, u64, &str)] = &[
        ("nothing", vec![], 0, "empty"),
        ("half a header", b"P\0".to_vec(), 0, "longer than the body"),
        ("a length below 4", b"P\0\0\0\x03".to_vec(), 1, "less than 4"),
        ("a frame that is cut", good[..10].to_vec(), 0, "longer than the body"),
        ("no Sync", good[..good.len() - 5].to_vec(), good.len() as u64 - 5, "no Sync"),
        ("only Sync", b"S\0\0\0\x04".to_vec(), 0, "without a statement"),
        (
            "Sync with a body",
            [&good[..good.len() - 5], b"S\0\0\0\x05x"].concat(),
            good.len() as u64,
            "too many",
        ),
        ("a named statement", named, 5, "named statement"),
        ("a named statement in Bind", bind_of_statement, 17, "named statement"),
        ("Flush", b"H\0\0\0\x04".to_vec(), 0, "'H'"),
        ("a password", b"p\0\0\0\x04".to_vec(), 0, "'p'"),
        ("a row limit", rows_limit, good.len() as u64 - 15, "row limit"),
        ("two Queries", [&b"Q\0\0\0\x05\0"[..], b"Q\0\0\0\x05\0"].concat(), 6, "stands alone"),
        ("Query after a pipeline", [&good[..], b"Q\0\0\0\x05\0"].concat(), good.len() as u64, "'Q'"),
        ("Query without its end", b"Q\0\0\0\x05x".to_vec(), 5, "no end"),
        ("SQL that is not UTF-8", b"P\0\0\0\x09\0\xff\0\0\0".to_vec(), 6, "UTF-8"),
    ];
    for (name, body, offset, text) in cases {
        let error = Request::parse(body, &Limits::default()).expect_err(name);
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert_eq!(error.offset(), *offset, "{name}: {error}");
    }
    let script = Request::parse(b"Q\0\0\0\x0dselect 1\0", &Limits::default()).unwrap();
    assert_eq!((script.clone(), script.ready_count()), (Request::Script, 1));
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
    let limits = Limits::default().frame_bytes(1000);
    let header = b"D\x7f\xff\xff\xff";
    let error = Request::parse(header, &limits).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    let mut reader = ResponseReader::new(1, limits);
    reader.push(header);
    let error = reader.event().unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.to_string().contains("limit of 1000 bytes"), "{error}");
}

#[test]
fn the_failing_statement_is_known_by_counting() {
    let mut answer = Vec::new();
    frames::frame(&mut answer, b'C', b"INSERT 0 1\0");
    frames::frame(&mut answer, b'I', b"");
    frames::frame(&mut answer, b'E', b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (id)=(1)\0P17\0\0");
    frames::frame(&mut answer, b'Z', b"I");
    frames::frame(&mut answer, b'C', b"SELECT 2\0");
    frames::frame(&mut answer, b'Z', b"I");
    let mut reader = ResponseReader::new(2, Limits::default());
    reader.push(&answer);
    let mut failed = None;
    while let Some(event) = reader.event().unwrap() {
        if let Event::Failed(error) = event {
            failed = Some((reader.position(), error));
        }
    }
    reader.finish().unwrap();
    let (position, error) = failed.unwrap();
    assert_eq!(position, Position { group: 0, statement: 2 });
    assert_eq!((error.code(), error.position(), error.detail()), ("23505", Some(17), Some("Key (id)=(1)")));
    assert_eq!(format!("{error} {error:?}").matches("Key (id)").count(), 0, "a detail may hold values");
}

#[test]
fn what_follows_the_end_of_an_answer_is_refused() {
    let mut reader = ResponseReader::new(1, Limits::default());
    reader.push(b"Z\0\0\0\x05IZ\0\0\0\x05I");
    assert!(matches!(reader.event(), Ok(Some(Event::GroupEnd(TransactionStatus::Idle)))));
    let error = reader.event().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, 6));
}

#[test]
fn a_command_tag_gives_command_and_rows() {
    for (text, command, rows) in [
        ("SELECT 5", "SELECT", Some(5)),
        ("INSERT 0 17", "INSERT", Some(17)),
        ("CREATE TABLE", "CREATE TABLE", None),
        ("MERGE 3", "MERGE", Some(3)),
        ("BEGIN", "BEGIN", None),
        ("", "", None),
    ] {
        let tag = CommandTag::parse(format!("{text}\0").as_bytes()).unwrap();
        assert_eq!((tag.as_str(), tag.command(), tag.rows()), (text, command, rows));
    }
}

#[test]
fn an_error_of_our_own_reads_like_one_of_postgresql() {
    let mut out = Vec::new();
    backend::write_error(&mut out, "0A000", "no\0 copy", Some("select instead"));
    let error = ErrorResponse::parse(&out[5..]).unwrap();
    assert_eq!((error.code(), error.message(), error.hint()), ("0A000", "no copy", Some("select instead")));
    assert_eq!(error.to_string(), "ERROR: no copy (SQLSTATE 0A000)");
}

#[test]
fn each_type_has_its_kind() {
    let default = BlockOptions::default();
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(
        column(oid::BOOL, default, &[Some("t"), None, Some("f")]),
        [Value::Bool(true), Value::Null, Value::Bool(false)]
    );
    assert_eq!(
        column(oid::INT2, default, &[Some("-32768"), Some("7")]),
        [Value::Integer(-32768), Value::Integer(7)]
    );
    assert_eq!(
        column(oid::INT4, default, &[Some("-2147483648"), None]),
        [Value::Integer(-2_147_483_648), Value::Null]
    );
    assert_eq!(column(oid::OID, default, &[Some("4294967295")]), [Value::Integer(4_294_967_295)]);
    assert_eq!(
        column(oid::FLOAT8, default, &[Some("-0"), Some("1e-300")]),
        [Value::Float(-0.0), Value::Float(1e-300)]
    );
    assert_eq!(column(oid::INT8, default, &[Some("9223372036854775807")]), [text("9223372036854775807")]);
    assert_eq!(
        column(oid::JSON, default, &[Some("{\"a\" : 1}"), None]),
        [Value::Json("{\"a\" : 1}".into()), Value::Json("null".into())]
    );
    assert_eq!(
        column(oid::BYTEA, default, &[Some("\\x00fF"), None, Some("\\x")]),
        [Value::Bytes(vec![0, 255]), Value::Null, Value::Bytes(vec![])]
    );
    assert_eq!(
        column(oid::BYTEA, default, &[Some("a\\\\\\001\\377")]),
        [Value::Bytes(vec![b'a', b'\\', 1, 255])]
    );
    assert_eq!(
        column(oid::TIMESTAMPTZ, default, &[Some("2000-01-01 00:00:00+00"), None]),
        [Value::Timestamp(946_684_800_000.0), Value::Null]
    );
    assert_eq!(column(1700, default, &[Some("1.10"), Some("NaN")]), [text("1.10"), text("NaN")]);
    let int8 = BlockOptions { int8: Int8::Binary, ..default };
    assert_eq!(column(oid::INT8, int8, &[Some("-9223372036854775808")]), [Value::Integer(i64::MIN)]);
    let timestamps = BlockOptions { timestamps: Timestamps::Text, json: Json::Text, ..default };
    assert_eq!(column(oid::TIMESTAMP, timestamps, &[Some("infinity")]), [text("infinity")]);
    assert_eq!(column(oid::JSONB, timestamps, &[Some("[1]")]), [text("[1]")]);
    let values = BlockOptions { values: Values::Text, int8: Int8::Binary, ..default };
    for (oid, value) in [
        (oid::BOOL, "t"),
        (oid::INT4, "-1"),
        (oid::OID, "1"),
        (oid::INT8, "5"),
        (oid::FLOAT4, "0.1"),
        (oid::BYTEA, "\\x00"),
        (oid::TIMESTAMP, "2000-01-01 00:00:00"),
        (oid::JSONB, "{}"),
        (1700, "1.10"),
    ] {
        assert_eq!(column(oid, values, &[Some(value), None]), [text(value), Value::Null], "{oid}");
    }
}

#[test]
fn a_value_that_does_not_fit_makes_its_column_text() {
    for (oid, values) in [
        (oid::TIMESTAMPTZ, ["2000-01-01 00:00:00+00", "294276-12-31 23:59:59+00"]),
        (oid::TIMESTAMP, ["2000-01-01 00:00:00", "Sat 01 Jan 00:00:00 2000"]),
        (oid::INT4, ["1", "2147483648"]),
        (oid::BOOL, ["t", "true"]),
        (oid::BYTEA, ["\\x00", "\\x0"]),
        (oid::FLOAT8, ["1", "one"]),
    ] {
        let expected = values.map(|value| Value::Text(value.to_owned()));
        assert_eq!(column(oid, BlockOptions::default(), &values.map(Some)), expected);
    }
}

/// The kind of a block's only column, which has no text.
fn kind(oid: u32, values: &[Option<&str>]) -> u8 {
    let mut frames = Vec::new();
    frames::fields(&mut frames, &[("c", oid)]);
    values.iter().for_each(|value| frames::row(&mut frames, &[value.map(str::as_bytes)]));
    frames::frame(&mut frames, b'Z', b"I");
    let out = encode(Representation::Blocks(BlockOptions::default()), Batch::Single, &frames);
    let fields = u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize + 1;
    let arenas = u32::from_le_bytes(out[fields + 9..fields + 13].try_into().unwrap());
    out[fields + 18 + arenas as usize]
}

#[test]
fn json_is_taken_apart_where_all_values_are_objects_of_the_same_keys() {
    let alike: Vec<String> = (0..20).map(|i| format!("{{\"a\": {i}, \"b\": \"{i}\"}}")).collect();
    let with = |row: usize, value: &'static str| {
        let mut values: Vec<Option<&str>> = alike.iter().map(|text| Some(text.as_str())).collect();
        values[row] = Some(value);
        values
    };
    for (value, expected) in [
        (r#"{"a": 7, "b": "x"}"#, 9),
        (" {\t\"a\"\n:7 ,\r\"b\" : \"x\" } ", 9),
        (r#"{"a": null, "b": null}"#, 9),
        ("null", 9),
        (r#"{"a": 1.5, "b": "x"}"#, 9),
        (r#"{"a": 7, "b": [1, {"c": "]}\""}]}"#, 9),
        (r#"{"b": "x", "a": 7}"#, 6),
        (r#"{"a": 7}"#, 6),
        (r#"{"a": 7, "b": "x", "c": 1}"#, 6),
        ("[7]", 6),
        ("7", 6),
        ("{}", 6),
    ] {
        // The first value gives the keys, so an odd one counts wherever it is.
        for row in [3, 19] {
            let values = with(row, value);
            assert_eq!(kind(oid::JSONB, &values), expected, "{value}");
            let read = column(oid::JSONB, BlockOptions::default(), &values);
            for (read, given) in read.iter().zip(&values) {
                let Value::Json(read) = read else { panic!("{read:?}") };
                assert_eq!(blocks::parse(read), blocks::parse(given.unwrap()));
            }
        }
    }
    // What JSON.parse would decide otherwise, or what is not worth it.
    let long = format!("{{\"a\": 1, \"b\": [{}1]}}", "1, ".repeat(50));
    for (text, expected) in [
        (r#"{"a": 1, "a": 2}"#, 6),
        (r#"{"\u0061": 1}"#, 6),
        (r#"{"a": [1], "b": {"c": [2]}}"#, 6),
        (r#"{"a": {"b": 1}}"#, 6),
        (long.as_str(), 6),
        (r#"{"a": 1, "b": {"c": 1}}"#, 9),
    ] {
        assert_eq!(kind(oid::JSON, &[Some(text); 20]), expected, "{text}");
    }
    let values: Vec<Option<&str>> = alike.iter().map(|text| Some(text.as_str())).collect();
    assert_eq!(kind(oid::JSONB, &values[..8]), 9);
    assert_eq!(kind(oid::JSONB, &values[..7]), 6);
}

#[test]
fn numbers_of_objects_are_those_that_javascript_parses() {
    let numbers =
        ["-0", "0", "2147483648", "9007199254740993", "1e2", "-1.25E-3", "12345678901234567890123", "0.1"];
    let texts: Vec<String> = numbers.iter().map(|number| format!("{{\"n\": {number}}}")).collect();
    let values: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    for (value, number) in column(oid::JSON, BlockOptions::default(), &values).iter().zip(numbers) {
        let Value::Json(text) = value else { panic!("{value:?}") };
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        let expected: f64 = number.parse().unwrap();
        assert_eq!(read["n"].as_f64().unwrap().to_bits(), expected.to_bits(), "{number}");
    }
}

#[test]
fn an_encoder_that_starts_again_knows_nothing_of_the_answer_before() {
    let answer = |oid: u32, value: &str| {
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("c", oid)]);
        frames::row(&mut frames, &[Some(value.as_bytes())]);
        frames::frame(&mut frames, b'Z', b"I");
        frames
    };
    let int8 = BlockOptions { int8: Int8::Binary, ..BlockOptions::default() };
    let mut kept = BlockEncoder::new(BlockOptions::default());
    for (options, frames) in [
        (BlockOptions::default(), answer(oid::INT8, "1")),
        (BlockOptions::default(), answer(oid::INT8, "2")),
        (int8, answer(oid::INT8, "3")),
        (int8, answer(25, "four")),
        (BlockOptions::default(), answer(25, "five")),
    ] {
        let encoded = |encoder: &mut BlockEncoder, frames: &[u8]| {
            let (mut out, mut rest) = (Vec::new(), frames);
            while let Some(frame) = frame::first(rest, &Limits::default()).unwrap() {
                encoder.frame(frame, &mut out).unwrap();
                rest = &rest[frame.frame_len()..];
            }
            out
        };
        kept.restart(options);
        // Cut off in the middle of the rows, as when a client goes away.
        encoded(&mut kept, &frames[..frames.len() - 6]);
        kept.restart(options);
        assert_eq!(encoded(&mut kept, &frames), encoded(&mut BlockEncoder::new(options), &frames));
    }
}

const STRINGS: [Strings; 3] = [Strings::Utf8, Strings::Utf16, Strings::Utf16Joined];

#[test]
fn strings_of_every_length_and_alphabet_come_through() {
    let long = "é".repeat(40_000);
    let lengths = [0, 1, 251, 252, 253, 254, 255, 256, 65_535, 65_536, 70_000].map(|len| "a".repeat(len));
    let odd = format!("a{}", "é".repeat(125));
    let wide = ["é", "\u{feff}bom", "🦀🦀", "", &long, &odd, &"é".repeat(126), &"é".repeat(127)];
    for strings in STRINGS {
        let options = BlockOptions { strings, ..BlockOptions::default() };
        let values: Vec<Option<&str>> =
            lengths.iter().map(String::as_str).chain(wide).map(Some).chain([None]).collect();
        let expected: Vec<Value> = values
            .iter()
            .map(|value| value.map_or(Value::Null, |value| Value::Text(value.to_owned())))
            .collect();
        assert_eq!(column(25, options, &values), expected);
    }
}

#[test]
fn text_that_is_not_utf_8_is_replaced_at_the_latest_by_the_reader() {
    for len in [1, 251, 252, 253, 65_535, 65_536] {
        let mut value = "é".repeat(len / 2).into_bytes();
        value.push(0xff);
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("c", 25)]);
        frames::row(&mut frames, &[Some(&value)]);
        frames::frame(&mut frames, b'Z', b"I");
        let expected = Value::Text(String::from_utf8_lossy(&value).into_owned());
        for strings in STRINGS {
            let options = BlockOptions { strings, ..BlockOptions::default() };
            let (rows, _) = blocks::read(&encode(Representation::Blocks(options), Batch::Single, &frames));
            assert_eq!(rows, [[expected.clone()]]);
        }
    }
}

#[test]
fn long_text_shares_an_arena_where_that_is_faster() {
    let codes = |strings, text: &str| {
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("c", 25)]);
        frames::row(&mut frames, &[Some(text.as_bytes())]);
        frames::frame(&mut frames, b'Z', b"I");
        let options = BlockOptions { strings, ..BlockOptions::default() };
        let out = encode(Representation::Blocks(options), Batch::Single, &frames);
        let fields = frame::first(&out, &Limits::default()).unwrap().unwrap().frame_len();
        let body = &out[fields + 5..];
        let [ascii, wide] =
            [4, 8].map(|at| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize);
        body[13 + ascii + wide + 1]
    };
    let wide = |strings, len: usize| codes(strings, &"é".repeat(len / 2));
    let ascii = |strings, len: usize| codes(strings, &"a".repeat(len));
    assert_eq!([250, 252].map(|len| wide(Strings::Utf8, len)), [253, 254]);
    for strings in [Strings::Utf16, Strings::Utf16Joined] {
        assert_eq!([250, 252, 65_534, 65_536].map(|len| wide(strings, len)), [253, 253, 253, 254]);
    }
    for strings in [Strings::Utf8, Strings::Utf16] {
        assert_eq!([0, 251, 252, 65_535].map(|len| ascii(strings, len)), [0, 251, 254, 254]);
    }
    let joined = [0, 251, 252, 65_535, 65_536].map(|len| ascii(Strings::Utf16Joined, len));
    assert_eq!(joined, [0, 251, 252, 252, 254]);
}

#[test]
fn a_value_keeps_no_more_than_two_long_texts_alive() {
    let columns: Vec<(String, u32)> = (0..10).map(|column| (format!("c{column}"), 25)).collect();
    let columns: Vec<(&str, u32)> = columns.iter().map(|(name, oid)| (name.as_str(), *oid)).collect();
    for (text, strings) in [("a", Strings::Utf16Joined), ("é", Strings::Utf16Joined), ("é", Strings::Utf16)]
    {
        let text = text.repeat(60_000 / text.len());
        let mut frames = Vec::new();
        frames::fields(&mut frames, &columns);
        frames::row(&mut frames, &[Some(text.as_bytes()); 10]);
        frames::frame(&mut frames, b'Z', b"I");
        let options = BlockOptions { strings, ..BlockOptions::default() };
        let out = encode(Representation::Blocks(options), Batch::Single, &frames);
        let fields = frame::first(&out, &Limits::default()).unwrap().unwrap().frame_len();
        let arena = |at: usize| u32::from_le_bytes(out[fields + at..fields + at + 4].try_into().unwrap());
        let [ascii, wide] = [9, 13].map(arena);
        assert!(ascii <= 131_070 && wide <= 2 * 131_070, "{ascii} and {wide} bytes");
        assert!(ascii.max(wide) >= 60_000, "{ascii} and {wide} bytes");
        let (rows, _) = blocks::read(&out);
        assert_eq!(rows, [vec![Value::Text(text); 10]]);
    }
}

#[test]
fn blocks_are_bounded_and_rows_without_columns_are_counted() {
    let mut frames = Vec::new();
    frames::fields(&mut frames, &[]);
    for _ in 0..70_000 {
        frames::row(&mut frames, &[]);
    }
    frames::frame(&mut frames, b'Z', b"I");
    let (rows, tags) =
        blocks::read(&encode(Representation::Blocks(BlockOptions::default()), Batch::Single, &frames));
    assert_eq!((rows.len(), tags.as_slice()), (70_000, &b"FBBZ"[..]));

    let mut frames = Vec::new();
    frames::fields(&mut frames, &[("c", 25)]);
    for _ in 0..1000 {
        frames::row(&mut frames, &[Some(&[b'x'; 1000])]);
    }
    frames::frame(&mut frames, b'Z', b"I");
    let out = encode(Representation::Blocks(BlockOptions::default()), Batch::Single, &frames);
    let (rows, tags) = blocks::read(&out);
    assert_eq!(rows.len(), 1000);
    assert_eq!(tags.iter().filter(|&&tag| tag == b'B').count(), 16);
}

#[test]
fn a_row_that_does_not_fit_its_columns_is_refused() {
    for representation in
        [Representation::Blocks(BlockOptions::default()), Representation::Json(JsonOptions::default())]
    {
        let mut frames = Vec::new();
        frames::fields(&mut frames, &[("c", 25)]);
        let start = frames.len();
        frames::row(&mut frames, &[None, None]);
        let mut encoder = Encoder::new(representation, Batch::Single);
        let error = encoder.frames(&frames, &Limits::default(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.offset(), start as u64 + 5, "{error}");
        assert!(error.to_string().contains("2 values under 1 columns"), "{error}");
    }
}

#[test]
fn typed_json_is_one_object_whatever_happens() {
    let mut rows = Vec::new();
    frames::fields(
        &mut rows,
        &[("i", oid::INT4), ("f", oid::FLOAT8), ("j", oid::JSONB), ("b", oid::BOOL), ("n", 1700)],
    );
    frames::row(&mut rows, &[Some(b"1"), Some(b"NaN"), Some(b"{\"k\": [1]}"), Some(b"t"), Some(b"1.50")]);
    frames::row(&mut rows, &[None, Some(b"1e+20"), None, Some(b"f"), Some(b"\"q\\\n\x01")]);
    let mut select = rows.clone();
    frames::frame(&mut select, b'C', b"SELECT 2\0");
    let mut error = Vec::new();
    backend::write_error(&mut error, "22012", "division by zero", None);
    let ready = b"Z\0\0\0\x05I".to_vec();
    let error_json =
        r#""error":{"severity":"ERROR","code":"22012","message":"division by zero","statement":"#;
    let fields = r#"{"fields":[{"name":"i","type_oid":23},{"name":"f","type_oid":701},{"name":"j","type_oid":3802},{"name":"b","type_oid":16},{"name":"n","type_oid":1700}],"#;
    let objects = r#""rows":[{"i":1,"f":"NaN","j":{"k": [1]},"b":true,"n":"1.50"},{"i":null,"f":1e+20,"j":null,"b":false,"n":"\"q\\\n\u0001"}]"#;
    let arrays = r#""rows":[[1,"NaN",{"k": [1]},true,"1.50"],[null,1e+20,null,false,"\"q\\\n\u0001"]]"#;
    let done = r#","command":"SELECT","row_count":2}"#;
    for (name, batch, shape, frames, expected) in [
        (
            "one",
            Batch::Single,
            Rows::Object,
            [&select[..], &ready].concat(),
            format!("{fields}{objects}{done}\n"),
        ),
        (
            "arrays",
            Batch::Single,
            Rows::Array,
            [&select[..], &ready].concat(),
            format!("{fields}{arrays}{done}\n"),
        ),
        (
            "batch",
            Batch::Many,
            Rows::Object,
            [&select[..], &select, &ready].concat(),
            format!("{{\"results\":[{fields}{objects}{done},{fields}{objects}{done}]}}\n"),
        ),
        (
            "an error at once",
            Batch::Single,
            Rows::Object,
            [&error[..], &ready].concat(),
            format!("{{{error_json}0}}}}\n"),
        ),
        (
            "an error after rows",
            Batch::Single,
            Rows::Object,
            [&rows[..], &error, &ready].concat(),
            format!("{fields}{objects},{error_json}0}}}}\n"),
        ),
        (
            "a batch that fails at once",
            Batch::Many,
            Rows::Object,
            [&error[..], &ready].concat(),
            format!("{{\"results\":[],{error_json}0}}}}\n"),
        ),
        (
            "a batch that fails later",
            Batch::Many,
            Rows::Object,
            [&select[..], &error, &ready].concat(),
            format!("{{\"results\":[{fields}{objects}{done}],{error_json}1}}}}\n"),
        ),
        (
            "a batch that fails in rows",
            Batch::Many,
            Rows::Object,
            [&rows[..], &error, &ready].concat(),
            format!("{{\"results\":[{fields}{objects}}}],{error_json}0}}}}\n"),
        ),
        (
            "no rows",
            Batch::Single,
            Rows::Object,
            [&b"C\0\0\0\x11CREATE TABLE\0"[..], &ready].concat(),
            "{\"fields\":[],\"rows\":[],\"command\":\"CREATE TABLE\",\"row_count\":null}\n".to_owned(),
        ),
    ] {
        assert_eq!(json(batch, shape, &frames), expected, "{name}");
    }
    let left_open = json(Batch::Single, Rows::Object, b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T");
    assert!(left_open.contains(r#""code":"25000""#), "{left_open}");
}

#[test]
fn bare_rows_of_typed_json_are_an_array_or_say_that_they_are_not_all() {
    let mut start = Vec::new();
    frames::fields(&mut start, &[("i", oid::INT4)]);
    let mut rows = start.clone();
    frames::row(&mut rows, &[Some(b"1")]);
    frames::row(&mut rows, &[None]);
    let done = b"C\0\0\0\rSELECT 2\0".to_vec();
    let mut error = Vec::new();
    backend::write_error(&mut error, "22012", "division by zero", None);
    let ready = b"Z\0\0\0\x05I".to_vec();
    let failed = |statement| {
        format!(
            r#"{{"error":{{"severity":"ERROR","code":"22012","message":"division by zero","statement":{statement}}}}}"#
        )
    };
    let objects = r#"[{"i":1},{"i":null}"#;
    for (name, shape, frames, expected) in [
        ("objects", Rows::Object, [&rows[..], &done, &ready].concat(), format!("{objects}]\n")),
        ("arrays", Rows::Array, [&rows[..], &done, &ready].concat(), "[[1],[null]]\n".to_owned()),
        ("none", Rows::Object, [&start[..], &done, &ready].concat(), "[]\n".to_owned()),
        ("no fields", Rows::Object, [&done[..], &ready].concat(), "[]\n".to_owned()),
        ("an error at once", Rows::Object, [&error[..], &ready].concat(), format!("{}\n", failed(0))),
        ("before a row", Rows::Object, [&start[..], &error, &ready].concat(), format!("{}\n", failed(0))),
        ("behind rows", Rows::Object, [&rows[..], &error].concat(), format!("{objects}\n{}\n", failed(0))),
        (
            "at commit",
            Rows::Object,
            [&rows[..], &done, &error].concat(),
            format!("{objects}]\n{}\n", failed(1)),
        ),
    ] {
        let options = JsonOptions { rows: shape, result: JsonResult::Rows };
        let out = encode(Representation::Json(options), Batch::Single, &frames);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{name}");
    }
}

#[test]
fn accept_chooses_by_quality_and_refuses_what_it_does_not_know() {
    let blocks = "application/vnd.onetrip.blocks";
    let default = Representation::Json(JsonOptions::default());
    let utf16 = Representation::Blocks(BlockOptions { strings: Strings::Utf16, ..BlockOptions::default() });
    for (accept, expected) in [
        ("*/*", Ok(default)),
        ("text/html, */*;q=0.1", Ok(default)),
        ("application/vnd.onetrip.pgwire", Ok(Representation::Frames)),
        ("application/json;q=0.5, application/vnd.onetrip.blocks; strings=utf16", Ok(utf16)),
        ("Application/Vnd.Onetrip.Blocks; Strings=\"UTF16\"", Ok(utf16)),
        (
            "application/json; rows=array",
            Ok(Representation::Json(JsonOptions { rows: Rows::Array, ..JsonOptions::default() })),
        ),
        (
            "application/json; result=rows",
            Ok(Representation::Json(JsonOptions { result: JsonResult::Rows, ..JsonOptions::default() })),
        ),
        ("application/json; result=some", Err("result=some")),
        (
            "application/vnd.onetrip.blocks; values=text",
            Ok(Representation::Blocks(BlockOptions { values: Values::Text, ..BlockOptions::default() })),
        ),
        ("application/vnd.onetrip.blocks; values=binary", Err("values=binary")),
        ("text/html", Err("text/html")),
        ("", Err("asks for")),
        ("application/json;q=0", Err("asks for")),
        ("application/vnd.onetrip.blocks; strings=latin1", Err("strings=latin1")),
        ("application/json; q=2", Err("q=2")),
    ] {
        let chosen = Representation::negotiate(accept, default);
        match expected {
            Ok(expected) => assert_eq!(chosen.as_ref(), Ok(&expected), "{accept}"),
            Err(text) => assert!(chosen.clone().unwrap_err().contains(text), "{accept}: {chosen:?}"),
        }
    }
    assert_eq!(utf16.media_type(), blocks);
}

#[test]
fn problems_read_back_as_they_were_written() {
    for &code in Code::ALL {
        assert_eq!(Code::from_name(code.name()), Some(code));
        let problem = Problem::new(code, "what happened", "r1").sqlstate("28P01");
        let written = serde_json::to_string(&problem).unwrap();
        let read: onetrip_wire::problem::ReceivedProblem = serde_json::from_str(&written).unwrap();
        assert_eq!(read.code.as_deref(), Some(code.name()));
        assert_eq!((read.retryable, read.sqlstate.as_deref()), (code.retryable(), Some("28P01")));
        assert!(written.contains(&format!("\"status\":{}", code.status())), "{written}");
    }
    assert_eq!(Code::from_name("no_such_code"), None);
}

#[test]
fn sqlstates_have_classes() {
    for (sqlstate, expected) in [
        ("40001", Class::Conflict),
        ("40P01", Class::Conflict),
        ("40002", Class::Other),
        ("57014", Class::Cancelled),
        ("57P01", Class::Unavailable),
        ("53300", Class::Unavailable),
        ("23505", Class::Constraint),
        ("22P02", Class::Data),
        ("42601", Class::Statement),
        ("28P01", Class::Credentials),
        ("", Class::Other),
        ("é", Class::Other),
    ] {
        assert_eq!(class(sqlstate), expected, "{sqlstate}");
    }
}
