//! A Worker that asks one thing by tokio-postgres over a socket, with TLS by the runtime.

use tokio_postgres::config::{Host, SslMode};
use worker::postgres_tls::PassthroughTls;
use worker::{Context, Env, Request, Response, Result, SecureTransport, Socket, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    let answer = ask(&env.var("DATABASE_URL")?.to_string()).await;
    Response::ok(answer.map_err(|error| error.to_string())?)
}

async fn ask(url: &str) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let config: tokio_postgres::Config = url.parse()?;
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { return Err("no host".into()) };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let transport = match config.get_ssl_mode() {
        SslMode::Disable => SecureTransport::Off,
        _ => SecureTransport::StartTls,
    };
    let socket = Socket::builder().secure_transport(transport).connect(host.as_str(), port)?;
    let (client, connection) = config.connect_raw(socket, PassthroughTls).await?;
    worker::wasm_bindgen_futures::spawn_local(async move {
        let _ = connection.await;
    });
    let mut out = String::new();
    for row in client.query("select id, name from products where id < $1 order by id", &[&10i32]).await? {
        let (id, name): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
        out.push_str(&format!("{id}: {name}\n"));
    }
    Ok(out)
}
