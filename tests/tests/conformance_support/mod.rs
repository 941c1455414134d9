//! Running a case: its requests, and how an answer is compared with what is expected.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onetrip_tests::{Database, Gateway, http::Response, postgres};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_postgres::Client;

/// A gateway in front of the database `postgres`, where the role `http` is a superuser.
pub struct Endpoint {
    pub gateway: Gateway,
    pub administrator: Client,
}

impl Endpoint {
    pub async fn start(settings: &str) -> Endpoint {
        let server = postgres();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.port()));
        let database = Database { name: "postgres".into(), password: server.password().into(), address };
        let administrator = database.connect().await;
        // Several tests of a process may want it at once.
        let role = "do $$ begin create role http superuser login password 'http'; \
                    exception when duplicate_object or unique_violation then null; end $$";
        administrator.batch_execute(role).await.unwrap();
        let settings = format!("{settings}\n[limits]\nrequest_bytes = 10485760");
        let gateway = Gateway::start(&database, address, &settings).await;
        Endpoint { gateway, administrator }
    }
}

pub fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Runs the requests of a case and compares the answers.
pub async fn check_exchange(
    endpoint: &Endpoint,
    case: &Value,
    header: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    run(&endpoint.administrator, &case["setup"]).await;
    let mut saved = HashMap::new();
    let mut mismatches = String::new();
    for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let answer = send(endpoint, &step["send"], header).await;
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let expect = &step["expect"];
        let mut wrong = Vec::new();
        if expect["status"] != answer.status {
            wrong.push(format!("status {}", answer.status));
        }
        if let Some(expected) = expect.get("body") {
            compare("body", expected, Some(&body), &mut saved, &mut wrong);
        }
        for (name, expected) in expect["headers"].as_object().into_iter().flatten() {
            let found = answer.headers.get(name).map(|value| json!(value.to_str().unwrap()));
            compare(name, expected, found.as_ref(), &mut saved, &mut wrong);
        }
        if !wrong.is_empty() {
            let text = String::from_utf8_lossy(&answer.body);
            writeln!(mismatches, "{name}, step {index}: {}\n  {text:.600}", wrong.join("; ")).unwrap();
        }
    }
    run(&endpoint.administrator, &case["teardown"]).await;
    if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
}

async fn run(client: &Client, statements: &Value) {
    for statement in statements.as_array().into_iter().flatten() {
        client.batch_execute(statement.as_str().unwrap()).await.unwrap();
    }
}

async fn send(endpoint: &Endpoint, request: &Value, header: &dyn Fn(&str) -> String) -> Response {
    let body = match (&request["text"], &request["bytes"], request.get("json")) {
        (Value::String(text), _, _) => text.clone().into_bytes(),
        (_, Value::Number(len), _) => vec![b' '; usize::try_from(len.as_u64().unwrap()).unwrap()],
        (_, _, Some(json)) => json.to_string().into_bytes(),
        _ => Vec::new(),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), header(value.as_str().unwrap())));
    }
    let connection = &request["connection"];
    if connection["omit"] != true {
        let part = |key: &str, default: &str| connection[key].as_str().unwrap_or(default).to_owned();
        let query = connection["query"].as_str().map_or(String::new(), |query| format!("?{query}"));
        let text = match connection["raw"].as_str() {
            Some(raw) => raw.to_owned(),
            None => format!(
                "postgresql://{}:{}@ep-test.localtest:5432/{}{query}",
                part("user", "http"),
                part("password", "http"),
                part("database", "postgres")
            ),
        };
        headers.push(("neon-connection-string".to_owned(), text));
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
    let address = endpoint.gateway.address();
    if request["http_version"] == "2" {
        return send_http2(address, method, path, &headers, body).await;
    }
    onetrip_tests::http::send(address, method, path, &headers, body).await.unwrap()
}

/// HTTP/2 without TLS, by prior knowledge.
async fn send_http2(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Response {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Response { status: head.status.as_u16(), headers: head.headers, body, complete: true }
}

/// Objects are compared by the members that are expected, arrays by all their elements; a member with a dollar sign is a
/// matcher.
fn compare(
    path: &str,
    expected: &Value,
    found: Option<&Value>,
    saved: &mut HashMap<String, Value>,
    wrong: &mut Vec<String>,
) {
    let mut mismatch = |text: String| wrong.push(format!("{path}: {text}"));
    if expected.get("$absent").is_some() {
        if let Some(found) = found {
            mismatch(format!("{found} where nothing is expected"));
        }
        return;
    }
    let Some(found) = found else { return mismatch("missing".to_owned()) };
    let text = found.as_str().unwrap_or_default();
    let matcher = expected.as_object().and_then(|object| {
        let (name, argument) = object.iter().next().filter(|(name, _)| name.starts_with('$'))?;
        Some((name.as_str(), argument))
    });
    let argument_text = matcher.and_then(|(_, argument)| argument.as_str()).unwrap_or_default();
    match matcher {
        Some(("$any", _)) => {}
        Some(("$type", _)) => {
            let kind = match found {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            if kind != argument_text {
                mismatch(format!("a {kind}, not a {argument_text}"));
            }
        }
        Some(("$starts", _)) if text.starts_with(argument_text) => {}
        Some(("$contains", _)) if text.contains(argument_text) => {}
        Some(("$len", argument)) => {
            if found.as_array().map(Vec::len) != argument.as_u64().map(|len| usize::try_from(len).unwrap()) {
                mismatch(format!("{found}, not {argument} elements"));
            }
        }
        Some(("$save", _)) => {
            saved.insert(argument_text.to_owned(), found.clone());
        }
        Some(("$saved", _)) => {
            if saved.get(argument_text) != Some(found) {
                mismatch(format!("{found} is not what was saved"));
            }
        }
        Some(("$notsaved", _)) => {
            if saved.get(argument_text) == Some(found) {
                mismatch(format!("{found} is what was saved"));
            }
        }
        Some((name, argument)) => mismatch(format!("{found}, expected {name} {argument}")),
        None => match (expected, found) {
            (Value::Object(expected), Value::Object(_)) => {
                for (key, expected) in expected {
                    compare(&format!("{path}.{key}"), expected, found.get(key), saved, wrong);
                }
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                    compare(&format!("{path}[{index}]"), expected, Some(found), saved, wrong);
                }
            }
            _ if expected == found => {}
            _ => mismatch(format!("{found}, expected {expected}")),
        },
    }
}
