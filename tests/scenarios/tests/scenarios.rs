//! All scenarios through the native transport, against a real gateway and PostgreSQL.

use onetrip::Client;
use onetrip_tests::Stack;

#[tokio::test]
async fn all_scenarios_pass_natively() {
    let stack = Stack::start("").await;
    let client = Client::connect(&stack.gateway.url()).unwrap();
    let report = onetrip_scenarios::run(&client, "native").await;
    println!("{report}");
    assert!(report.is_success(), "{report}");
}
