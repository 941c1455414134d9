//! A hundred thousand mutations of valid requests to `POST /sql`: always a well-formed answer, never another client's
//! data, and the endpoint goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::net::SocketAddr;
use std::time::Duration;

use onetrip_tests::{Database, Gateway};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MUTATIONS: u32 = 100_000;
const WORKERS: u32 = 8;

/// An answer comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Xorshift: the same mutations in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// A request in parts, so that it can be mutated with and without its framing.
#[derive(Clone)]
struct Parts {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} HTTP/1.1\r\nhost: a\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What a client of this profile sends, with a canary that no other client may see.
fn valid(worker: &Worker, random: &mut Random) -> Parts {
    let canary = &worker.canary;
    let bodies = [
        format!(r#"{{"query":"select $1::int + 1 as n, $2::text as c","params":[41,"{canary}"]}}"#),
        format!(r#"{{"query":"select canary from {} where $1","params":[true]}}"#, worker.role),
        format!(r#"{{"query":"select $1::int[] as a, $2::jsonb as j","params":[[1,null,3],{{"k":"{canary}"}}]}}"#),
        format!(
            r#"{{"queries":[{{"query":"select $1::text[] as t","params":[["{canary}","a,b"]]}},{{"query":"select 1/$1::int","params":["0"],"arrayMode":true}}]}}"#
        ),
        format!(
            r#"{{"queries":[{{"query":"set local app.canary = '{canary}'"}},{{"query":"select current_setting('app.canary') as c"}}]}}"#
        ),
        format!(r#"{{"query":"set application_name = '{canary}'","params":[]}}"#),
        r#"{"query":"select '{1,2}'::int[], '{}'::text[], null, 1.5::float8, now()","params":[],"arrayMode":true}"#.to_owned(),
    ];
    let connection = format!(
        "postgresql://{role}:{role}@h/mutations?application_name={canary}&options=-c%20app.canary%3D{canary}",
        role = worker.role
    );
    let mut headers = vec![("neon-connection-string".to_owned(), connection.into_bytes())];
    for name in ["neon-raw-text-output", "neon-array-mode", "neon-batch-read-only", "neon-batch-deferrable"] {
        if random.below(3) == 0 {
            headers.push((name.to_owned(), b"true".to_vec()));
        }
    }
    if random.below(3) == 0 {
        headers.push(("neon-batch-isolation-level".to_owned(), b"Serializable".to_vec()));
    }
    Parts {
        line: "POST /sql".to_owned(),
        headers,
        body: bodies[random.below(bodies.len())].clone().into_bytes(),
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const WORDS: &[&[u8]] = &[
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"null",
        b"\xff\xfe",
        b"\0",
        b"'",
        b"$1",
        b"%00",
        b"%ff",
        b"-",
        b"99999999999999999999",
        b"query",
        b"queries",
        b"params",
        b";",
        b"\r\n",
        b"-c",
        b"@",
        b":",
        b"://",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let end = at + random.below(bytes.len() - at + 1);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
    }
}

struct Worker {
    role: String,
    canary: String,
    others: Vec<String>,
    address: SocketAddr,
    stream: Option<TcpStream>,
    answers: [u32; 6],
}

impl Worker {
    /// Sends a request whose framing is right: an answer must come.
    async fn check(&mut self, parts: &Parts) -> (u16, Vec<u8>) {
        let bytes = parts.bytes();
        for attempt in 0..2 {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => TcpStream::connect(self.address).await.unwrap(),
            };
            // A connection that the endpoint has closed after a refusal breaks here, or gives nothing.
            let sent = stream.write_all(&bytes).await;
            let answer = timeout(PATIENCE, read_answer(&mut stream, true)).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer to {}", shown(&bytes)));
            match answer {
                Some((status, body, keep)) => {
                    if keep && sent.is_ok() {
                        self.stream = Some(stream);
                    }
                    return (status, body);
                }
                None => assert_eq!(attempt, 0, "closed without an answer: {}", shown(&bytes)),
            }
        }
        unreachable!("the second attempt returns or panics")
    }

    fn count(&mut self, status: u16, body: &[u8], request: &[u8]) {
        let class = usize::from(status / 100);
        assert!((2..6).contains(&class) && status != 500, "{status} to {}: {}", shown(request), shown(body));
        self.answers[class] += 1;
        let text = String::from_utf8_lossy(body);
        for other in &self.others {
            assert!(
                !text.contains(other),
                "another client's data in the answer to {}: {text}",
                shown(request)
            );
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned()
}

/// An answer (nothing may follow it where it is `alone`): status, body, and whether the connection goes on; `None` when it was closed before the first byte.
async fn read_answer(stream: &mut TcpStream, alone: bool) -> Option<(u16, Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ if bytes.is_empty() => return None,
            _ => panic!("an answer that ends in its head: {}", shown(&bytes)),
        }
    };
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap().to_ascii_lowercase();
    let status: u16 = head.strip_prefix("http/1.1 ").unwrap()[..3].parse().unwrap();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.split(':').next() == Some(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let mut body = bytes.split_off(head_end);
    let len: usize = header("content-length").unwrap_or_else(|| "0".to_owned()).parse().unwrap();
    while body.len() < len {
        assert!(
            stream.read_buf(&mut body).await.is_ok_and(|read| read > 0),
            "a body that is cut: {}",
            shown(&body)
        );
    }
    // Mutated framing may make two requests of one.
    assert!(body.len() == len || !alone, "more than the answer: {head}{}", shown(&body));
    body.truncate(len);
    if header("content-type").is_some_and(|kind| kind.contains("json")) {
        let parsed: Result<Value, _> = serde_json::from_slice(&body);
        assert!(parsed.is_ok(), "no JSON: {}", shown(&body));
    }
    let keep = header("connection").as_deref() != Some("close");
    Some((status, body, keep))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_get_well_formed_answers_and_nobody_elses_data() {
    let server = onetrip_tests::postgres();
    let database = Database::create_in(server, "mutations").await;
    let owner = database.connect().await;
    let superuser =
        Database { name: "postgres".into(), password: server.password().into(), ..database.clone() };
    let superuser = superuser.connect().await;
    let gateway =
        Gateway::start(&database, database.address, "pool_size = 2\n[compression]\ncodings = []").await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let canaries: Vec<String> = (0..WORKERS).map(|_| format!("c{:016x}", random.next())).collect();
    let mut tasks = Vec::new();
    for worker in 0..WORKERS {
        let (role, canary) = (format!("mutant{worker}"), canaries[usize::try_from(worker).unwrap()].clone());
        superuser
            .batch_execute(&format!(
                "create role {role} login password '{role}'; alter role {role} set statement_timeout = '5s'"
            ))
            .await
            .unwrap();
        owner
            .batch_execute(&format!(
                "create table {role} (canary text); insert into {role} values ('{canary}'); grant select on {role} to {role}"
            ))
            .await
            .unwrap();
        let others = canaries.iter().filter(|other| **other != canary).cloned().collect();
        let mut worker =
            Worker { role, canary, others, address: gateway.address(), stream: None, answers: [0; 6] };
        let mut random = Random(random.next());
        tasks.push(tokio::spawn(async move {
            for number in 0..MUTATIONS / WORKERS {
                mutated(&mut worker, &mut random).await;
                if number % 200 == 0 {
                    clean(&mut worker).await;
                }
            }
            clean(&mut worker).await;
            worker.answers
        }));
    }
    let mut answers = [0; 6];
    for task in tasks {
        let counted = task.await.unwrap();
        answers.iter_mut().zip(counted).for_each(|(all, one)| *all += one);
    }
    let [_, _, succeeded, _, refused, _] = answers;
    assert!(
        succeeded > MUTATIONS / 20 && refused > MUTATIONS / 4,
        "the mutations are too wild or too tame: {answers:?}"
    );
    gateway.stop().await;
}

async fn mutated(worker: &mut Worker, random: &mut Random) {
    let mut parts = valid(worker, random);
    match random.below(20) {
        // The whole of it, framing included: whatever HTTP makes of that, it ends, and well formed.
        0 => {
            let mut bytes = parts.bytes();
            mutate(&mut bytes, random);
            let mut stream = TcpStream::connect(worker.address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let answered = timeout(PATIENCE, read_answer(&mut stream, false)).await;
            let answered = answered.unwrap_or_else(|_| panic!("no end to {}", shown(&bytes)));
            if let Some((status, body, _)) = answered {
                worker.count(status, &body, &bytes);
            }
            return;
        }
        1..=5 => {
            let index = random.below(parts.headers.len());
            let value = &mut parts.headers[index].1;
            mutate(value, random);
            // What cannot stand in a header would change the framing.
            value.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        }
        6 => {
            let lines = [
                "GET /sql",
                "PUT /sql",
                "POST /sqlx",
                "POST /",
                "BREW /sql",
                "OPTIONS /sql",
                "POST /sql?x=%ff",
                "POST //sql",
            ];
            parts.line = lines[random.below(lines.len())].to_owned();
        }
        7 => {}
        _ => mutate(&mut parts.body, random),
    }
    let (status, body) = worker.check(&parts).await;
    worker.count(status, &body, &parts.bytes());
}

/// Nothing of an earlier request is left in the session that serves this one.
async fn clean(worker: &mut Worker) {
    let connection = format!("postgresql://{role}:{role}@h/mutations", role = worker.role);
    let sql = "select current_user as who, current_setting('application_name') as name, \
               coalesce(current_setting('app.canary', true), '') as canary, \
               current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as readonly";
    let parts = Parts {
        line: "POST /sql".to_owned(),
        headers: vec![("neon-connection-string".to_owned(), connection.into_bytes())],
        body: serde_json::json!({"query": sql}).to_string().into_bytes(),
    };
    let (status, body) = worker.check(&parts).await;
    assert_eq!(status, 200, "{}", shown(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let expected = serde_json::json!([{
        "who": worker.role, "name": "onetrip", "canary": "", "isolation": "read committed", "readonly": "off",
    }]);
    assert_eq!(answer["rows"], expected);
}
