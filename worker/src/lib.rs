//! A small shop on the edge, in Rust: a typed query, an atomic batch, and an error that says what is wrong.
//!
//! `cargo xtask demo` runs it in workerd; `npx wrangler deploy` puts it on the edge. Without PostgreSQL's schema of the demo
//! its queries fail, and `/error` shows how.

use chrono::{DateTime, Utc};
use onetrip::{Client, Error, Kind, Numeric};
use serde_json::{Value, json};
use uuid::Uuid;
use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    // A secret: `npx wrangler secret put ONETRIP_URL`, https://role:password@endpoint.example/database.
    let url = env.secret("ONETRIP_URL").or_else(|_| env.var("ONETRIP_URL")).map(|url| url.to_string());
    let answer = match url.map(|url| Client::connect(&url)) {
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

async fn route(client: &Client, path: &str) -> std::result::Result<Option<Value>, Error> {
    match path {
        "/query" | "/" => query(client).await.map(Some),
        "/batch" => batch(client).await.map(Some),
        "/error" => client.query("select nmae from products", &[]).await.map(|_| None),
        #[cfg(feature = "scenarios")]
        "/scenarios" => Ok(Some(scenarios(client).await)),
        _ => Ok(None),
    }
}

async fn query(client: &Client) -> std::result::Result<Value, Error> {
    let sql = "select id, name, price, in_stock, added, tags from products where price < $1 order by id";
    let rows = client.query(sql, &[&50]).await?;
    let product = |row: &onetrip::Row| {
        let (id, name): (i32, &str) = (row.try_get("id")?, row.try_get("name")?);
        let (price, in_stock): (Numeric, bool) = (row.try_get("price")?, row.try_get("in_stock")?);
        let (added, tags): (DateTime<Utc>, Value) = (row.try_get("added")?, row.try_get("tags")?);
        Ok(json!({
            "id": id, "name": name, "price": price.as_str(), "in_stock": in_stock,
            "added": added.to_rfc3339(), "tags": tags,
        }))
    };
    let types: serde_json::Map<String, Value> = rows
        .first()
        .map(|row| {
            row.columns()
                .iter()
                .map(|column| (column.name().to_owned(), column.type_().name().into()))
                .collect()
        })
        .unwrap_or_default();
    let rows: Vec<Value> = rows.iter().map(product).collect::<std::result::Result<_, Error>>()?;
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
    json!({"success": report.is_success(), "text": report.to_string()})
}
