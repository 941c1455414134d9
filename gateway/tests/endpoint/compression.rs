//! Compression of answers: for who accepts it, part by part, and not where it is of no use.

use std::io::Read;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use onetrip_wire::representation::{BLOCKS, FRAMES, JSON};

use crate::support::{Endpoint, collect, connect, pipeline, postgres};

const MANY_ROWS: &str = "select n, 'name ' || n as name from generate_series(1, 20000) n";

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        "" => text.extend_from_slice(body),
        "gzip" => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut text).unwrap()),
        "br" => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut text).unwrap()),
        "zstd" => text = zstd::stream::decode_all(body).unwrap(),
        other => panic!("{other}"),
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_in_every_coding() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    for (sql, whole) in
        [("select n, 'name ' || n as name from generate_series(1, 500) n", true), (MANY_ROWS, false)]
    {
        for representation in [FRAMES, BLOCKS, JSON] {
            let mut sizes = Vec::new();
            let mut plain = Vec::new();
            for (accepted, coding) in [
                ("", ""),
                ("identity", ""),
                ("gzip", "gzip"),
                ("br", "br"),
                ("zstd", "zstd"),
                ("gzip, deflate, br", "br"),
            ] {
                let mut request = owner.request(FRAMES, representation, pipeline(&[&[sql]]));
                request.headers_mut().insert("accept-encoding", HeaderValue::from_static(accepted));
                let reply = owner.send(request).await;
                let what = format!("{representation}, {accepted:?}");
                assert_eq!(
                    (reply.status.as_u16(), reply.header("content-encoding")),
                    (200, coding),
                    "{what}"
                );
                assert!(!reply.cut && reply.header("vary").contains("accept-encoding"), "{what}");
                assert_eq!(reply.header("content-length").is_empty(), !whole, "{what}");
                let body = decoded(coding, &reply.body);
                if plain.is_empty() {
                    plain.clone_from(&body);
                }
                assert!(body == plain, "{what}");
                sizes.push(reply.body.len());
            }
            assert!(sizes[2..].iter().all(|size| size * 10 < sizes[0] * 7), "{representation}: {sizes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_become_smaller_is_sent_as_it_is() {
    let endpoint = Endpoint::shared().await;
    let switched_off = Endpoint::with(postgres(), "compression.codings = []", "sslmode=disable", "").await;
    let gzip_from_nothing = "compression = { codings = [\"gzip\"], least_bytes = 0 }";
    let eager = Endpoint::with(postgres(), gzip_from_nothing, "sslmode=disable", "").await;
    for (endpoint, sql, expected) in [
        (&endpoint, "select 1 as a", ""),
        (&switched_off, "select repeat('x', 5000) as a", ""),
        (&endpoint, "select repeat('x', 5000) as a", "zstd"),
        (&eager, "select repeat('x', 5000) as a", "gzip"),
        (&eager, "select 1 as a", ""),
    ] {
        let owner = endpoint.owner();
        let mut request = owner.request(JSON, JSON, serde_json::json!({ "sql": sql }).to_string());
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("zstd, gzip, br"));
        let reply = owner.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-encoding")), (200, expected), "{sql}");
        assert_eq!(reply.headers.contains_key("vary"), !std::ptr::eq(endpoint, &switched_off));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_part_can_be_read_while_a_later_statement_runs() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    for coding in ["gzip", "br", "zstd"] {
        let mut sender = connect(endpoint.address).await;
        let body = pipeline(&[&["select 'early'"], &["select 'late' from pg_sleep(600)"]]);
        let mut request = owner.request(FRAMES, FRAMES, body);
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static(coding));
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let mut received = Vec::new();
        let mut seen = Vec::new();
        while !seen.windows(5).any(|window| window == b"early") {
            let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await.expect(coding);
            received.extend_from_slice(frame.unwrap().unwrap().data_ref().unwrap());
            seen = read_on(coding, &received);
        }
    }
}

/// As much as a stream that has not ended gives.
fn read_on(coding: &str, compressed: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read + '_> = match coding {
        "zstd" => Box::new(zstd::stream::read::Decoder::new(compressed).unwrap()),
        "br" => Box::new(brotli::Decompressor::new(compressed, 4096)),
        _ => Box::new(flate2::read::GzDecoder::new(compressed)),
    };
    let (mut text, mut piece) = (Vec::new(), [0; 1000]);
    while let Ok(read) = reader.read(&mut piece)
        && read > 0
    {
        text.extend_from_slice(&piece[..read]);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_over_the_limit_of_an_answer_end_it_with_an_error_in_their_place() {
    let endpoint =
        Endpoint::with(postgres(), "limits.response_bytes = \"100 KiB\"", "sslmode=disable", "").await;
    let owner = endpoint.owner();
    let fits = "select repeat('x', 1000) from generate_series(1, 90)";
    let reply = owner.frames(pipeline(&[&[fits]])).await;
    assert!(!reply.cut && reply.tags().ends_with("CZ"), "{}", reply.tags());
    for accepted in ["identity", "gzip"] {
        let body = pipeline(&[&["select 1"], &["select repeat('x', 1000) from generate_series(1, 100000)"]]);
        let mut request = owner.request(FRAMES, FRAMES, body);
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static(accepted));
        let mut sender = connect(endpoint.address).await;
        let reply = collect(sender.send_request(request).await.unwrap()).await;
        assert!(reply.cut, "{accepted}");
        let coding = reply.header("content-encoding").to_owned();
        let body = if coding.is_empty() { reply.body.to_vec() } else { read_on(&coding, &reply.body) };
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains("limit of 102400 bytes (limits.response_bytes)") && text.contains("54000"),
            "{accepted}"
        );
        assert!(body.len() > 90_000 && body.len() < 110_000, "{accepted}: {} bytes", body.len());
    }
    assert_eq!(owner.value("select 1").await, 1);
}
