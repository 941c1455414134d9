//! HTTP itself: problems before PostgreSQL, CORS, HTTP/2, limits.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use onetrip_wire::representation::{BLOCKS, FRAMES, JSON};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Endpoint, Reply, collect, connect, connect_h2, pipeline, postgres, send};

const ONE: &str = r#"{"sql": "select 1 as a"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_a_problem_with_its_code() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    let path = |path: &str, method: Method| {
        let mut request = owner.request(JSON, JSON, ONE);
        *request.uri_mut() = path.parse().unwrap();
        *request.method_mut() = method;
        request
    };
    let header = |name: &'static str, value: &str| {
        let mut request = owner.request(JSON, JSON, ONE);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let body = |content_type: &str, body: &'static [u8]| {
        owner.request(content_type, "*/*", Bytes::from_static(body))
    };
    for (request, status, code, detail) in [
        (path("/v1/app", Method::POST), 404, "not_found", "/v1/{database}/pipeline"),
        (path("/v1/other/pipeline", Method::POST), 404, "unknown_database", "no database of the name"),
        (path("/v1/%ff/pipeline", Method::POST), 400, "malformed_request", "percent-decoding"),
        (path("/v1/app/pipeline", Method::GET), 405, "method_not_allowed", "takes POST"),
        (path("/healthz", Method::POST), 405, "method_not_allowed", "takes GET"),
        (header("accept", "text/html"), 406, "not_acceptable", "text/html"),
        (header("accept", &format!("{BLOCKS};strings=utf7")), 406, "not_acceptable", "strings=utf7"),
        (header("content-type", "text/plain"), 415, "unsupported_media_type", FRAMES),
        (header("content-encoding", "gzip"), 415, "unsupported_media_type", "Content-Encoding"),
        (body(JSON, b"{"), 400, "malformed_request", "not JSON"),
        (
            body(JSON, b"{\"batch\": [{\"sql\": \"a\"}, {\"sql\": 1}]}"),
            400,
            "malformed_request",
            "batch[1].sql",
        ),
        (body(FRAMES, b""), 400, "malformed_request", "empty"),
        (body(FRAMES, b"P\0\0\0\x08"), 400, "malformed_request", "byte 1: the last frame is longer"),
        (body(FRAMES, b"p\0\0\0\x05\0"), 400, "malformed_request", "byte 0"),
    ] {
        let reply = owner.send(request).await;
        let problem = reply.problem(status, code);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{code}: {problem}");
        assert_eq!(problem["retryable"], false);
        assert_eq!(reply.header("cache-control"), "no-store");
        match status {
            405 => assert!(["POST", "GET, HEAD"].contains(&reply.header("allow"))),
            _ => assert_eq!(reply.header("allow"), ""),
        }
    }
    assert_eq!(owner.value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_representation_follows_accept_and_else_the_request() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    for (content_type, accept, expected) in [
        (JSON, None, JSON),
        (FRAMES, None, FRAMES),
        (JSON, Some("*/*"), JSON),
        (FRAMES, Some("*/*"), FRAMES),
        (JSON, Some(FRAMES), FRAMES),
        (JSON, Some("application/json;q=0.5, application/vnd.onetrip.blocks;strings=utf16"), BLOCKS),
        (JSON, Some("application/vnd.onetrip.blocks; strings=utf16-joined"), BLOCKS),
    ] {
        let body =
            if content_type == JSON { ONE.as_bytes().to_vec() } else { pipeline(&[&["select 1 as a"]]) };
        let mut request = owner.request(content_type, "", body);
        request.headers_mut().remove("accept");
        if let Some(accept) = accept {
            request.headers_mut().insert("accept", accept.parse().unwrap());
        }
        let reply = owner.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, expected), "{accept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_at_once() {
    let endpoint = Endpoint::with(postgres(), "limits.request_bytes = 1000", "sslmode=disable", "").await;
    let owner = endpoint.owner();
    // Announced, and never sent: the answer does not wait for it.
    let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
    let head = format!(
        "POST /v1/app/pipeline HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: {JSON}\r\n\
         content-length: 1001\r\n\r\n",
        owner.authorization
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("limit of 1000 bytes"), "{answer}");

    // Not announced: counted while it arrives.
    let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
    let head = head.replace("content-length: 1001", "transfer-encoding: chunked");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer[..read]));

    let fits = format!(r#"{{"sql": "select 1 as a", "params": [{}"#, "").len();
    assert!(fits < 1000);
    owner
        .json(&format!("{{\"sql\": \"select 1 --{}\"}}", "x".repeat(1000)))
        .await
        .problem(413, "request_too_large");
    assert_eq!(owner.value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_much_and_is_refused_reads_why() {
    let endpoint =
        Endpoint::with(postgres(), "limits.request_bytes = \"30 MiB\"", "sslmode=disable", "").await;
    let owner = endpoint.owner();
    let body = Bytes::from(vec![b' '; 20 << 20]);
    let with = |name: &'static str, value: &str| {
        let mut request = owner.request(JSON, JSON, body.clone());
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (request, status, code) in [
        (with("authorization", "Bearer x"), 401, "invalid_credentials"),
        (with("content-type", "text/plain"), 415, "unsupported_media_type"),
        (with("accept", "text/html"), 406, "not_acceptable"),
        (owner.request(JSON, JSON, body.clone()), 400, "malformed_request"),
        (owner.request(JSON, JSON, vec![b' '; 31 << 20]), 413, "request_too_large"),
    ] {
        owner.send(request).await.problem(status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for_long() {
    let limits = "limits.body_timeout = \"200ms\"\nlimits.header_timeout = \"300ms\"";
    let endpoint = Endpoint::with(postgres(), limits, "sslmode=disable", "").await;
    let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
    let head = format!(
        "POST /v1/app/pipeline HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: {JSON}\r\n\
         content-length: 100\r\n\r\n{{",
        endpoint.owner().authorization
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("did not arrive within"), "{answer}");

    for head in ["", "P", "POST /v1/app/pipeline HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(endpoint.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end of the stream, however the endpoint says it: this read is over.
        let _ = stream.read_to_end(&mut answer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_headers_are_refused() {
    let endpoint = Endpoint::with(postgres(), "limits.headers = 10", "sslmode=disable", "").await;
    let owner = endpoint.owner();
    let mut request = owner.request(JSON, JSON, ONE);
    for index in 0..20 {
        let name = hyper::header::HeaderName::from_bytes(format!("x-{index}").as_bytes()).unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(owner.send(request).await.status, 431);
    assert_eq!(owner.value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_takes_many_requests_at_once() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 4").await;
    let owner = endpoint.owner();
    let sender = connect_h2(endpoint.address).await;
    let asked: Vec<_> = (0..20)
        .map(|index| {
            let mut sender = sender.clone();
            let body = format!(r#"{{"sql": "select $1::int as a", "params": [{index}]}}"#);
            let request = owner.request(JSON, JSON, body);
            tokio::spawn(async move { collect(sender.send_request(request).await.unwrap()).await })
        })
        .collect();
    for (index, asked) in asked.into_iter().enumerate() {
        let reply = asked.await.unwrap();
        assert_eq!(reply.value()["rows"][0]["a"], index);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_alive_connection_takes_one_request_after_the_other() {
    let endpoint = Endpoint::shared().await;
    let owner = endpoint.owner();
    let mut sender = connect(endpoint.address).await;
    for body in [ONE, "{", r#"{"sql": "select 1/0"}"#, ONE] {
        sender.ready().await.unwrap();
        let reply = collect(sender.send_request(owner.request(JSON, JSON, body)).await.unwrap()).await;
        assert!([200, 400].contains(&reply.status.as_u16()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_credentials() {
    let endpoint = Endpoint::shared().await;
    let get = |method: Method| {
        Request::builder().method(method).uri("/healthz").header("host", "x").body(Full::default()).unwrap()
    };
    let reply = send(endpoint.address, get(Method::GET)).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "ok\n"));
    assert_eq!(send(endpoint.address, get(Method::HEAD)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_use_the_endpoint() {
    let toml = "cors.allowed_origins = [\"https://app.example\", \"http://localhost:3000\"]";
    let listed = Endpoint::with(postgres(), toml, "sslmode=disable", "").await;
    let any = Endpoint::with(postgres(), "cors.allowed_origins = [\"*\"]", "sslmode=disable", "").await;
    let none = Endpoint::shared().await;
    for (endpoint, origin, expected) in [
        (&listed, "https://app.example", "https://app.example"),
        (&listed, "http://localhost:3000", "http://localhost:3000"),
        (&listed, "https://evil.example", ""),
        (&any, "https://anything.example", "*"),
        (&none, "https://app.example", ""),
    ] {
        let preflight = Request::options("/v1/app/pipeline")
            .header("host", "x")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Full::default())
            .unwrap();
        let reply = send(endpoint.address, preflight).await;
        assert_eq!(reply.status, 204, "{origin}");
        assert_eq!(reply.header("access-control-allow-origin"), expected, "{origin}");
        let headers = reply.header("access-control-allow-headers").to_owned();
        assert_eq!(
            headers.contains("authorization") && headers.contains("content-type"),
            !expected.is_empty()
        );
        assert_eq!(reply.header("access-control-allow-methods").contains("POST"), !expected.is_empty());

        let mut request = endpoint.owner().request(JSON, JSON, ONE);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let check = |reply: &Reply| {
            assert_eq!(reply.header("access-control-allow-origin"), expected, "{origin}");
            for name in ["onetrip-request-id", "server-timing", "retry-after"] {
                let exposed = reply.header("access-control-expose-headers").contains(name);
                assert_eq!(exposed, !expected.is_empty(), "{origin}: {name}");
            }
        };
        check(&endpoint.owner().send(request.clone()).await);
        // A page can read problems, too.
        request.headers_mut().remove("authorization");
        let reply = endpoint.owner().send(request).await;
        assert_eq!(reply.status, 401);
        check(&reply);
    }
    let reply = listed.owner().json(ONE).await;
    let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-encoding", "origin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_name_may_need_escaping_in_the_path() {
    let toml = format!(
        "listen = '127.0.0.1:0'\n[databases.\"my dät/a\"]\nurl = 'postgresql://127.0.0.1:{}/postgres'",
        postgres().port()
    );
    let endpoint = Endpoint::start(&toml).await;
    let caller = endpoint.caller(postgres().superuser(), postgres().password());
    let mut request = caller.request(JSON, JSON, ONE);
    *request.uri_mut() = "/v1/my%20d%C3%A4t%2Fa/pipeline".parse().unwrap();
    assert_eq!(caller.send(request).await.value()["rows"][0]["a"], 1);
}
