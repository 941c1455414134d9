//! A scripted transport: what is sent, what follows on each failure, and answers recorded from a real server, cut anywhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::policy::Policy;
use crate::transport::{Body, BoxFuture};
use crate::{Client, Outcome, Row};

/// One answer of the script.
#[derive(Clone)]
enum Act {
    /// An answer with this status, these headers and this body in one chunk each.
    Answer(u16, Vec<(&'static str, String)>, Vec<Vec<u8>>),
    /// An answer of frames whose connection breaks after these bytes.
    Broken(Vec<u8>),
    /// No answer.
    Fail(Sent),
    /// Nothing, for ever.
    Hang,
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<Stage>>);

#[derive(Default)]
struct Stage {
    acts: VecDeque<Act>,
    requests: Vec<Request>,
    sleeps: Vec<u64>,
    now_ms: u64,
}

impl Script {
    fn new(acts: impl IntoIterator<Item = Act>) -> Script {
        let script = Script::default();
        script.0.lock().unwrap().acts = acts.into_iter().collect();
        script
    }

    fn client(&self) -> Client {
        let config: Config = "https://app:hunter2@db.example.com/shop".parse().unwrap();
        let policy = Policy::default().attempts(3).backoff_ms(100, 1_000);
        Client::with_transport(config.policy(policy).timeout(Duration::from_secs(10)), self.clone())
    }

    fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap().requests.clone()
    }

    fn sleeps(&self) -> Vec<u64> {
        self.0.lock().unwrap().sleeps.clone()
    }
}

impl Transport for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let mut stage = self.0.lock().unwrap();
        stage.requests.push(request);
        stage.now_ms += 10;
        let act = stage.acts.pop_front().expect("the script has an act for each request");
        Box::pin(async move {
            match act {
                Act::Answer(status, headers, chunks) => {
                    Ok(Response { status, headers, body: Box::new(Chunks(chunks.into(), None)) })
                }
                Act::Broken(bytes) => {
                    let body = Chunks([bytes].into(), Some(Failure::new(Sent::Perhaps, "connection reset")));
                    Ok(Response { status: 200, headers: frames_header(), body: Box::new(body) })
                }
                Act::Fail(sent) => Err(Failure::new(sent, "it did not work")),
                Act::Hang => std::future::pending().await,
            }
        })
    }

    fn clock(&self) -> &dyn Clock {
        self
    }
}

impl Clock for Script {
    fn now_ms(&self) -> u64 {
        self.0.lock().unwrap().now_ms
    }

    fn sleep(&self, milliseconds: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut stage = self.0.lock().unwrap();
            stage.sleeps.push(milliseconds);
            stage.now_ms += milliseconds;
        })
    }

    fn random(&self) -> u32 {
        u32::MAX
    }
}

struct Chunks(VecDeque<Vec<u8>>, Option<Failure>);

impl Body for Chunks {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        let next = match self.0.pop_front() {
            Some(chunk) => Ok(Some(chunk.into())),
            None => self.1.take().map_or(Ok(None), Err),
        };
        Box::pin(async move { next })
    }
}

fn frames_header() -> Vec<(&'static str, String)> {
    vec![("content-type", FRAMES.to_owned()), ("onetrip-request-id", "r-1".to_owned())]
}

fn frames(bytes: &[u8]) -> Act {
    Act::Answer(200, frames_header(), vec![bytes.to_vec()])
}

fn problem(status: u16, code: &str, retryable: bool, retry_after: Option<&str>) -> Act {
    let mut headers = vec![("content-type", "application/problem+json".to_owned())];
    headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_owned())));
    let body = format!(r#"{{"code":"{code}","retryable":{retryable},"detail":"for this reason"}}"#);
    Act::Answer(status, headers, vec![body.into_bytes()])
}

/// `select 1`-like: one row, one int4 column.
const ONE: &[u8] =
    b"1\0\0\0\x042\0\0\0\x04T\0\0\0\x1c\0\x01one\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01\
D\0\0\0\x0e\0\x01\0\0\0\x04\0\0\0\x01C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";

fn sql_error(severity: &str, code: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, text) in [(b'S', severity), (b'V', severity), (b'C', code), (b'M', "so it is")] {
        body.push(field);
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut frame = vec![b'E'];
    frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

fn failed(severity: &str, code: &str) -> Act {
    frames(&[sql_error(severity, code), b"Z\0\0\0\x05I".to_vec()].concat())
}

#[tokio::test]
async fn a_request_carries_the_credentials_and_the_frames_and_shows_neither() {
    let script = Script::new([frames(ONE)]);
    let row: Row = script.client().query_one("select $1::int4", &[&1i32]).await.unwrap();
    assert_eq!(row.get::<_, i32>("one"), 1);
    let requests = script.requests();
    let request = &requests[0];
    assert_eq!(request.url(), "https://db.example.com/v1/shop/pipeline");
    let header = |name| request.headers().find(|(found, _)| *found == name).unwrap().1;
    assert_eq!(header("authorization"), "Basic YXBwOmh1bnRlcjI=");
    assert_eq!((header("content-type"), header("accept")), (FRAMES, FRAMES));
    let parsed = onetrip_wire::request::Request::parse(request.body(), &Default::default()).unwrap();
    assert_eq!(parsed.ready_count(), 1);
    let shown = format!("{request:?} {:?}", script.client());
    assert!(!shown.contains("hunter2") && !shown.contains("YXBw") && !shown.contains("select"), "{shown}");
}

#[tokio::test]
async fn only_what_cannot_happen_twice_is_sent_again() {
    let lost = || Act::Fail(Sent::Perhaps);
    for (name, acts, repeatable, requests, kind) in [
        ("never sent", vec![Act::Fail(Sent::No), frames(ONE)], false, 2, None),
        ("never sent, three times", vec![Act::Fail(Sent::No); 3], false, 3, Some(Kind::Unreachable)),
        ("perhaps sent", vec![lost()], false, 1, Some(Kind::Lost)),
        ("perhaps sent, repeatable", vec![lost(), lost(), frames(ONE)], true, 3, None),
        ("broken off", vec![Act::Broken(ONE[..20].to_vec())], false, 1, Some(Kind::Lost)),
        ("broken off, repeatable", vec![Act::Broken(ONE[..20].to_vec()), frames(ONE)], true, 2, None),
        ("cut short", vec![frames(&ONE[..20])], false, 1, Some(Kind::Protocol)),
        ("cut short, repeatable", vec![frames(&ONE[..20]), frames(ONE)], true, 2, None),
        ("corrupt, repeatable", vec![frames(b"?\0\0\0\x04")], true, 1, Some(Kind::Protocol)),
        ("refused for now", vec![problem(503, "pool_timeout", true, None), frames(ONE)], false, 2, None),
        (
            "refused for good",
            vec![problem(401, "invalid_credentials", false, None)],
            true,
            1,
            Some(Kind::Refused),
        ),
        ("PostgreSQL lost", vec![problem(502, "connection_lost", false, None)], false, 1, Some(Kind::Lost)),
        (
            "PostgreSQL lost, repeatable",
            vec![problem(502, "connection_lost", false, None), frames(ONE)],
            true,
            2,
            None,
        ),
        ("conflict", vec![failed("ERROR", "40001"), failed("ERROR", "40P01"), frames(ONE)], false, 3, None),
        ("an SQL error", vec![failed("ERROR", "42601")], true, 1, Some(Kind::Sql)),
        ("shut down", vec![failed("FATAL", "57P01")], false, 1, Some(Kind::Sql)),
        ("shut down, repeatable", vec![failed("FATAL", "57P01"), frames(ONE)], true, 2, None),
    ] {
        let script = Script::new(acts);
        let client = if repeatable { script.client().repeatable() } else { script.client() };
        let answer = client.query("select 1", &[]).await;
        assert_eq!(script.requests().len(), requests, "{name}");
        assert_eq!(answer.as_ref().err().map(Error::kind), kind, "{name}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.attempts() as usize, requests, "{name}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{name}");
        }
    }
}

#[tokio::test]
async fn what_an_attempt_may_have_done_stays_open_however_the_attempts_after_it_fail() {
    let lost = || Act::Fail(Sent::Perhaps);
    let busy = || problem(503, "pool_timeout", true, None);
    for (name, acts, outcome) in [
        ("lost, then refused", [lost(), busy(), busy()], Outcome::Unknown),
        ("lost between", [busy(), lost(), busy()], Outcome::Unknown),
        ("lost, then never sent", [lost(), Act::Fail(Sent::No), Act::Fail(Sent::No)], Outcome::Unknown),
        ("lost, then an SQL error", [busy(), lost(), failed("ERROR", "23505")], Outcome::Unknown),
        ("refused", [busy(), busy(), busy()], Outcome::NotExecuted),
    ] {
        let error = Script::new(acts).client().repeatable().query("select 1", &[]).await.unwrap_err();
        let retryable = outcome == Outcome::NotExecuted;
        assert_eq!(
            (error.outcome(), error.is_retryable(), error.attempts()),
            (outcome, retryable, 3),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_script_that_conflicts_is_not_sent_again() {
    let script = Script::new([failed("ERROR", "40001")]);
    let error = script.client().batch_execute("begin; commit; begin; commit").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome(), error.is_retryable()), (Kind::Sql, Outcome::Unknown, false));
}

#[tokio::test]
async fn what_commits_on_its_own_is_not_sent_again_after_a_conflict() {
    for (sql, outcome) in [("call p()", Outcome::Unknown), ("create index i on t (a)", Outcome::NotExecuted)]
    {
        let script = Script::new([failed("ERROR", "40001")]);
        let error = script.client().execute(sql, &[]).await.unwrap_err();
        assert_eq!((error.outcome(), error.is_retryable(), error.attempts()), (outcome, false, 1), "{sql}");
    }
    let script = Script::new([failed("ERROR", "40001")]);
    let batch = script.client().batch().statement("insert into t values (1)", &[]).statement("commit", &[]);
    let error = batch.statement("select 1", &[]).commit().await.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1));
}

#[tokio::test]
async fn waits_double_and_a_retry_after_is_honoured() {
    let busy = |seconds| problem(429, "too_many_requests", true, seconds);
    let script = Script::new([busy(None), busy(None), frames(ONE)]);
    script.client().query("select 1", &[]).await.unwrap();
    assert_eq!(script.sleeps(), [100, 200]);
    let script = Script::new([busy(Some("2")), frames(ONE)]);
    script.client().query("select 1", &[]).await.unwrap();
    assert_eq!(script.sleeps(), [2_100]);
    // It would end after the deadline: better an answer now.
    let script = Script::new([busy(Some("10"))]);
    let error = script.client().query("select 1", &[]).await.unwrap_err();
    assert_eq!(
        (error.refusal(), script.sleeps().len(), error.is_retryable()),
        (Some("too_many_requests"), 0, true)
    );
}

#[tokio::test]
async fn a_call_that_hangs_ends_at_its_deadline() {
    let script = Script::new([problem(503, "pool_timeout", true, None), Act::Hang]);
    let error = script.client().query("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome(), error.attempts()), (Kind::Timeout, Outcome::Unknown, 2));
    // The second attempt has what the first and the wait have left of 10 seconds.
    assert_eq!(script.sleeps(), [100, 10_000 - 10 - 100]);
}

/// Answers that a real server gave: the frames, how many statements they answer, and whether they report an error.
fn recorded() -> Vec<(String, Vec<u8>)> {
    let recorded: Value = serde_json::from_str(include_str!("../../tests/vectors/answers.json")).unwrap();
    let vectors = recorded["vectors"].as_array().unwrap();
    vectors
        .iter()
        .map(|vector| {
            let digits = vector["frames"].as_str().unwrap();
            let bytes = (0..digits.len()).step_by(2);
            let bytes = bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
            (vector["name"].as_str().unwrap().to_owned(), bytes)
        })
        .collect()
}

#[tokio::test]
async fn a_recorded_answer_that_is_cut_anywhere_is_never_taken_for_a_whole_one() {
    for (name, whole) in recorded() {
        // Long answers say nothing that short ones do not.
        for len in 0..whole.len().min(2_000) {
            let script = Script::new([frames(&whole[..len])]);
            let answer = script.client().query("select 1", &[]).await;
            let error = answer.expect_err(&format!("{name} cut after {len} of {} bytes", whole.len()));
            assert!(matches!(error.kind(), Kind::Protocol | Kind::Sql), "{name} at {len}: {error}");
            assert_eq!(script.requests().len(), 1, "{name} at {len}");
        }
    }
}

#[tokio::test]
async fn a_recorded_answer_with_any_byte_changed_panics_nowhere() {
    for (name, whole) in recorded() {
        for at in 0..whole.len().min(1_000) {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                let script = Script::new([frames(&bytes)]);
                let config: Config = "https://app:hunter2@db.example.com/shop".parse().unwrap();
                let client = Client::with_transport(config.policy(Policy::default().attempts(1)), script);
                let rows = client.query("select 1", &[]).await.unwrap_or_default();
                for row in rows.iter().take(5) {
                    for column in 0..row.len() {
                        let _ = row.try_get::<_, Option<String>>(column);
                        let _ = row.try_get::<_, Option<i32>>(column);
                        let _ = row.try_get::<_, Option<crate::Numeric>>(column);
                        let _ = row.try_get::<_, Option<Vec<Option<i32>>>>(column);
                        let _ = row.try_get::<_, Option<Value>>(column);
                    }
                }
            }
        }
        println!("{name}: {} bytes", whole.len());
    }
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_the_same_answer() {
    let script =
        Script::new([Act::Answer(200, frames_header(), ONE.iter().map(|&byte| vec![byte]).collect())]);
    let row = script.client().query_one("select 1", &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.columns()[0].name()), (1, "one"));
}

#[tokio::test]
async fn an_answer_to_another_number_of_statements_is_refused() {
    for (sent, answer) in [(2, ONE.to_vec()), (1, b"Z\0\0\0\x05I".to_vec())] {
        let script = Script::new([frames(&answer)]);
        let client = script.client();
        let batch = (0..sent).fold(client.batch(), |batch, _| batch.statement("select 1", &[]));
        let error = batch.commit().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
    }
    // A row that has fewer values than the result has columns.
    let narrow = [&ONE[..39], b"D\0\0\0\x06\0\0C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"].concat();
    let error = Script::new([frames(&narrow)]).client().query("select 1", &[]).await.unwrap_err();
    assert!(error.to_string().contains("0 values where the result has 1 columns"), "{error}");
}
