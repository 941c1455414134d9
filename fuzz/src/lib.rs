//! What each fuzz target does with its bytes. A target fails by panicking.
//!
//! `cargo +nightly fuzz run <target> --features libfuzzer` runs one with coverage for as long as you like;
//! `cargo run --release --bin short -- <seconds>` runs all of them on any compiler, with mutations of valid input.

mod driver;

pub use driver::{config, driver, neon, problem};
use onetrip_wire::encoder::{Batch, Encoder};
use onetrip_wire::frame::Limits;
use onetrip_wire::representation::{
    BlockOptions, Int8, Json, JsonOptions, JsonResult, Representation, Rows, Strings, Timestamps, Values,
};
use onetrip_wire::request::Request;
use onetrip_wire::response::{Event, ResponseReader};

/// Small enough that a length of the input can be over it.
fn limits() -> Limits {
    Limits::default().frame_bytes(1 << 20)
}

/// A request body is refused with an offset inside it, or its ranges lie inside it.
pub fn request(data: &[u8]) {
    match Request::parse(data, &limits()) {
        Err(error) => assert!(error.offset() <= data.len() as u64, "{error}"),
        Ok(Request::Script) => assert_eq!(data[0], b'Q'),
        Ok(Request::Pipeline(groups)) => {
            for statement in groups.iter().flat_map(|group| &group.statements) {
                assert_eq!(data[statement.parse.clone()][0], b'P');
                assert_eq!(data[statement.bind.clone()][0], b'B');
                assert_eq!(data[statement.describe_execute.clone()][0], b'D');
                assert!(std::str::from_utf8(&data[statement.sql.clone()]).is_ok());
                assert_eq!(statement.parameter_types.len() % 4, 0);
            }
        }
    }
}

/// An answer says the same whole and in chunks; the first byte gives their length.
pub fn response(data: &[u8]) {
    let Some((&chunk, answer)) = data.split_first() else { return };
    let read = |chunk: usize| -> (usize, Option<String>) {
        let mut reader = ResponseReader::new(2, limits());
        let mut events = 0;
        for chunk in answer.chunks(chunk) {
            reader.push(chunk);
            loop {
                match reader.event() {
                    Ok(None) => break,
                    Ok(Some(event)) => {
                        events += 1;
                        if let Event::Row(row) = event {
                            (0..row.len()).for_each(|index| assert!(row.value(index).is_some()));
                        }
                    }
                    Err(error) => {
                        assert!(error.offset() <= answer.len() as u64, "{error}");
                        return (events, Some(error.to_string()));
                    }
                }
            }
        }
        (events, reader.finish().err().map(|error| error.to_string()))
    };
    assert_eq!(read(usize::from(chunk).max(1)), read(usize::MAX));
}

/// Whatever frames come, each representation takes them or refuses them; the first byte chooses the options.
pub fn encoder(data: &[u8]) {
    let Some((&choice, frames)) = data.split_first() else { return };
    let bit = |bit: u8| choice & (1 << bit) != 0;
    let blocks = BlockOptions {
        strings: match (bit(0), bit(4)) {
            (false, _) => Strings::Utf8,
            (true, false) => Strings::Utf16,
            (true, true) => Strings::Utf16Joined,
        },
        int8: if bit(1) { Int8::Binary } else { Int8::Text },
        timestamps: if bit(2) { Timestamps::Text } else { Timestamps::Milliseconds },
        json: if bit(3) { Json::Text } else { Json::Parsed },
        values: if bit(6) { Values::Text } else { Values::Typed },
    };
    let json = JsonOptions {
        rows: if bit(4) { Rows::Array } else { Rows::Object },
        result: if bit(6) { JsonResult::Rows } else { JsonResult::Full },
    };
    let batch = if bit(5) { Batch::Many } else { Batch::Single };
    for representation in [Representation::Frames, Representation::Blocks(blocks), Representation::Json(json)]
    {
        let (mut encoder, mut out) = (Encoder::new(representation, batch), Vec::new());
        if encoder.frames(frames, &limits(), &mut out).is_ok() {
            encoder.finish(&mut out);
        }
        // A block of a row is at most a few times its text; nothing may blow up.
        assert!(out.len() <= 1024 + 64 * frames.len(), "{} bytes from {}", out.len(), frames.len());
    }
}

/// Any `Accept` header is answered.
pub fn accept(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Representation::negotiate(text, Representation::Frames);
    }
}

/// Valid inputs to start from, for each target by name.
pub fn seeds() -> Vec<(&'static str, fn(&[u8]), Vec<Vec<u8>>)> {
    use onetrip_wire::frontend::{self, Format, Parameter, Statement};
    let mut pipeline = Vec::new();
    let parameters = [
        Parameter { type_oid: 23, format: Format::Binary, value: Some(&[0, 0, 0, 7]) },
        Parameter { type_oid: 0, format: Format::Text, value: None },
    ];
    for _ in 0..2 {
        let statement =
            Statement { sql: "select $1, $2", parameters: &parameters, result_format: Format::Text };
        frontend::statement(&mut pipeline, &statement).expect("a valid statement");
        frontend::sync(&mut pipeline);
    }
    let mut script = Vec::new();
    frontend::query(&mut script, "select 1; select 2").expect("a valid script");
    let answer = answer();
    let chosen = |choice: u8| [&[choice][..], &answer].concat();
    let (answers, neon_answers) = (vec![binary_answer(), answer.clone()], driver::neon_seeds());
    vec![
        ("driver", driver, answers),
        ("neon", neon, neon_answers),
        ("problem", problem, driver::problem_seeds()),
        (
            "config",
            config,
            vec![b"https://app:p%40ss@[::1]:8443/sh%C3%BCp".to_vec(), b"postgres://h".to_vec()],
        ),
        ("request", request, vec![pipeline, script]),
        ("response", response, vec![chosen(1), chosen(7)]),
        ("encoder", encoder, (0..128).map(chosen).collect()),
        ("accept", accept, vec![b"application/vnd.onetrip.blocks; strings=utf16; q=0.5, */*".to_vec()]),
    ]
}

/// The frames of one statement's answer in binary format.
fn binary_answer() -> Vec<u8> {
    let array: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7];
    let columns: &[(u32, &[u8])] = &[
        (16, &[1]),
        (17, &[0, 255]),
        (20, &[0; 8]),
        (23, &[0, 0, 0, 7]),
        (25, "café".as_bytes()),
        (701, &[0; 8]),
        (869, &[2, 32, 0, 4, 10, 0, 0, 1]),
        (1007, array),
        (1082, &[0; 4]),
        (1184, &[0; 8]),
        (1186, &[0; 16]),
        (1700, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 7]),
        (2950, &[7; 16]),
        (3802, b"\x01{}"),
        (3904, &[2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 5]),
        (99_999, b"happy"),
        (99_998, array),
    ];
    let mut out = Vec::new();
    let mut push = |tag: u8, body: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(body);
    };
    let count = (columns.len() as u16).to_be_bytes();
    let (mut description, mut row) = (count.to_vec(), count.to_vec());
    for (oid, value) in columns {
        description.extend_from_slice(b"name\0\0\0\0\0\0\0");
        description.extend_from_slice(&oid.to_be_bytes());
        description.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1]);
        row.extend_from_slice(&(value.len() as u32).to_be_bytes());
        row.extend_from_slice(value);
    }
    push(b'T', &description);
    push(b'D', &row);
    push(b'C', b"SELECT 1\0");
    push(b'Z', b"I");
    out
}

/// The frames of an answer with a column of each kind.
fn answer() -> Vec<u8> {
    let columns: &[(u32, &str)] = &[
        (16, "t"),
        (17, "\\x00ff"),
        (20, "-9223372036854775808"),
        (23, "2147483647"),
        (25, "caf\u{e9} \u{1f980}"),
        (26, "4294967295"),
        (114, "{\"a\": [1, null]}"),
        (701, "-1.5e-300"),
        (1184, "2024-02-29 12:34:56.789+05:30"),
        (1700, "1.10"),
    ];
    let mut out = Vec::new();
    let mut push = |tag: u8, body: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(body);
    };
    let count = (columns.len() as u16).to_be_bytes();
    let mut description = count.to_vec();
    let mut row = count.to_vec();
    let mut nulls = count.to_vec();
    for (oid, text) in columns {
        description.extend_from_slice(b"name\0\0\0\0\0\0\0");
        description.extend_from_slice(&oid.to_be_bytes());
        description.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        row.extend_from_slice(&(text.len() as u32).to_be_bytes());
        row.extend_from_slice(text.as_bytes());
        nulls.extend_from_slice(&[0xff; 4]);
    }
    push(b'1', b"");
    push(b'2', b"");
    push(b'T', &description);
    push(b'D', &row);
    push(b'D', &nulls);
    push(b'D', &row);
    push(b'C', b"SELECT 3\0");
    push(b'Z', b"I");
    push(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    push(b'E', b"SERROR\0VERROR\0C22012\0Mdivision by zero\0P8\0\0");
    push(b'Z', b"I");
    out
}
