//! The two example Workers, built and run by a bare workerd.

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

/// The Workers in a running workerd, which ends when this is dropped.
#[derive(Debug)]
pub struct Workers {
    /// Host and port of the TypeScript Worker.
    pub typescript: String,
    /// Host and port of the Rust Worker.
    pub rust: String,
    _workerd: Process,
}

impl Workers {
    /// Builds both, unless nothing has changed since the last time.
    ///
    /// # Errors
    /// A missing tool or a failed build.
    pub fn build() -> Result<(), Failure> {
        ensure(&[Tool::Wasm32, Tool::Npm, Tool::WasmBindgen, Tool::WorkerBuild])?;
        tools::build_package_if_changed()?;
        let bundle = directory().join("typescript");
        let _ = fs::remove_dir_all(&bundle);
        link_package()?;
        Step { label: "bundling the TypeScript Worker", advice: "" }.run(
            command("esbuild")
                .arg("examples/worker-typescript/src/index.ts")
                .args(["--bundle", "--format=esm", "--platform=neutral", "--main-fields=module,main"])
                .args(["--conditions=workerd,worker,browser", "--loader:.wasm=copy", "--log-level=warning"])
                .arg(format!("--outdir={}", bundle.display()))
                .env("NODE_PATH", directory().join("node_modules")),
        )?;

        let sources = ["worker/src", "worker/Cargo.toml", "src", "crates/wire", "Cargo.toml", "Cargo.lock"];
        if is_newer(&root().join(RUST_BUNDLE).join("index.js"), &sources) {
            return Ok(());
        }
        Step { label: "building the Rust Worker", advice: "" }
            .run(command("worker-build").arg("--release").current_dir(root().join("worker")))
    }

    /// Starts workerd on free ports with both Workers, which find the gateway at `url`.
    ///
    /// # Errors
    /// When workerd does not start; its words are in the log that the error names.
    pub fn start(url: &str) -> Result<Self, Failure> {
        let directory = directory();
        let rust_bundle = directory.join("rust");
        copy_modules(&root().join(RUST_BUNDLE), &rust_bundle)?;
        let configuration = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n  services = [\n{}{}    \
             (name = \"internet\", network = (allow = [\"public\", \"private\"])),\n  ],\n  sockets = [\n    \
             (name = \"typescript\", address = \"127.0.0.1:0\", http = (), service = \"typescript\"),\n    \
             (name = \"rust\", address = \"127.0.0.1:0\", http = (), service = \"rust\"),\n  ],\n);\n",
            service("typescript", &directory.join("typescript"), url)?,
            service("rust", &rust_bundle, url)?,
        );
        let path = directory.join("workerd.capnp");
        fs::write(&path, configuration).map_err(|error| trouble("writing", &path, &error))?;

        let log = directory.join("workerd.log");
        let mut workerd = Command::new(tools::workerd()?);
        workerd.args(["serve", "--control-fd=1"]).arg(&path);
        let mut workerd = Process::start(&workerd, &log, Output::Piped)?;
        let output = workerd.take_output().expect("the output was asked for");
        let (mut typescript, mut rust) = (None, None);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // {"event":"listen","socket":"typescript","port":40123}
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let Some(port) = event.get("port").and_then(Value::as_u64) else { continue };
            let address = format!("127.0.0.1:{port}");
            match event.get("socket").and_then(Value::as_str) {
                Some("typescript") => typescript = Some(address),
                Some("rust") => rust = Some(address),
                _ => {}
            }
            if typescript.is_some() && rust.is_some() {
                break;
            }
        }
        let (Some(typescript), Some(rust)) = (typescript, rust) else {
            let log = fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::new(format!("workerd did not start:\n{log}")));
        };
        Ok(Self { typescript, rust, _workerd: workerd })
    }
}

/// Where the demo keeps its bundles.
fn directory() -> PathBuf {
    root().join("target/demo")
}

/// A service of workerd's configuration from the modules in a directory; `index.js` is the main one.
fn service(name: &str, bundle: &Path, url: &str) -> Result<String, Failure> {
    let mut modules = String::new();
    for file in module_files(bundle)? {
        let kind = if file.ends_with(".wasm") { "wasm" } else { "esModule" };
        let module = format!("(name = \"{file}\", {kind} = embed \"{name}/{file}\"), ");
        // workerd takes the first one as the main module.
        if file == "index.js" { modules.insert_str(0, &module) } else { modules.push_str(&module) }
    }
    Ok(format!(
        "    (name = \"{name}\", worker = (compatibilityDate = \"{COMPATIBILITY_DATE}\", modules = [{modules}], \
         bindings = [(name = \"ONETRIP_URL\", text = \"{url}\")])),\n"
    ))
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

fn copy_modules(from: &Path, to: &Path) -> Result<(), Failure> {
    let _ = fs::remove_dir_all(to);
    for file in module_files(from)? {
        let target = to.join(&file);
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(|error| trouble("creating", parent, &error))?;
        fs::copy(from.join(&file), &target).map_err(|error| trouble("copying to", &target, &error))?;
    }
    Ok(())
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

/// What worker-build makes.
const RUST_BUNDLE: &str = "worker/build";
/// The day whose behaviour of workerd the examples are written for; the same as in their wrangler.toml.
const COMPATIBILITY_DATE: &str = "2026-04-01";
