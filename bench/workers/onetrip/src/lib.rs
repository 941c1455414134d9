//! A Worker that asks one thing by onetrip.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    let answer = ask(&env.var("DATABASE_URL")?.to_string()).await;
    Response::ok(answer.map_err(|error| error.to_string())?)
}

async fn ask(url: &str) -> std::result::Result<String, onetrip::Error> {
    let client = onetrip::Client::connect(url)?;
    let mut out = String::new();
    for row in client.query("select id, name from products where id < $1 order by id", &[&10i32]).await? {
        let (id, name): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
        out.push_str(&format!("{id}: {name}\n"));
    }
    Ok(out)
}
