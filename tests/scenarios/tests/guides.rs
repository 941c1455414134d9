//! The Rust programs of README.md and of the guides, as they stand there: those for native programs run here against a real
//! endpoint, those for Workers are compiled for wasm from `worker/examples/guide.rs`.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use onetrip_tests::Stack;

/// `url` is `https://role:password@endpoint.example/shop`.
async fn cheap_items(url: &str) -> Result<(), onetrip::Error> {
    let client = onetrip::Client::connect(url)?; // opens nothing

    for row in client.query("select id, name from items where price < $1", &[&20.0]).await? {
        let (id, name): (i64, &str) = (row.get("id"), row.get("name"));
        println!("{id}: {name}");
    }

    let (order, left) = client
        .transaction()
        .query_one("insert into orders (item) values ($1) returning id", &[&1i64])
        .query_one("update items set stock = stock - 1 where id = $1 returning stock", &[&1i64])
        .commit()
        .await?; // one request, one flight, all of it or nothing
    println!("order {}, {} left", order.get::<_, i64>("id"), left.get::<_, i32>("stock"));
    Ok(())
}

#[tokio::test]
async fn the_readme_sells_an_item() {
    let stack = Stack::start("").await;
    let url = stack.gateway.url();
    let client = onetrip::Client::connect(&url).unwrap();
    let tables = "create table items (id int8 primary key, name text, price numeric, stock int4);
        create table orders (id int8 generated always as identity, item int8);
        insert into items values (1, 'Cup', 12.50, 5), (2, 'Lamp', 99, 1)";
    client.batch_execute(tables).await.unwrap();
    cheap_items(&url).await.unwrap();
    let row = client.query_one("select stock, (select count(*) from orders) from items where id = 1", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (4, 1));
}

async fn move_money(client: &onetrip::Client) -> Result<i64, onetrip::Error> {
    // onetrip: one
    let (_, row) = client
        .transaction()
        .execute("update accounts set cents = cents - $1 where id = $2", &[&500i64, &1i64])
        .query_one("update accounts set cents = cents + $1 where id = $2 returning cents", &[&500i64, &2i64])
        .commit()
        .await?;
    Ok(row.get(0))
}

#[tokio::test]
async fn both_transactions_of_the_migration_page_move_the_money() {
    let stack = Stack::start("").await;
    let accounts = "create table accounts (id int8 primary key, cents int8);
        insert into accounts values (1, 1000), (2, 0)";
    let mut client = stack.database.connect().await;
    client.batch_execute(accounts).await.unwrap();
    let moved = async {
        // tokio-postgres: five round trips
        let transaction = client.transaction().await?;
        let debit = "update accounts set cents = cents - $1 where id = $2";
        transaction.execute(debit, &[&500i64, &1i64]).await?;
        let credit = "update accounts set cents = cents + $1 where id = $2 returning cents";
        let row = transaction.query_one(credit, &[&500i64, &2i64]).await?;
        transaction.commit().await?;
        Ok::<i64, Box<dyn std::error::Error>>(row.get(0))
    };
    assert_eq!(moved.await.unwrap(), 500);

    let client = onetrip::Client::connect(&stack.gateway.url()).unwrap();
    assert_eq!(move_money(&client).await.unwrap(), 1000);
}

/// Every Rust program of a page stands in a source that is compiled, line for line and apart from its indentation.
fn check_page(page: &str, text: &str, source: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let compiled = lines(source);
    let mut programs = 0;
    for block in text.split("\n```rust").skip(1) {
        let (_, rest) = block.split_once('\n').unwrap();
        let program = lines(rest.split("\n```").next().unwrap());
        let stands = compiled.windows(program.len()).any(|window| window == program);
        assert!(stands, "{page}: this program is not compiled as it stands there:\n{}", program.join("\n"));
        programs += 1;
    }
    assert!(programs > 0, "{page} has no program");
}

#[test]
fn every_rust_program_of_the_pages_is_one_that_is_compiled() {
    let here = include_str!("guides.rs");
    check_page("README.md", include_str!("../../../README.md"), here);
    let migration = include_str!("../../../docs/migrating-from-tokio-postgres.md");
    check_page("migrating-from-tokio-postgres.md", migration, here);
    let worker = include_str!("../../../worker/examples/guide.rs");
    check_page("rust-guide.md", include_str!("../../../docs/rust-guide.md"), worker);
}
