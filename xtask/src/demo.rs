//! `cargo xtask demo`: two Workers in a real workerd, the gateway's binary and a real PostgreSQL, for a person to see.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    http,
    json::Json,
    process::{Output, Process},
    root,
    stack::{Flights, Stack, target_dir},
    step::{Failure, Line, Step},
    tools::cargo,
    workers::{self, Scenarios, Way, Workerd},
};

/// Sets up what is missing, starts everything, shows three requests of each Worker, and ends; with `--keep` it
/// stays until Ctrl-C.
///
/// # Errors
/// When something does not build, start or answer as it should.
pub fn run(arguments: &[&str]) -> Result<(), Failure> {
    let keep = match arguments {
        [] => false,
        ["--keep"] => true,
        _ => return Err(Failure::new("usage: cargo xtask demo [--keep]")),
    };
    println!("onetrip: PostgreSQL from the edge in one round trip\n");
    Step { label: "building the gateway", advice: "" }.run(cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "onetrip-gateway",
        "--bin",
        "onetrip",
    ]))?;
    let typescript = workers::build_typescript()?;
    let rust = workers::build_rust(Scenarios::Without)?;

    let mut stack = Stack::start_with(&["--without-gateway", "--script", SCHEMA])?;
    let line = Line::begin("starting the gateway and workerd");
    let (_gateway, gateway) = start_gateway(&stack)?;
    let relay = stack.relay(&gateway)?;
    let (role, password, database) = (stack.text("role"), stack.text("password"), stack.text("database"));
    let workerd = Workerd::start(
        &[&typescript, &rust],
        &format!("http://{role}:{password}@{relay}/{database}"),
        Way::Fetch,
    )?;
    let (typescript, rust) = (workerd.address(&typescript), workerd.address(&rust));
    line.end(true);

    println!(
        "\n  Worker ──HTTP──▶ onetrip serve ──one flight──▶ PostgreSQL {}\n  \
         all on this machine; every round trip below was counted by a proxy on the wire",
        stack.text("version")
    );
    show(&mut stack, typescript, "TypeScript Worker", "examples/worker-typescript/src/index.ts")?;
    show(&mut stack, rust, "Rust Worker", "worker/src/lib.rs")?;

    if !keep {
        println!(
            "\nTo look around while it runs: cargo xtask demo --keep\n\
             To write a Worker of your own: README.md, the first row in two minutes"
        );
        return Ok(());
    }
    let (role, password, database) = (stack.text("role"), stack.text("password"), stack.text("database"));
    println!(
        "\nIt stays up until Ctrl-C.\n\n  \
         TypeScript Worker  http://{typescript}/query\n  \
         Rust Worker        http://{rust}/query\n  \
         gateway            http://{gateway}\n\n  \
         curl -u {role}:{password} http://{gateway}/v1/{database}/pipeline \\\n    \
         -H 'content-type: application/json' \\\n    \
         -d '{{\"sql\": \"select name, price from products where price < $1\", \"params\": [50]}}'\n",
    );
    loop {
        std::thread::park();
    }
}

/// Starts the built binary on a free port and waits until it is healthy.
fn start_gateway(stack: &Stack) -> Result<(Process, String), Failure> {
    let trouble = |error: std::io::Error| Failure::new(format!("no free port: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(trouble)?;
    let address = listener.local_addr().map_err(trouble)?.to_string();
    drop(listener);
    let log = root().join("target/xtask/gateway.log");
    let database = stack.text("database");
    let mut command = Command::new(target_dir().join("release/onetrip"));
    command.args(["serve", "--listen", &address, "--database"]);
    command.arg(format!("{database}=postgresql://{}/{database}?sslmode=disable", stack.text("postgres")));
    let process = Process::start(&command, &log, Output::Logged)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(&address).is_err() || http::get(&address, "/healthz")?.0 != 200 {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::new(format!("the gateway did not start:\n{log}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((process, address))
}

/// Three requests of one Worker: what it answers, how long that took, and the round trips.
fn show(stack: &mut Stack, worker: &str, name: &str, source: &str) -> Result<(), Failure> {
    println!("\n{}  {source}", bold(name));
    for (path, title, expected) in [
        ("/query", "a typed query", 200),
        ("/batch", "an atomic batch", 200),
        ("/error", "a mistake in the SQL", 400),
    ] {
        let cold = ask(stack, worker, path)?;
        let mut warm = (0..WARM_REQUESTS).map(|_| ask(stack, worker, path)).collect::<Result<Vec<_>, _>>()?;
        warm.sort_by_key(|exchange| exchange.time);
        let warm = warm.swap_remove(WARM_REQUESTS / 2);
        if warm.status != expected || warm.flights.postgres.is_empty() {
            return Err(Failure::new(format!(
                "{name}: GET {path} was answered {}, not {expected}:\n{}",
                warm.status,
                String::from_utf8_lossy(&warm.body)
            )));
        }
        println!("\n  {title}  GET {path}");
        for line in pretty(&cold.body) {
            println!("    {line}");
        }
        println!("    {}  {}", bold(&milliseconds(warm.time)), round_trips(&warm.flights));
        let extra = cold.flights.postgres.len().saturating_sub(warm.flights.postgres.len());
        let why = if extra > 0 {
            format!(", with {extra} round trips to log in to PostgreSQL")
        } else {
            String::new()
        };
        println!("    (the median of {WARM_REQUESTS}; the first one took {}{why})", milliseconds(cold.time));
    }
    Ok(())
}

/// One request and what it cost.
struct Exchange {
    status: u16,
    body: Vec<u8>,
    time: Duration,
    flights: Flights,
}

fn ask(stack: &mut Stack, worker: &str, path: &str) -> Result<Exchange, Failure> {
    stack.take_flights()?;
    let begun = Instant::now();
    let (status, body) = http::get(worker, path)?;
    let time = begun.elapsed();
    Ok(Exchange { status, body, time, flights: stack.take_flights()? })
}

fn round_trips(flights: &Flights) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    // Behind the first Sync the gateway resets the session, which is no statement of the Worker's.
    let request = |tags: &String| tags.split('S').next().unwrap_or_default().matches('E').count();
    let executed = flights.postgres.iter().map(request).sum();
    format!(
        "{}, {} to the gateway, {} to PostgreSQL",
        count(executed, "statement"),
        count(flights.gateway, "round trip"),
        count(flights.postgres.len(), "round trip"),
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The members of a JSON object, one a line; rows one a line.
fn pretty(body: &[u8]) -> Vec<String> {
    let Ok(Json::Object(members)) = serde_json::from_slice(body) else {
        return vec![String::from_utf8_lossy(body).into_owned()];
    };
    let mut lines = Vec::new();
    for (name, value) in &members {
        match value {
            Json::Array(rows) if rows.iter().any(|row| matches!(row, Json::Object(_))) => {
                lines.extend(rows.iter().take(MOST_ROWS).map(Json::to_string));
                if rows.len() > MOST_ROWS {
                    lines.push(format!("… and {} more", rows.len() - MOST_ROWS));
                }
            }
            Json::Object(fields) if name == "error" => {
                lines.extend(fields.iter().map(|(name, value)| format!("{name}: {value}")));
            }
            value => lines.push(format!("{name}: {value}")),
        }
    }
    lines
}

fn bold(text: &str) -> String {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

const MOST_ROWS: usize = 5;
/// Their median is shown.
const WARM_REQUESTS: usize = 11;

/// What the Workers ask about.
const SCHEMA: &str = include_str!("../../examples/worker-typescript/schema.sql");
