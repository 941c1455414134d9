//! A stream that is not read to its end: what no file describes, and every runtime has to do.

use onetrip::{Client, Error};

/// Checks that the server stands still while nobody reads a stream, and that dropping it ends the statement. `marker` is the
/// name of a sequence, which it makes and drops, and of its own for each run: `[a-z][a-z0-9_]*`.
///
/// # Errors
/// What is wrong, in words.
pub async fn held_back(client: &Client, marker: &str) -> Result<(), String> {
    client.batch_execute(&format!("create sequence {marker}")).await.map_err(|error| words(&error))?;
    // A kilobyte in each that compresses badly: what is read may be compressed, and much of that fits into buffers.
    let sql = format!(
        "select (select string_agg(md5(number::text || part), '') from generate_series(1, 32) part), nextval('{marker}')
         from generate_series(1, {ROWS}) number"
    );
    let mut rows = client.query_raw(&sql, std::iter::empty::<&str>()).await.map_err(|error| words(&error))?;
    if !matches!(rows.next().await, Some(Ok(_))) {
        return Err("the stream gives no row".to_owned());
    }
    stands_still(client, marker).await?;
    drop(rows);
    ended(client, marker).await?;
    client.batch_execute(&format!("drop sequence {marker}")).await.map_err(|error| words(&error))
}

/// 200 MB, which pass within seconds if the runtime takes all that comes.
const ROWS: i64 = 200_000;

/// Waits until a sequence gives no more numbers, and has not given them all.
async fn stands_still(client: &Client, sequence: &str) -> Result<(), String> {
    let sql = format!("select last_value from {sequence}");
    let (mut before, mut still) = (0, 0);
    for _ in 0..200 {
        let row = client.query_one(&sql, &[]).await.map_err(|error| words(&error))?;
        let now: i64 = row.get(0);
        if now == ROWS {
            break;
        }
        still = if now == before { still + 1 } else { 0 };
        if still == 10 {
            return Ok(());
        }
        before = now;
        client.query("select pg_sleep(0.05)", &[]).await.map_err(|error| words(&error))?;
    }
    Err(format!("the server has sent {before} rows of which nobody reads more than one"))
}

/// Checks that the statement which holds this marker ends: what nobody waits for is cancelled.
///
/// # Errors
/// What is wrong, in words.
pub async fn ended(client: &Client, marker: &str) -> Result<(), String> {
    let running = "select count(*) from pg_stat_activity
        where state = 'active' and query like '%' || $1 || '%' and pid <> pg_backend_pid()";
    for _ in 0..100 {
        let row = client.query_one(running, &[&marker]).await.map_err(|error| words(&error))?;
        if row.get::<_, i64>(0) == 0 {
            return Ok(());
        }
        client.query("select pg_sleep(0.05)", &[]).await.map_err(|error| words(&error))?;
    }
    Err("the statement goes on".to_owned())
}

fn words(error: &Error) -> String {
    error.to_string()
}
