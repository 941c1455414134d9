//! The counting proxy between tokio-postgres and a real server: the instrument before what it measures.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::{Duration, Instant};

use onetrip_tests::{CountingProxy, Database, Faults};
use tokio_postgres::Client;

async fn connect() -> (CountingProxy, Database, Client) {
    let direct = Database::create().await;
    let proxy = CountingProxy::start(direct.address).await.unwrap();
    let through = Database { address: proxy.address(), ..direct };
    let client = through.connect().await;
    proxy.forget();
    (proxy, through, client)
}

fn frontend_tags(proxy: &CountingProxy) -> Vec<String> {
    proxy.flights().into_iter().map(|flight| flight.frontend).collect()
}

#[tokio::test]
async fn a_prepared_query_is_two_flights_and_a_script_is_one() {
    let (proxy, _, client) = connect().await;
    let statement = client.prepare("select $1::int4 as n").await.unwrap();
    client.query(&statement, &[&1]).await.unwrap();
    assert_eq!(frontend_tags(&proxy), ["PDS", "BES"]);
    proxy.forget();
    client.batch_execute("select 1; select 2").await.unwrap();
    let flights = proxy.flights();
    assert_eq!(flights.len(), 1);
    assert_eq!((flights[0].frontend.as_str(), flights[0].backend.as_str()), ("Q", "TDCTDCZ"));
}

#[tokio::test]
async fn a_delay_is_paid_once_per_flight_each_way() {
    let (proxy, _, client) = connect().await;
    let delay = Duration::from_millis(30);
    proxy.set_faults(Faults { delay, ..Faults::default() });
    let begun = Instant::now();
    client.batch_execute("select 1").await.unwrap();
    assert!(begun.elapsed() >= delay * 2, "{:?}", begun.elapsed());

    // Ten scripts at once travel together: as many messages, but one trip's time.
    proxy.forget();
    let begun = Instant::now();
    let scripts: [_; 10] = std::array::from_fn(|_| client.batch_execute("select 1"));
    let [a, b, c, d, e, f, g, h, i, j] = scripts;
    let _ = tokio::try_join!(a, b, c, d, e, f, g, h, i, j).unwrap();
    // One after the other they would take ten times as long; a busy machine may take a few times.
    assert!(begun.elapsed() < delay * 2 * 5, "{:?}", begun.elapsed());
    assert_eq!(frontend_tags(&proxy), ["QQQQQQQQQQ"]);
}

#[tokio::test]
async fn a_connection_is_cut_after_so_many_bytes_and_the_next_one_works() {
    let (proxy, database, client) = connect().await;
    proxy.set_faults(Faults { cut_after_bytes: Some(1000), ..Faults::default() });
    let error = client.simple_query("select generate_series(1, 100000)").await.unwrap_err();
    assert!(error.is_closed() || error.to_string().contains("error communicating"), "{error}");
    assert_eq!(proxy.flights()[0].backend_bytes, 1000);
    proxy.set_faults(Faults::default());
    assert!(client.is_closed());
    database.connect().await.batch_execute("select 1").await.unwrap();
    assert_eq!(proxy.connections().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_is_closed_and_a_stalled_one_waits() {
    let (proxy, database, client) = connect().await;
    proxy.set_faults(Faults { refuse: true, ..Faults::default() });
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(proxy.address().port()).user(&database.name);
    assert!(config.connect(tokio_postgres::NoTls).await.is_err());

    proxy.set_faults(Faults { stall: true, ..Faults::default() });
    let query = client.batch_execute("select 1");
    tokio::pin!(query);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut query).await.is_err());
    proxy.set_faults(Faults::default());
    tokio::time::timeout(Duration::from_secs(10), query).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections() {
    let (proxy, _, client) = connect().await;
    drop(proxy);
    assert!(client.batch_execute("select 1").await.is_err());
}
