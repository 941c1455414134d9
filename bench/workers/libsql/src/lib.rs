//! A Worker that asks one thing by libsql: another database, for the size of its client.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    let answer = ask(env.var("DATABASE_URL")?.to_string()).await;
    Response::ok(answer.map_err(|error| error.to_string())?)
}

async fn ask(url: String) -> std::result::Result<String, libsql::Error> {
    let connection = libsql::wasm::Connection::open_cloudflare_worker(url, "token");
    let mut rows =
        connection.query("select id, name from products where id < ?1 order by id", [10i32]).await?;
    let mut out = String::new();
    while let Some(row) = rows.next().await? {
        let (id, name): (i32, String) = (row.get(0)?, row.get(1)?);
        out.push_str(&format!("{id}: {name}\n"));
    }
    Ok(out)
}
