//! PostgreSQL, the counting proxy and a gateway in one process, for runners that are not written in Rust.
//!
//! `stack [--without-gateway] [--tls CERTIFICATE KEY] [--settings TOML] [--script SQL]` runs the script in a new database, prints one line of JSON and stays until its standard input ends:
//!
//! - `url`: the gateway with credentials and database, `http://role:password@127.0.0.1:port/database`
//! - `database`, `role`, `password`: the same, apart
//! - `postgres`: host and port of the proxy, through which everything reaches PostgreSQL
//! - `version`: PostgreSQL's version
//!
//! A line on its standard input is a command, answered by one line of JSON:
//!
//! - `relay HOST:PORT` starts a second proxy, in front of that server: `{"address": …}`
//! - `flights` counts the round trips since the last such command: `{"postgres": [tags, …], "relay": number}`,
//!   those to PostgreSQL with the tags of the messages that the gateway sent

use std::{error::Error, net::SocketAddr, path::Path};

use onetrip_embedded_postgres::{Installation, Options, Postgres, Tls};
use onetrip_tests::{CountingProxy, Database, Gateway};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut with_gateway, mut settings, mut script) = (true, String::new(), String::new());
    let mut options = Options::for_tests();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--without-gateway" => with_gateway = false,
            "--tls" => {
                let mut file = || -> Result<String, Box<dyn Error>> {
                    Ok(std::fs::read_to_string(arguments.next().ok_or("--tls needs two files")?)?)
                };
                options = options.tls(Tls { certificate_pem: file()?, key_pem: file()? });
            }
            "--settings" => settings = arguments.next().ok_or("--settings needs a TOML text")?,
            "--script" => script = arguments.next().ok_or("--script needs SQL")?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let installation = Installation::ensure(&tools, &mut |line| eprintln!("  … {line}"))?;
    let postgres = Postgres::start(&installation, options)?;
    let database = Database::create_in(&postgres, "app").await;
    let client = database.connect().await;
    client.batch_execute(&script).await?;
    let version: String = client.query_one("show server_version", &[]).await?.get(0);
    let proxy = CountingProxy::start(database.address).await?;
    let gateway = match with_gateway {
        true => Some(Gateway::start(&database, proxy.address(), &settings).await),
        false => None,
    };

    let description = json!({
        "url": gateway.as_ref().map(Gateway::url),
        "database": database.name,
        "role": database.name,
        "password": database.password,
        "postgres": proxy.address().to_string(),
        "version": version,
    });
    println!("{description}");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut relay: Option<CountingProxy> = None;
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("relay", upstream) => {
                let started = CountingProxy::start(upstream.parse::<SocketAddr>()?).await?;
                let address = relay.insert(started).address();
                json!({"address": address.to_string()})
            }
            ("flights", _) => {
                let postgres: Vec<String> =
                    proxy.flights().into_iter().map(|flight| flight.frontend).collect();
                let relayed = relay.as_ref().map(|relay| relay.flights().len());
                proxy.forget();
                relay.iter().for_each(CountingProxy::forget);
                json!({"postgres": postgres, "relay": relayed})
            }
            (other, _) => return Err(format!("unknown command {other}").into()),
        };
        println!("{answer}");
    }
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    Ok(())
}
