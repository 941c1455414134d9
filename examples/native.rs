//! The driver in a native program: `ONETRIP_URL=http://app:secret@127.0.0.1:5480/app cargo run --example native --features derive`.
//! `onetrip dev` prints such a URL.

use onetrip::{Client, FromRow, IsolationLevel};

#[derive(FromRow)]
struct City<'a> {
    name: &'a str,
    inhabitants: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("ONETRIP_URL").map_err(|_| "set ONETRIP_URL: `onetrip dev` prints one")?;
    let client = Client::connect(&url)?;

    let cities = "select * from (values ('Berlin', 3769000::int8), ('Köln', 1084000)) c (name, inhabitants)";
    for row in &client.query(cities, &[]).await? {
        let City { name, inhabitants } = City::from_row(row)?;
        println!("{name}: {inhabitants}");
    }

    // A transaction of unlike statements: one request.
    let (before, settings) = client
        .transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .query_one("select now() as moment", &[])
        .query_one("select current_setting('transaction_isolation') as level", &[])
        .commit()
        .await?;
    println!(
        "{:?} at {:?}",
        settings.get::<_, &str>("level"),
        before.get::<_, std::time::SystemTime>("moment")
    );

    // A large result, through a little memory.
    let mut rows = client
        .query_raw("select i::int8 as inhabitants, 'x' as name from generate_series(1, $1) i", [100_000i32])
        .await?;
    let mut sum = 0;
    while let Some(row) = rows.next().await {
        sum += City::from_row(&row?)?.inhabitants;
    }
    println!("{sum}");

    let metrics = client.metrics();
    println!("{} calls, {} rows, {} bytes received", metrics.calls, metrics.rows, metrics.bytes_received);
    Ok(())
}
