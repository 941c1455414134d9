//! Records `tests/vectors/answers.json`: what a real PostgreSQL answers to each request of `requests.json`, through a
//! real gateway, and what the encoder makes of it. Rust and TypeScript read the same file.
//!
//! ```sh
//! cargo run -p onetrip-tests --bin record-vectors
//! ```
//!
//! Look at what changed before you commit it: each changed byte is a change of the protocol, or of PostgreSQL.
#![allow(clippy::indexing_slicing, reason = "the members of JSON objects that are made here")]

use std::path::Path;

use onetrip_tests::http::{self, Response};
use onetrip_tests::{Database, Gateway};
use onetrip_wire::representation::{BLOCKS, FRAMES};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let requests = std::fs::read(folder.join("requests.json")).expect("requests.json is there");
    let requests: Vec<Value> = serde_json::from_slice(&requests).expect("requests.json is a list");

    let database = Database::create().await;
    let direct = database.connect().await;
    let version = direct.query_one("show server_version", &[]).await.expect("a version");
    let gateway = Gateway::start(&database, database.address, "").await;

    let mut vectors = Vec::new();
    for mut request in requests {
        let name = request.as_object_mut().and_then(|members| members.remove("name")).expect("a name");
        let mut vector = json!({"name": name, "request": request});
        for (member, accept) in [
            ("frames", FRAMES.to_owned()),
            ("blocks", BLOCKS.to_owned()),
            ("blocks_utf16", format!("{BLOCKS};strings=utf16")),
            ("blocks_joined", format!("{BLOCKS};strings=utf16-joined")),
            ("blocks_text", format!("{BLOCKS};timestamps=text;json=text")),
            ("blocks_int8", format!("{BLOCKS};int8=binary")),
        ] {
            let answer = send(&gateway, &database, &accept, &request).await;
            vector[member] = Value::String(hex(&answer.body));
        }
        let typed = send(&gateway, &database, "application/json;rows=array", &request).await;
        vector["json"] = typed.json();
        vectors.push(vector);
    }
    let count = vectors.len();
    // One vector on a line: a change shows as the vector that changed.
    let lines: Vec<String> = vectors.iter().map(Value::to_string).collect();
    let version = json!(version.get::<_, String>(0));
    let text = format!("{{\"server_version\": {version}, \"vectors\": [\n{}\n]}}\n", lines.join(",\n"));
    std::fs::write(folder.join("answers.json"), text).expect("answers.json can be written");
    println!("recorded {count} vectors");
}

async fn send(gateway: &Gateway, database: &Database, accept: &str, request: &Value) -> Response {
    let authorization = Gateway::basic(&database.name, &database.password);
    let path = format!("/v1/{}/pipeline", database.name);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/json"), ("accept", accept)];
    let answer =
        http::send(gateway.address(), "POST", &path, &headers, request.to_string().into_bytes()).await;
    let answer = answer.expect("the gateway answers");
    assert!(answer.status == 200 && answer.complete, "{accept}: {}", String::from_utf8_lossy(&answer.body));
    answer
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
