//! The programs of docs/rust-guide.md, compiled for wasm as they stand there; `tests/scenarios/tests/guides.rs` compares.

use onetrip::{Client, FromRow};
use worker::{Context, Env, Request, Response, Result, event};

#[derive(FromRow)]
struct Product<'a> {
    id: i32,
    name: &'a str,
}

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    let url = env.secret("ONETRIP_URL")?.to_string();
    match list(&url).await {
        Ok(text) => Response::ok(text),
        Err(error) => {
            worker::console_error!("{error}");
            Response::error("the database does not answer", 502)
        }
    }
}

async fn list(url: &str) -> std::result::Result<String, onetrip::Error> {
    let client = Client::connect(url)?;
    let rows = client.query("select id, name from products where price < $1 order by id", &[&50]).await?;
    let products: Vec<Product> = rows.iter().map(Product::from_row).collect::<std::result::Result<_, _>>()?;
    Ok(products.iter().map(|product| format!("{} {}\n", product.id, product.name)).collect())
}

/// The endpoint behind a binding.
pub fn bound(env: &Env) -> std::result::Result<Client, Box<dyn std::error::Error>> {
    use onetrip::{Config, transport::Service};

    let config: Config = env.secret("ONETRIP_URL")?.to_string().parse()?;
    let client = Client::with_transport(config, Service::from(env.service("ENDPOINT")?));
    Ok(client)
}

/// Another endpoint than onetrip's.
pub fn neon(env: &Env) -> std::result::Result<Client, Box<dyn std::error::Error>> {
    let client = onetrip::neon::Neon::connect(&env.secret("DATABASE_URL")?.to_string())?;
    Ok(client)
}

fn main() {}
