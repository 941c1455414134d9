//! What an operator sees: metrics, probes, lines of the log.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::Request;
use onetrip_wire::representation::{FRAMES, JSON};
use serde_json::Value;

use crate::program::{Running, program, url};
use crate::support::{
    Caller, Endpoint, Reply, basic, connect, eventually, pipeline, postgres, send, start_postgres,
};

fn get(path: &str, authorization: Option<&str>) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::get(path).header("host", "x");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.body(Full::default()).unwrap()
}

/// The samples of a text by name and labels; every line must be one, or belong to a family.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut family) = (BTreeMap::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(!samples.keys().any(|name: &String| name == &family), "{family} comes twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&family), "{line} stands in {family}");
            let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(samples.insert(name.to_owned(), value).is_none(), "{line} comes twice");
        }
    }
    samples
}

const TOKEN: &str = "a-token-for-the-metrics";

async fn metrics(endpoint: &Endpoint) -> BTreeMap<String, f64> {
    let reply = send(endpoint.address, get("/metrics", Some(&format!("Bearer {TOKEN}")))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    samples(&reply.text())
}

async fn watched(options: &str) -> Endpoint {
    let global = format!("metrics = {{ listen = \"same\", token = \"{TOKEN}\" }}");
    Endpoint::with(postgres(), &global, "sslmode=disable", options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let endpoint = watched("pool_size = 1\npool_timeout = \"100ms\"").await;
    let owner = endpoint.owner();
    let body = r#"{"sql": "select n from generate_series(1, 10) n"}"#;
    let answer = owner.json(body).await;
    assert_eq!(owner.sql("select 1/0").await["error"]["code"], "22012");
    assert_eq!(owner.sql("select * from not_there").await["error"]["code"], "42P01");
    assert_eq!(
        owner.sql("do $$ begin raise exception using errcode = 'ZZ999'; end $$").await["error"]["code"],
        "ZZ999"
    );
    owner.json("{").await.problem(400, "malformed_request");
    let stranger = endpoint.caller("nobody_of_that_name", "x");
    stranger.json(body).await.problem(401, "invalid_credentials");
    let mut elsewhere = owner.request(JSON, JSON, body);
    *elsewhere.uri_mut() = "/v1/a-name-that-somebody-made-up/pipeline".parse().unwrap();
    owner.send(elsewhere).await.problem(404, "unknown_database");

    let has = |found: &BTreeMap<String, f64>, name: &str, value: f64| {
        assert_eq!(found.get(name), Some(&value), "{name} in {found:#?}");
    };
    // The only connection is taken: one request runs, another is refused.
    let mut busy = connect(endpoint.address).await;
    let request = owner.request(FRAMES, FRAMES, pipeline(&[&["select 1"], &["select pg_sleep(600)"]]));
    let running = busy.send_request(request).await.unwrap();
    owner.json(body).await.problem(503, "pool_timeout");
    let found = metrics(&endpoint).await;
    has(&found, "onetrip_connections{database=\"app\",state=\"in_use\"}", 1.0);
    has(&found, "onetrip_connections{database=\"app\",state=\"idle\"}", 0.0);
    has(&found, "onetrip_connections_max{database=\"app\"}", 1.0);
    has(&found, "onetrip_requests_in_flight", 2.0);
    drop(running);
    drop(busy);
    eventually("the answer is counted as cut", async || {
        metrics(&endpoint).await["onetrip_answers_cut_total{database=\"app\"}"] == 1.0
    })
    .await;
    eventually("the connection is closed", async || {
        metrics(&endpoint).await["onetrip_connections{database=\"app\",state=\"in_use\"}"] == 0.0
    })
    .await;

    let found = metrics(&endpoint).await;
    has(&found, "onetrip_requests_answered_total{database=\"app\"}", 4.0);
    has(&found, "onetrip_refusals_total{database=\"app\",code=\"malformed_request\"}", 1.0);
    has(&found, "onetrip_refusals_total{database=\"app\",code=\"invalid_credentials\"}", 1.0);
    has(&found, "onetrip_refusals_total{database=\"app\",code=\"pool_timeout\"}", 1.0);
    has(&found, "onetrip_refusals_total{database=\"\",code=\"unknown_database\"}", 1.0);
    for class in ["22", "42", "other"] {
        has(&found, &format!("onetrip_sql_errors_total{{database=\"app\",class=\"{class}\"}}"), 1.0);
    }
    has(&found, "onetrip_logins_failed_total{database=\"app\"}", 1.0);
    assert!(found["onetrip_connect_seconds_count{database=\"app\"}"] >= 2.0, "{found:#?}");
    assert!(found["onetrip_rows_total{database=\"app\"}"] >= 10.0, "{found:#?}");
    assert!(
        found["onetrip_response_bytes_total{database=\"app\"}"] >= answer.body.len() as f64,
        "{found:#?}"
    );
    assert!(found["onetrip_request_bytes_total{database=\"app\"}"] >= body.len() as f64, "{found:#?}");
    for histogram in ["queue", "execute", "request"] {
        let name = |suffix: &str| format!("onetrip_{histogram}_seconds_{suffix}");
        let count = found[&(name("count") + "{database=\"app\"}")];
        assert!(count >= 4.0, "{histogram}: {found:#?}");
        has(&found, &(name("bucket") + "{database=\"app\",le=\"+Inf\"}"), count);
        assert!(found[&(name("sum") + "{database=\"app\"}")] > 0.0 || histogram == "queue");
    }
    has(&found, "onetrip_ready", 1.0);
    assert!(found.keys().any(|name| name.starts_with("onetrip_build_info{version=")));
    if cfg!(target_os = "linux") {
        assert!(
            found["process_resident_memory_bytes"] > 1e6 && found["process_open_fds"] > 3.0,
            "{found:#?}"
        );
    }
    assert!(!format!("{found:?}").contains("made-up"), "strangers cannot make up samples");
    assert!(!format!("{found:?}").contains("nobody_of_that_name"), "roles are nobody's business");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_those_who_may_read_them() {
    let off = Endpoint::shared().await;
    send(off.address, get("/metrics", None)).await.problem(404, "not_found");

    let same = watched("").await;
    for authorization in [None, Some("Bearer wrong"), Some(TOKEN), Some("Basic a-token-for-the-metrics")] {
        send(same.address, get("/metrics", authorization)).await.problem(401, "invalid_credentials");
    }
    assert!(!metrics(&same).await.is_empty());

    let own = "[metrics]\nlisten = \"127.0.0.1:0\"";
    let config = format!("listen = '127.0.0.1:0'\n{own}\n[databases.app]\nurl = '{}'", url());
    let server =
        onetrip_gateway::Server::bind(onetrip_gateway::Config::from_toml(&config).unwrap()).await.unwrap();
    let (clients, operators) = (server.local_addr(), server.metrics_addr().unwrap());
    let running = tokio::spawn(server.run(std::future::pending()));
    assert!(samples(&send(operators, get("/metrics", None)).await.text()).len() > 50);
    assert_eq!(send(operators, get("/healthz", None)).await.status, 200);
    assert_eq!(send(operators, get("/readyz", None)).await.status, 200);
    send(clients, get("/metrics", None)).await.problem(404, "not_found");
    let query = |address| {
        let caller = Caller { address, authorization: basic(postgres().superuser(), postgres().password()) };
        async move { caller.json(r#"{"sql": "select 1"}"#).await }
    };
    query(operators).await.problem(404, "not_found");
    assert_eq!(query(clients).await.status, 200);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_ready_while_its_databases_can_be_reached() {
    let server = start_postgres(onetrip_embedded_postgres::Options::for_tests());
    let endpoint = Endpoint::of(&server, "connect_timeout = \"1s\"").await;
    let ready = async || send(endpoint.address, get("/readyz", None)).await;
    let reply = ready().await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "ready\n"));
    server.stop(onetrip_embedded_postgres::Shutdown::Fast).unwrap();
    eventually("it is not ready", async || ready().await.status == 503).await;
    let text = ready().await.text();
    assert!(text.contains("1 of 1 databases cannot be reached") && !text.contains("app"), "{text}");
    assert_eq!(send(endpoint.address, get("/healthz", None)).await.status, 200, "it lives all the same");
    server.restart().unwrap();
    eventually("it is ready again", async || ready().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_leaves_says_so_before_it_refuses() {
    let global = "drain_delay = \"1h\"\ndrain_timeout = \"1s\"";
    let mut endpoint = Endpoint::with(postgres(), global, "sslmode=disable", "").await;
    assert_eq!(endpoint.owner().value("select 1").await, 1);
    endpoint.stop();
    eventually("it is not ready", async || send(endpoint.address, get("/readyz", None)).await.status == 503)
        .await;
    assert_eq!(send(endpoint.address, get("/readyz", None)).await.text(), "leaving\n");
    assert_eq!(send(endpoint.address, get("/healthz", None)).await.status, 200);
    assert_eq!(endpoint.owner().value("select 2").await, 2, "requests on their way are still taken");
    endpoint.running.abort();
}

/// What `onetrip serve` logs, a JSON object a line, after a SIGTERM.
fn json_log(running: &mut Running) -> Vec<Value> {
    let log = running.log_after_signal("TERM");
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_line_of_the_log_without_sql_and_values() {
    let mut running = Running::start(
        program()
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &format!("app={}", url())])
            .env("ONETRIP_LOG_FORMAT", "json")
            .env("ONETRIP_LOG_REQUESTS", "true"),
    );
    let caller = running.caller();
    let (trace, body) =
        ("4bf92f3577b34da6a3ce929d0e0e4736", r#"{"sql": "select 'a secret', $1", "params": ["too"]}"#);
    let mut request = caller.request(JSON, JSON, body);
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let answered = caller.send(request).await;
    let failed = caller.json(r#"{"sql": "select 'a secret' from a_secret_table"}"#).await;
    let refused = caller.json("{").await;
    let log = json_log(&mut running);
    let line = |reply: &Reply| {
        let id = reply.header("onetrip-request-id");
        let lines: Vec<&Value> = log.iter().filter(|line| line["request_id"] == id).collect();
        assert_eq!(lines.len(), 1, "{log:#?}");
        lines[0].clone()
    };
    let line_of_answered = line(&answered);
    for (key, expected) in [
        ("level", Value::from("INFO")),
        ("message", "a request was answered".into()),
        ("trace_id", trace.into()),
        ("database", "app".into()),
        ("role", postgres().superuser().into()),
        ("status", 200.into()),
        ("rows", 1.into()),
        ("request_bytes", body.len().into()),
        ("response_bytes", answered.body.len().into()),
    ] {
        assert_eq!(line_of_answered[key], expected, "{key} in {line_of_answered}");
    }
    for key in ["duration_ms", "queue_ms", "connect_ms", "execute_ms"] {
        assert!(line_of_answered[key].as_f64().unwrap() >= 0.0, "{key} in {line_of_answered}");
    }
    assert!(line_of_answered["duration_ms"].as_f64() >= line_of_answered["execute_ms"].as_f64());
    assert_eq!(line(&failed)["sqlstate"], "42P01");
    let line = line(&refused);
    assert_eq!((&line["code"], &line["status"]), (&"malformed_request".into(), &400.into()), "{line}");
    assert!(!format!("{log:?}").contains("secret") && !format!("{log:?}").contains("too\""), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_says_nothing_of_requests_that_went_well_unless_asked() {
    let args = ["serve", "--listen", "127.0.0.1:0", "--database", &format!("app={}", url())];
    let mut running = Running::start(program().args(args));
    assert_eq!(running.caller().value("select 1").await, 1);
    let log = running.log_after_signal("TERM");
    assert!(!log.contains("request_id"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_says_what_would_be_served_and_what_deserves_a_look() {
    let check = |args: &[&str]| {
        let output = program().arg("check-config").args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text.into_owned())
    };
    let good = format!("app={}", url());
    let (status, text) = check(&["--database", &good, "--connect"]);
    assert_eq!(status, 0, "{text}");
    for part in [
        "listens   http://127.0.0.1:5480",
        "database  app: postgres at 127.0.0.1:",
        "takes connections",
        "good",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("warning"), "{text}");

    let (status, text) = check(&[
        "--listen",
        "0.0.0.0:5480",
        "--database",
        "far=postgresql://db.example/app",
        "--database",
        &good,
    ]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("warning   listen: 0.0.0.0:5480 is plain HTTP"), "{text}");
    assert!(text.contains("warning   databases.far.url: with sslmode=prefer nothing is verified"), "{text}");

    // A port that nobody listens at any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, text) = check(&["--database", &format!("gone=postgresql://{gone}/app"), "--connect"]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("CANNOT BE REACHED") && text.contains("1 of the databases"), "{text}");
    let (status, text) = check(&["--database", "app=postgresql://h/d?sslmode=yes"]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("databases.app.url"), "{text}");
    let (status, text) = check(&[]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("no database is configured"), "{text}");
}
