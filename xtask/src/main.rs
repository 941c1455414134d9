//! The build menu of onetrip: `cargo xtask`.

mod demo;
mod http;
mod json;
mod process;
mod runtimes;
mod stack;
mod step;
mod suites;
mod tools;
mod workers;

use std::{path::PathBuf, process::ExitCode};

use step::Failure;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str);
    let command = words.next();
    let rest: Vec<&str> = words.collect();
    let outcome = match command {
        Some("setup") => tools::setup(&rest),
        Some("demo") => demo::run(&rest),
        Some("test") => suites::test(&rest),
        Some("ci") => suites::ci(&rest),
        Some("build-pkg") => no_arguments(&rest).and_then(|()| tools::build_package()),
        Some("build-endpoint") => no_arguments(&rest).and_then(|()| tools::build_endpoint_package()),
        Some("bench") => tools::bench(&rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(Failure::new(format!("there is no command `{other}`\n\n{}", help()))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                eprintln!("\n{failure}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The repository's top directory.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the repository").to_owned()
}

fn no_arguments(rest: &[&str]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::new(format!("unexpected argument `{extra}`\n\n{}", help()))),
    }
}

fn help() -> String {
    format!(
        "cargo xtask: the build menu of onetrip

  demo [--keep]     a query, a batch and an error from a Worker through the gateway to PostgreSQL;
                    --keep stays up and prints URLs
  test [suite…]     the test suites, all of them or those named:
                    {suites};
                    runtimes/NAME is one of {runtimes}
  ci                what CI runs: formatting, lints, documentation, and all suites
  build-pkg         the npm package: pkg/dist and its tarball
  build-endpoint    the npm package of the endpoint for this machine: pkg/endpoint
  bench [argument…] the measurements of bench/ (each script there says what it measures)
  setup [what…]     only install what is missing, for everything or for:
                    {tools}

Everything is installed into target/tools and node_modules, except Chromium and PgBouncer, which come from the system.
",
        suites = suites::names().join(", "),
        runtimes = runtimes::RUNTIMES.join(", "),
        tools = tools::names().join(", "),
    )
}
