//! What making each format costs an endpoint, from PostgreSQL's frames to the bytes of the body. Prints JSON.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::data::workloads;
use crate::formats;

/// How long one round of one candidate runs.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: usize = 31;

type Candidate = (&'static str, fn(&[u8]) -> Vec<u8>);

const CANDIDATES: [Candidate; 6] = [
    ("frames copied", |frames| frames.to_vec()),
    ("blocks, UTF-8", |frames| formats::encoded(frames, formats::blocks_utf8())),
    ("blocks, UTF-16", |frames| formats::encoded(frames, formats::blocks_utf16())),
    ("typed JSON", |frames| formats::encoded(frames, formats::typed_json())),
    ("peer's JSON, written straight", formats::peer_json),
    ("peer's JSON, by serde_json::Value", formats::peer_json_by_values),
];

/// Measures every candidate on every workload, in turn, and prints the median, the quartiles and the bytes made.
pub fn run() {
    let mut report = Vec::new();
    for workload in workloads() {
        let frames = formats::frames(&workload);
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); CANDIDATES.len()];
        let iterations = CANDIDATES.map(|(_, encode)| {
            let start = Instant::now();
            let mut done = 0_u32;
            while start.elapsed() < ROUND {
                black_box(encode(black_box(&frames)));
                done += 1;
            }
            done.max(1)
        });
        for round in 0..ROUNDS {
            for turn in 0..CANDIDATES.len() {
                // Each round starts with another one, so that nobody always runs after the same neighbour.
                let index = (turn + round) % CANDIDATES.len();
                let (Some((_, encode)), Some(&count)) = (CANDIDATES.get(index), iterations.get(index)) else {
                    continue;
                };
                let start = Instant::now();
                for _ in 0..count {
                    black_box(encode(black_box(&frames)));
                }
                let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(count);
                if let Some(times) = times.get_mut(index) {
                    times.push(micros);
                }
            }
        }
        for ((name, encode), times) in CANDIDATES.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            let at = |part: usize| times.get(times.len() * part / 4).copied().unwrap_or_default();
            report.push(serde_json::json!({
                "workload": workload.name,
                "candidate": name,
                "median_us": at(2),
                "quartiles_us": [at(1), at(3)],
                "bytes": encode(&frames).len(),
            }));
        }
    }
    println!("{}", serde_json::Value::Array(report));
}
