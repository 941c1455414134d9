//! A small shop on the edge, in Rust: a typed query, an atomic batch, and an error that says what is wrong.
//!
//! `cargo xtask demo` runs it in workerd; `npx wrangler deploy` puts it on the edge. Without PostgreSQL's schema of the demo
//! its queries fail, and `/error` shows how.

// A Worker runs in wasm and nowhere else.
#![cfg(target_arch = "wasm32")]

use chrono::{DateTime, Utc};
use onetrip::transport::Service;
use onetrip::{Client, Config, Error, FromRow, Kind, Numeric};
use serde_json::{Value, json};
use uuid::Uuid;
use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    // A secret: `npx wrangler secret put ONETRIP_URL`, https://role:password@endpoint.example/database.
    let url = env.secret("ONETRIP_URL").or_else(|_| env.var("ONETRIP_URL")).map(|url| url.to_string());
    let answer = match url.map(|url| client(&url, &env)) {
        Ok(Ok(client)) => route(&client, &request.path()).await,
        Ok(Err(error)) => Err(error),
        Err(_) => {
            return Response::error("set the secret ONETRIP_URL: npx wrangler secret put ONETRIP_URL", 500);
        }
    };
    match answer {
        Ok(Some(answer)) => Response::from_json(&answer),
        Ok(None) => Response::from_json(&json!({"paths": ["/query", "/batch", "/error"]}))
            .map(|answer| answer.with_status(404)),
        Err(error) => refusal(&error),
    }
}

/// By the service binding ENDPOINT where there is one: no network between the Workers. Otherwise by `fetch`.
fn client(url: &str, env: &Env) -> std::result::Result<Client, Error> {
    let config: Config = url.parse()?;
    Ok(match env.service("ENDPOINT") {
        Ok(endpoint) => Client::with_transport(config, Service::from(endpoint)),
        Err(_) => Client::new(config),
    })
}

async fn route(client: &Client, path: &str) -> std::result::Result<Option<Value>, Error> {
    match path {
        "/query" | "/" => query(client).await.map(Some),
        "/batch" => batch(client).await.map(Some),
        "/error" => client.query("select nmae from products", &[]).await.map(|_| None),
        #[cfg(feature = "scenarios")]
        "/scenarios" => Ok(Some(scenarios(client).await)),
        #[cfg(feature = "scenarios")]
        "/panic" => {
            client.query("select 1", &[]).await?;
            panic!("a mistake in a user's code");
        }
        _ => Ok(None),
    }
}

/// A row of the table, its text borrowed from the answer.
#[derive(FromRow)]
struct Product<'a> {
    id: i32,
    name: &'a str,
    price: Numeric,
    in_stock: bool,
    added: DateTime<Utc>,
    tags: Value,
}

impl Product<'_> {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "price": self.price.as_str(), "in_stock": self.in_stock,
            "added": self.added.to_rfc3339(), "tags": self.tags,
        })
    }
}

async fn query(client: &Client) -> std::result::Result<Value, Error> {
    let sql = "select id, name, price, in_stock, added, tags from products where price < $1 order by id";
    let rows = client.query(sql, &[&50]).await?;
    let types: serde_json::Map<String, Value> = rows
        .first()
        .map(|row| {
            row.columns()
                .iter()
                .map(|column| (column.name().to_owned(), column.type_().name().into()))
                .collect()
        })
        .unwrap_or_default();
    let products: Vec<Product<'_>> =
        rows.iter().map(Product::from_row).collect::<std::result::Result<_, Error>>()?;
    let rows: Vec<Value> = products.iter().map(Product::to_json).collect();
    Ok(json!({"rows": rows, "types": types}))
}

async fn batch(client: &Client) -> std::result::Result<Value, Error> {
    let order = Uuid::new_v4();
    let products = ["lamp", "chair", "desk", "rug", "shelf", "clock", "vase", "mirror", "plant"];
    let mut batch =
        client.batch().statement("select count(distinct order_id) as orders from order_lines", &[]);
    for product in products {
        batch = batch
            .statement("insert into order_lines (order_id, product) values ($1, $2)", &[&order, &product]);
    }
    let statements = batch.len();
    let results = batch.commit().await?;
    let orders_before: Option<i64> = match results.first().and_then(|result| result.rows().first()) {
        Some(row) => Some(row.try_get("orders")?),
        None => None,
    };
    let inserted: u64 = results.iter().skip(1).map(|result| result.row_count()).sum();
    Ok(json!({"statements": statements, "orders_before": orders_before, "inserted": inserted}))
}

/// An error for the one who wrote the SQL. A public Worker would keep it to its log.
fn refusal(error: &Error) -> Result<Response> {
    let body = match error.as_db_error() {
        Some(database) => json!({"error": {
            "code": database.code(), "message": database.message(),
            "hint": database.hint(), "position": database.position(),
        }}),
        None => json!({"error": {"message": error.to_string()}}),
    };
    let status = if error.kind() == Kind::Sql { 400 } else { 502 };
    Ok(Response::from_json(&body)?.with_status(status))
}

#[cfg(feature = "scenarios")]
async fn scenarios(client: &Client) -> Value {
    let prefix: String = Uuid::new_v4().simple().to_string().chars().take(12).collect();
    let report = onetrip_scenarios::run(client, &format!("rustworker{prefix}")).await;
    let (is_held, text) = match onetrip_scenarios::held_back(client, &format!("held_{prefix}")).await {
        Ok(()) => (true, "a stream that nobody reads is held back at the server".to_owned()),
        Err(why) => (false, format!("FAILED a stream that nobody reads: {why}")),
    };
    json!({"success": report.is_success() && is_held, "text": format!("{report}{text}")})
}
