//! `cargo xtask test` and `cargo xtask ci`: the suites, one after another, with a summary at the end.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    http, root, runtimes,
    stack::{Stack, target_dir},
    step::Failure,
    tools::{self, Tool, cargo, command, ensure},
    workers::{self, Bundle, Scenarios, Way, Workerd},
};

/// A part of the tests that can be run on its own.
struct Suite {
    name: &'static str,
    what: &'static str,
    run: Run,
}

/// How a suite is run.
#[derive(Clone, Copy)]
enum Run {
    Whole(fn() -> Result<(), Failure>),
    /// Each of these parts can be run on its own, by `suite/part`.
    Parts(&'static [&'static str], fn(&[&str]) -> Result<(), Failure>),
}

const TESTS: [Suite; 10] = [
    Suite {
        name: "rust",
        what: "every crate on this machine, against a real PostgreSQL",
        run: Run::Whole(rust),
    },
    Suite { name: "wire-wasm", what: "the protocol's tests again, on wasm32", run: Run::Whole(wire_wasm) },
    Suite { name: "fuzz", what: "the decoders on mutated bytes, for some seconds", run: Run::Whole(fuzz) },
    Suite {
        name: "npm",
        what: "the npm package: size budget, unit tests, requests against PostgreSQL",
        run: Run::Whole(npm),
    },
    Suite {
        name: "npx",
        what: "`npx onetrip dev` from a registry to a first row, and how it fails",
        run: Run::Whole(npx),
    },
    Suite {
        name: "examples",
        what: "the READMEs' first steps and the examples, word for word",
        run: Run::Whole(examples),
    },
    Suite {
        name: "runtimes",
        what: "the packed npm package in every runtime, each a project as its user would have it",
        run: Run::Parts(runtimes::RUNTIMES, runtimes::run),
    },
    Suite { name: "workerd", what: "the Rust Worker in a real workerd", run: Run::Whole(workerd) },
    Suite {
        name: "neon",
        what: "the published clients of Neon's protocol and onetrip/neon, in Node and in a real workerd",
        run: Run::Whole(neon),
    },
    Suite { name: "browser", what: "the driver in a headless browser", run: Run::Whole(browser) },
];

const CHECKS: [Suite; 4] = [
    Suite { name: "format", what: "cargo fmt --check", run: Run::Whole(format) },
    Suite {
        name: "clippy",
        what: "lints on this machine's target, warnings are errors",
        run: Run::Whole(clippy),
    },
    Suite { name: "clippy-wasm", what: "lints on wasm32, warnings are errors", run: Run::Whole(clippy_wasm) },
    Suite { name: "docs", what: "the documentation builds without warnings", run: Run::Whole(docs) },
];

/// The names that [`test()`] takes.
pub fn names() -> Vec<&'static str> {
    TESTS.iter().map(|suite| suite.name).collect()
}

/// `cargo xtask test`: all suites, or those (and those checks of [`ci`]) that are named.
///
/// # Errors
/// When a suite fails, after all have run; or when a name is unknown.
pub fn test(wanted: &[&str]) -> Result<(), Failure> {
    if wanted.is_empty() {
        return run(TESTS.iter().map(Chosen::from));
    }
    let all = || CHECKS.iter().chain(&TESTS);
    if let Some(name) = wanted.iter().find(|name| !all().any(|suite| suite.is_named_by(name))) {
        let known: Vec<&str> = all().map(|suite| suite.name).collect();
        return Err(Failure::new(format!("there is no suite `{name}`; there are {}", known.join(", "))));
    }
    run(all().filter_map(|suite| suite.chosen(wanted)))
}

/// `cargo xtask ci`: formatting, lints, documentation, then all suites.
///
/// # Errors
/// As [`test()`].
pub fn ci(rest: &[&str]) -> Result<(), Failure> {
    crate::no_arguments(rest)?;
    run(CHECKS.iter().chain(&TESTS).map(Chosen::from))
}

/// A suite and which of its parts to run; all, if none is named.
struct Chosen<'a> {
    suite: &'a Suite,
    parts: Vec<&'static str>,
}

impl<'a> From<&'a Suite> for Chosen<'a> {
    fn from(suite: &'a Suite) -> Self {
        let parts = match suite.run {
            Run::Whole(_) => Vec::new(),
            Run::Parts(parts, _) => parts.to_vec(),
        };
        Self { suite, parts }
    }
}

impl Suite {
    /// Whether a word of the command line means this suite or a part of it.
    fn is_named_by(&self, word: &str) -> bool {
        word == self.name || self.part(word).is_some()
    }

    /// The part that `suite/part` means.
    fn part(&self, word: &str) -> Option<&'static str> {
        let Run::Parts(parts, _) = self.run else { return None };
        let wanted = word.strip_prefix(self.name)?.strip_prefix('/')?;
        parts.iter().copied().find(|part| *part == wanted)
    }

    /// What of this suite is wanted, if anything is.
    fn chosen(&self, wanted: &[&str]) -> Option<Chosen<'_>> {
        if wanted.contains(&self.name) {
            return Some(self.into());
        }
        let parts: Vec<&str> = wanted.iter().filter_map(|word| self.part(word)).collect();
        (!parts.is_empty()).then_some(Chosen { suite: self, parts })
    }
}

fn run<'a>(chosen: impl Iterator<Item = Chosen<'a>>) -> Result<(), Failure> {
    let mut results: Vec<(&str, Duration, bool)> = Vec::new();
    for Chosen { suite, parts } in chosen {
        println!("\n── {}: {}", suite.name, suite.what);
        let begun = Instant::now();
        let outcome = match suite.run {
            Run::Whole(run) => run(),
            Run::Parts(_, run) => run(&parts),
        };
        if let Err(failure) = &outcome {
            println!("{failure}");
        }
        results.push((suite.name, begun.elapsed(), outcome.is_ok()));
    }
    println!("\n── summary");
    for (name, time, passed) in &results {
        println!("  {} {name}  {:.1} s", if *passed { "✓" } else { "✗" }, time.as_secs_f64());
    }
    let failed: Vec<&str> = results.iter().filter(|(.., passed)| !passed).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        println!("\nTo repeat what failed: cargo xtask test {}", failed.join(" "));
    }
    // Programs read this line, so it is plain and the last one.
    println!("\n{} passed, {} failed", results.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(Failure::told()) }
}

fn rust() -> Result<(), Failure> {
    ensure(&[Tool::PgBouncer])?;
    show(cargo().args(["test", "--workspace", "--no-fail-fast"]).args(without(&WASM_ONLY)))
}

fn wire_wasm() -> Result<(), Failure> {
    ensure(&[Tool::Wasm32, Tool::WasmBindgen])?;
    show(
        cargo()
            .args(["test", "--package", "onetrip-wire", "--target", WASM32])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner"),
    )
}

fn fuzz() -> Result<(), Failure> {
    show(cargo().args([
        "run",
        "--quiet",
        "--release",
        "--bin",
        "short",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--",
        "3",
    ]))
}

fn npm() -> Result<(), Failure> {
    tools::build_package()?;
    show(command("node").arg("pkg/scripts/test.mjs"))?;
    for example in ["examples/worker-typescript", "examples/row-level-security"] {
        show(command("tsc").args(["--project", example]))?;
    }
    let stack = Stack::start()?;
    for runtime in ["requests", "migrating"] {
        show(command("node").arg(format!("tests/runtimes/{runtime}/run.mjs")).env(TEST_URL, stack.url()))?;
    }
    Ok(())
}

fn npx() -> Result<(), Failure> {
    pack_endpoint()?;
    drop(Stack::start()?); // Brings PostgreSQL's programs.
    show(command("node").arg("tests/runtimes/npx/run.mjs"))
}

fn examples() -> Result<(), Failure> {
    pack_endpoint()?;
    let stack = Stack::start()?;
    show(command("node").arg("tests/runtimes/examples/run.mjs"))?;
    let mut native = cargo();
    native.args(["run", "--quiet", "--package", "onetrip", "--example", "native", "--features", "derive"]);
    let output = native.env("ONETRIP_URL", stack.url()).output();
    let output = output.map_err(|error| Failure::new(format!("cannot run cargo: {error}")))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("$ examples/native.rs\n{printed}");
    // Line 3 begins with the isolation level and goes on with the time.
    let expected = [
        "Berlin: 3769000",
        "Köln: 1084000",
        "\"repeatable read\" at ",
        "5000050000",
        "3 calls, 100004 rows, ",
    ];
    let mut lines = printed.lines();
    let is_expected = expected.iter().all(|start| lines.next().is_some_and(|line| line.starts_with(start)));
    if output.status.success() && is_expected && lines.next().is_none() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("examples/native.rs: {}, expected {expected:?}\n{errors}", output.status)))
}

/// Both npm packages as they would be published, the endpoint's with a debug build, which its own tests have made already.
fn pack_endpoint() -> Result<(), Failure> {
    tools::build_package_if_changed()?;
    show(cargo().args(["build", "--quiet", "--package", "onetrip-gateway", "--bin", "onetrip"]))?;
    let binary = target_dir().join("debug/onetrip");
    show(command("node").args(["pkg/scripts/endpoint.mjs", "--binary"]).arg(binary))
}

fn workerd() -> Result<(), Failure> {
    let rust = workers::build_rust(Scenarios::With)?;
    let stack = Stack::start()?;
    for (way, name) in [(Way::Fetch, "fetch"), (Way::Service, "a service binding")] {
        let workerd = Workerd::start(&[&rust], stack.url(), way)?;
        check_scenarios(&workerd, &rust, name)?;
        // A panic in one request, and the next ones are as if nothing had been.
        for _ in 0..2 {
            let (status, _) = http::get(workerd.address(&rust), "/panic")?;
            if status < 500 {
                return Err(Failure::new(format!("a panic in the Rust Worker gave status {status}")));
            }
            let (status, body) = http::get(workerd.address(&rust), "/error")?;
            let text = String::from_utf8_lossy(&body);
            if status != 400 || !text.contains("42P01") {
                return Err(Failure::new(format!("after a panic the Rust Worker answered {status} {text}")));
            }
        }
        println!("Rust Worker by {name}: healthy after a panic");
    }
    Ok(())
}

fn check_scenarios(workerd: &Workerd, rust: &Bundle, way: &str) -> Result<(), Failure> {
    let (status, body) = http::get(workerd.address(rust), "/scenarios")?;
    let report: Value = serde_json::from_slice(&body).unwrap_or_default();
    match report.get("text").and_then(Value::as_str) {
        Some(text) => println!("Rust Worker by {way}, all scenarios: {text}"),
        None => println!("Rust Worker by {way}: {status} {}", String::from_utf8_lossy(&body)),
    }
    match report.get("success").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => Err(Failure::new(format!("scenarios failed in the Rust Worker by {way}"))),
    }
}

fn neon() -> Result<(), Failure> {
    tools::build_package_if_changed()?;
    tools::neon_clients()?;
    let stack = Stack::start()?;
    show(command("node").arg("tests/runtimes/neon/run.mjs").env(TEST_URL, stack.url()))
}

fn browser() -> Result<(), Failure> {
    ensure(&[Tool::Wasm32, Tool::WasmBindgen, Tool::WasmPack, Tool::Browser])?;
    let stack = Stack::start()?;
    let mut command = command("wasm-pack");
    command.args(["test", "--headless", "--chrome"]);
    if let Some(driver) = tools::chromedriver() {
        command.arg("--chromedriver").arg(driver);
    }
    show(command.arg("tests/browser").env(TEST_URL, stack.url()))
}

fn format() -> Result<(), Failure> {
    show(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    show(
        cargo()
            .args(["clippy", "--workspace", "--all-targets"])
            .args(without(&WASM_ONLY))
            .args(["--", "--deny", "warnings"]),
    )
}

fn clippy_wasm() -> Result<(), Failure> {
    ensure(&[Tool::Wasm32])?;
    let lint = |targets: &str, packages: &[&str]| {
        show(
            cargo()
                .args(["clippy", targets, "--target", WASM32])
                .args(packages.iter().flat_map(|name| ["--package", name]))
                .args(["--", "--deny", "warnings"]),
        )
    };
    // By itself, as it is built: it has no std, and beside others its dependencies would.
    lint("--all-targets", &["onetrip-js"])?;
    // Its unit tests and examples are for this machine; in wasm the browser tests run it.
    lint("--lib", &["onetrip"])?;
    lint("--all-targets", &["onetrip-wire", "onetrip-worker", "onetrip-browser-tests"])
}

fn docs() -> Result<(), Failure> {
    show(
        cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .args(without(&WASM_ONLY))
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Runs a command with its output on ours: a suite speaks for itself.
pub fn show(command: &mut Command) -> Result<(), Failure> {
    let path = std::path::Path::new(command.get_program());
    let program = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = format!("{program} {}", arguments.join(" "));
    println!("$ {shown}");
    match command.current_dir(root()).stdin(std::process::Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{shown}: {status}"))),
        Err(error) => Err(Failure::new(format!("cannot run {program}: {error}"))),
    }
}

fn without(packages: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    packages.iter().flat_map(|name| ["--exclude", name])
}

/// Where the gateway is, with credentials and database: what every runner outside of Rust reads.
pub const TEST_URL: &str = "ONETRIP_TEST_URL";
const WASM32: &str = "wasm32-unknown-unknown";
/// These are programs for a JavaScript engine and nothing else.
const WASM_ONLY: [&str; 3] = ["onetrip-js", "onetrip-worker", "onetrip-browser-tests"];
