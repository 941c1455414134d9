//! A Worker without a database: what the others are compared with.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    Response::ok(env.var("DATABASE_URL")?.to_string())
}
