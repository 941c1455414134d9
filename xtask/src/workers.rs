//! The two Workers of the repository, built and run by a bare workerd.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use serde_json::Value;

use crate::{
    process::{Output, Process},
    root,
    step::{Failure, Step},
    tools::{self, Tool, command, ensure},
};

/// A Worker's modules in a directory, the main one being `index.js`.
#[derive(Debug)]
pub struct Bundle {
    name: &'static str,
    directory: PathBuf,
}

/// Bundles the TypeScript Worker of examples/ with the built package.
///
/// # Errors
/// A missing tool or a failed build.
pub fn build_typescript() -> Result<Bundle, Failure> {
    ensure(&[Tool::Npm])?;
    tools::build_package_if_changed()?;
    let bundle = Bundle { name: "typescript", directory: directory().join("typescript") };
    let _ = fs::remove_dir_all(&bundle.directory);
    link_package()?;
    Step { label: "bundling the TypeScript Worker", advice: "" }.run(
        command("esbuild")
            .arg("examples/worker-typescript/src/index.ts")
            .args(["--bundle", "--format=esm", "--platform=neutral", "--main-fields=module,main"])
            .args(["--conditions=workerd,worker,browser", "--loader:.wasm=copy", "--log-level=warning"])
            .arg(format!("--outdir={}", bundle.directory.display()))
            .env("NODE_PATH", directory().join("node_modules")),
    )?;
    Ok(bundle)
}

/// Builds the Rust Worker, unless it is newer than its sources.
///
/// # Errors
/// A missing tool or a failed build.
pub fn build_rust(scenarios: Scenarios) -> Result<Bundle, Failure> {
    ensure(&[Tool::Wasm32, Tool::Npm, Tool::WasmBindgen, Tool::WorkerBuild])?;
    let name = match scenarios {
        Scenarios::Without => "rust",
        Scenarios::With => "rust-scenarios",
    };
    let bundle = Bundle { name, directory: directory().join(name) };
    let sources = [
        "worker/src",
        "worker/Cargo.toml",
        "src",
        "crates/derive",
        "crates/wire",
        "tests/scenarios",
        "Cargo.toml",
        "Cargo.lock",
    ];
    if is_newer(&bundle.directory.join("index.js"), &sources) {
        return Ok(bundle);
    }
    let mut build = command("worker-build");
    build.current_dir(root().join("worker")).args(["--profile", "release-wasm", "--out-dir"]);
    build.arg(format!("../{}/{name}", DIRECTORY));
    if scenarios == Scenarios::With {
        build.args([".", "--features", "scenarios"]);
    }
    Step { label: "building the Rust Worker", advice: "" }.run(&mut build)?;
    Ok(bundle)
}

/// Whether the Rust Worker can run the scenarios of tests/scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenarios {
    /// The Worker as it is deployed.
    Without,
    /// With the path `/scenarios`, for the tests.
    With,
}

/// How the Rust Worker reaches the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the global `fetch`, at the URL's host.
    Fetch,
    /// By a service binding, whatever the URL's host.
    Service,
}

/// A running workerd, which ends when this is dropped.
#[derive(Debug)]
pub struct Workerd {
    addresses: Vec<(&'static str, String)>,
    _process: Process,
}

impl Workerd {
    /// Starts these Workers on free ports; they find the gateway at `url`.
    ///
    /// # Errors
    /// When workerd does not start, with its words.
    pub fn start(bundles: &[&Bundle], url: &str, way: Way) -> Result<Self, Failure> {
        let (mut services, mut sockets) = (String::new(), String::new());
        for bundle in bundles {
            services.push_str(&service(bundle, url, way)?);
            sockets.push_str(&format!(
                "    (name = \"{name}\", address = \"127.0.0.1:0\", http = (), service = \"{name}\"),\n",
                name = bundle.name
            ));
        }
        let endpoint = host(url);
        let path = directory().join("workerd.capnp");
        let configuration = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n  services = [\n{services}    \
             (name = \"internet\", network = (allow = [\"public\", \"private\"])),\n    \
             (name = \"endpoint\", external = (address = \"{endpoint}\", http = ())),\n  ],\n  \
             sockets = [\n{sockets}  ],\n);\n"
        );
        fs::write(&path, configuration).map_err(|error| trouble("writing", &path, &error))?;

        let log = directory().join("workerd.log");
        let mut command = Command::new(tools::workerd()?);
        command.args(["serve", "--control-fd=1"]).arg(&path);
        let mut process = Process::start(&command, &log, Output::Piped)?;
        let output = process.take_output().expect("the output was asked for");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut addresses = Vec::new();
        while addresses.len() < bundles.len() {
            let Some(line) = lines.next() else {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!("workerd did not start:\n{log}")));
            };
            // {"event":"listen","socket":"typescript","port":40123}
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let Some(port) = event.get("port").and_then(Value::as_u64) else { continue };
            let socket = event.get("socket").and_then(Value::as_str);
            let bundle = bundles.iter().find(|bundle| Some(bundle.name) == socket);
            addresses.extend(bundle.map(|bundle| (bundle.name, format!("127.0.0.1:{port}"))));
        }
        Ok(Self { addresses, _process: process })
    }

    /// Host and port of one of its Workers.
    pub fn address(&self, bundle: &Bundle) -> &str {
        let found = self.addresses.iter().find(|(name, _)| *name == bundle.name);
        found.map(|(_, address)| address.as_str()).expect("a Worker that was started")
    }
}

/// Where the bundles are.
fn directory() -> PathBuf {
    root().join(DIRECTORY)
}

/// A service of workerd's configuration.
fn service(bundle: &Bundle, url: &str, way: Way) -> Result<String, Failure> {
    let Bundle { name, directory } = bundle;
    let (url, service) = match way {
        Way::Fetch => (url.to_owned(), ""),
        // A host that leads nowhere, so that only the binding can.
        Way::Service => {
            (url.replace(host(url), "endpoint.invalid"), ", (name = \"ENDPOINT\", service = \"endpoint\")")
        }
    };
    let mut modules = String::new();
    for file in module_files(directory)? {
        let kind = if file.ends_with(".wasm") { "wasm" } else { "esModule" };
        let module = format!("(name = \"{file}\", {kind} = embed \"{name}/{file}\"), ");
        // workerd takes the first one as the main module.
        if file == "index.js" { modules.insert_str(0, &module) } else { modules.push_str(&module) }
    }
    Ok(format!(
        "    (name = \"{name}\", worker = (compatibilityDate = \"{COMPATIBILITY_DATE}\", modules = [{modules}], \
         bindings = [(name = \"ONETRIP_URL\", text = \"{url}\"){service}])),\n"
    ))
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// The files of a bundle by their paths in it.
fn module_files(bundle: &Path) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    let mut pending = vec![bundle.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| trouble("reading", &directory, &error))? {
            let path = entry.map_err(|error| trouble("reading", &directory, &error))?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| ["js", "mjs", "wasm"].iter().any(|e| extension == *e))
            {
                files.extend(path.strip_prefix(bundle).ok().map(|path| path.to_string_lossy().into_owned()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Lets `import … from "onetrip"` find the built package, as an installation would.
fn link_package() -> Result<(), Failure> {
    let link = directory().join("node_modules/onetrip");
    let parent = link.parent().expect("it has two components more than the directory");
    fs::create_dir_all(parent).map_err(|error| trouble("creating", parent, &error))?;
    if link.exists() {
        return Ok(());
    }
    std::os::unix::fs::symlink(root().join("pkg"), &link).map_err(|error| trouble("linking", &link, &error))
}

/// Whether a file exists and is newer than every source, each a file or a directory of the repository.
pub fn is_newer(file: &Path, sources: &[&str]) -> bool {
    let Ok(built) = fs::metadata(file).and_then(|metadata| metadata.modified()) else { return false };
    sources.iter().all(|source| newest(&root().join(source)).is_none_or(|changed| changed < built))
}

fn newest(path: &Path) -> Option<SystemTime> {
    let own = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_name() != "node_modules" && entry.file_name() != "dist");
    below.filter_map(|entry| newest(&entry.path())).chain(own).max()
}

fn trouble(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{doing} {}: {error}", path.display()))
}

const DIRECTORY: &str = "target/workers";
/// The day whose behaviour of workerd the examples are written for; the same as in their wrangler.toml.
const COMPATIBILITY_DATE: &str = "2026-04-01";
