//! Starts a server and prints its URL; it ends with the end of standard input.

use std::{error::Error, io::Read, time::Instant};

use onetrip_embedded_postgres::{Installation, Options, Postgres};

fn main() -> Result<(), Box<dyn Error>> {
    let tools_dir = std::env::args().nth(1).unwrap_or_else(|| "target/tools".into());
    let installation = Installation::ensure(tools_dir.as_ref(), &mut |line| eprintln!("{line}"))?;
    let begun = Instant::now();
    let postgres = Postgres::start(&installation, Options::for_tests())?;
    eprintln!("started in {} ms", begun.elapsed().as_millis());
    println!("{}", postgres.url("postgres"));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
