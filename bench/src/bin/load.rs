//! A load of HTTP requests that takes little CPU itself: one thread, kept-alive connections, answers looked at and
//! thrown away. `bench/lib/pgbouncer.mjs` calls it.
//!
//! `load ADDRESS DATABASE AUTHORIZATION --clients N (--seconds S [--slow M] | --requests R | --idle)` prints one line of
//! JSON: requests, failures, seconds, the latencies at 50% and 99% in µs, its own CPU time in µs. Each client is a
//! connection that sends one request after the other; its time begins before it connects. With `--idle` each sends one
//! request and then keeps its connection until standard input ends. Of `--slow` more clients each request takes PostgreSQL
//! 50 ms; they are in none of the numbers.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The accounts that pgbench's tables have at scale 10 and whose numbers have six digits, so that all requests have one
/// length.
const ACCOUNTS: std::ops::Range<u64> = 100_000..1_000_000;

/// What is added to the question for an account.
const FAST: &str = "";
const SLOW: &str = " and pg_sleep(0.05) is not null";

#[derive(Clone, Copy)]
enum Until {
    Time(Instant),
    Requests(u64),
    Idle,
}

fn main() -> ExitCode {
    let run = || -> Result<(), Box<dyn Error>> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, database, authorization, "--clients", clients, rest @ ..] =
        &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        return Err("ADDRESS DATABASE AUTHORIZATION --clients N …".into());
    };
    let begun = Instant::now();
    let mut slow = 0_u64;
    let until = match rest {
        ["--seconds", seconds, "--slow", clients] => {
            slow = clients.parse()?;
            Until::Time(begun + Duration::from_secs_f64(seconds.parse()?))
        }
        ["--seconds", seconds] => Until::Time(begun + Duration::from_secs_f64(seconds.parse()?)),
        ["--requests", requests] => Until::Requests(requests.parse()?),
        ["--idle"] => Until::Idle,
        _ => return Err("--seconds S, --requests R or --idle".into()),
    };
    let (address, clients): (SocketAddr, u64) = (address.parse()?, clients.parse()?);
    let head = format!(
        "POST /v1/{database}/pipeline HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\naccept: application/vnd.onetrip.blocks\r\ncontent-length: "
    );
    let mut running = JoinSet::new();
    for client in 0..clients {
        running.spawn(one(address, head.clone(), client, until, FAST));
    }
    let mut sleeping = JoinSet::new();
    for client in clients..clients + slow {
        sleeping.spawn(one(address, head.clone(), client, until, SLOW));
    }
    let mut latencies = Vec::new();
    let mut failures: Vec<String> = Vec::new();
    let mut connections = Vec::new();
    while let Some(ended) = running.join_next().await {
        let Client { took_us, failure, connection } = ended?;
        latencies.extend(took_us);
        failures.extend(failure);
        connections.extend(connection);
    }
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    println!(
        "{}",
        serde_json::json!({
            "requests": latencies.len(), "failures": failures.len(), "failure": failures.first(), "seconds": seconds,
            "p50_us": at(50), "p99_us": at(99), "cpu_us": own_cpu_us()?,
        })
    );
    if matches!(until, Until::Idle) {
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    }
    drop(connections);
    Ok(())
}

struct Client {
    took_us: Vec<u64>,
    failure: Option<String>,
    connection: Option<TcpStream>,
}

async fn one(address: SocketAddr, head: String, number: u64, until: Until, condition: &str) -> Client {
    let mut client = Client { took_us: Vec::new(), failure: None, connection: None };
    if let Err(error) = requests(&mut client, address, &head, (number, condition), until).await {
        client.failure = Some(error.to_string());
    }
    client
}

async fn requests(
    client: &mut Client,
    address: SocketAddr,
    head: &str,
    (number, condition): (u64, &str),
    until: Until,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // A generator of one line is random enough for the numbers of accounts: Knuth's constants for 64 bits.
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut begun = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(4096);
    for count in 1.. {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let account = ACCOUNTS.start + (random >> 33) % (ACCOUNTS.end - ACCOUNTS.start);
        let body = format!(
            "{{\"sql\": \"select abalance from pgbench_accounts where aid = $1{condition}\", \"params\": [{account}]}}"
        );
        stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer)? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed in the middle of an answer".into());
            }
        }
        client.took_us.push(u64::try_from(begun.elapsed().as_micros())?);
        let over = match until {
            Until::Time(end) => Instant::now() >= end,
            Until::Requests(requests) => count >= requests,
            Until::Idle => true,
        };
        if over {
            break;
        }
        begun = Instant::now();
    }
    client.connection = Some(stream);
    Ok(())
}

/// Whether all of an answer is there; an error when it is none that was hoped for.
fn is_whole(answer: &[u8]) -> Result<bool, String> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let whole = match head.split_once("content-length: ").and_then(|(_, rest)| rest.split_once('\r')) {
        Some((len, _)) => body.len() == len.parse::<usize>().map_err(|error| error.to_string())?,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    if !whole {
        return Ok(false);
    }
    let text = || String::from_utf8_lossy(answer).into_owned();
    // The last message of the blocks is ReadyForQuery, whose body is I; and one row is in a block, `B`.
    let good = head.starts_with("http/1.1 200")
        && body.windows(6).any(|window| window == b"Z\0\0\0\x05I")
        && body.contains(&b'B');
    if good { Ok(true) } else { Err(text()) }
}

fn own_cpu_us() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<u64>()? / 1000)
}
