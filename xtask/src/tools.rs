//! What the work needs: each tool is looked for, and installed when it is missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    root,
    step::{Failure, Step},
};

/// Something that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Rust's standard library for wasm32.
    Wasm32,
    /// The JavaScript tools of the lock file: esbuild, wasm-opt, workerd, wrangler, TypeScript.
    Npm,
    /// wasm-bindgen's command line, in the version of Cargo.lock.
    WasmBindgen,
    /// workers-rs's build tool.
    WorkerBuild,
    /// The runner of browser tests.
    WasmPack,
    /// Chromium and its driver.
    Browser,
    /// PgBouncer, for the tests behind a pooler; they are skipped where it cannot be had.
    PgBouncer,
}

const ALL: [(Tool, &str); 7] = [
    (Tool::Wasm32, "wasm32"),
    (Tool::Npm, "npm"),
    (Tool::WasmBindgen, "wasm-bindgen"),
    (Tool::WorkerBuild, "worker-build"),
    (Tool::WasmPack, "wasm-pack"),
    (Tool::Browser, "browser"),
    (Tool::PgBouncer, "pgbouncer"),
];

/// `cargo xtask setup`: installs everything, or what is named.
///
/// # Errors
/// An unknown name, or the first tool that could not be installed.
pub fn setup(wanted: &[&str]) -> Result<(), Failure> {
    for name in wanted {
        if !names().contains(name) {
            let known = names().join(", ");
            return Err(Failure::new(format!("there is no tool `{name}`; there are {known}")));
        }
    }
    for (tool, name) in ALL {
        if wanted.is_empty() || wanted.contains(&name) {
            ensure(&[tool])?;
            println!("  ✓ {name}");
        }
    }
    Ok(())
}

/// The names that [`setup`] takes.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(_, name)| *name).collect()
}

/// Installs what is missing of these tools; says nothing when nothing is.
///
/// # Errors
/// The first tool that could not be installed, with what to do.
pub fn ensure(tools: &[Tool]) -> Result<(), Failure> {
    for tool in tools {
        match tool {
            Tool::Wasm32 => wasm32()?,
            Tool::Npm => npm()?,
            Tool::WasmBindgen => {
                let version = locked_version("wasm-bindgen")?;
                // `--locked` last: the lock file inside that crate names a version that some registries lack.
                cargo_tool("wasm-bindgen-cli", &version, "wasm-bindgen", &["--no-default-features"])?;
            }
            Tool::WorkerBuild => cargo_tool("worker-build", WORKER_BUILD_VERSION, "worker-build", &[])?,
            Tool::WasmPack => cargo_tool("wasm-pack", WASM_PACK_VERSION, "wasm-pack", &[])?,
            Tool::Browser => browser()?,
            Tool::PgBouncer => pgbouncer()?,
        }
    }
    Ok(())
}

/// A command that finds the installed tools: on its PATH, and by the variables that build scripts look at.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let own = [tools_dir().join("bin"), root().join("node_modules/.bin")];
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let paths = own.iter().cloned().chain(std::env::split_paths(&usual));
    if let Ok(path) = std::env::join_paths(paths) {
        command.env("PATH", path);
    }
    command
        .current_dir(root())
        .env("WASM_BINDGEN_BIN", tools_dir().join("bin/wasm-bindgen"))
        .env("WASM_OPT_BIN", root().join("node_modules/.bin/wasm-opt"))
        .env("ESBUILD_BIN", root().join("node_modules/.bin/esbuild"))
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    command
}

/// A command of the cargo that runs us.
pub fn cargo() -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a program that it runs must not reach the cargo that this one runs.
    for name in ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
        command.env_remove(name);
    }
    command
}

/// The native binary of workerd, which the npm package of that name brings along for this machine.
///
/// # Errors
/// When it is not there.
pub fn workerd() -> Result<PathBuf, Failure> {
    let scope = root().join("node_modules/@cloudflare");
    let packages = fs::read_dir(&scope).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    packages.map(|package| package.join("bin/workerd")).find(|binary| binary.is_file()).ok_or_else(|| {
        Failure::new(format!(
            "no workerd for this machine in {}: delete node_modules and run `cargo xtask setup npm`",
            scope.display()
        ))
    })
}

/// `cargo xtask build-pkg`: the npm package, from Rust source to tarball.
///
/// # Errors
/// A missing tool or a failed build.
pub fn build_package() -> Result<(), Failure> {
    ensure(&[Tool::Wasm32, Tool::Npm, Tool::WasmBindgen])?;
    Step { label: "building the npm package", advice: "The scripts are in pkg/scripts." }
        .run(command("node").arg("pkg/scripts/build.mjs"))?;
    let stamp = root().join(PACKAGE_STAMP);
    fs::write(&stamp, "").map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))
}

/// As [`build_package`], when a source is newer than the last build.
///
/// # Errors
/// As [`build_package`].
pub fn build_package_if_changed() -> Result<(), Failure> {
    let sources = ["pkg", "src", "crates/wire", "Cargo.toml", "Cargo.lock", "package-lock.json"];
    let is_built = root().join("pkg/dist/wasm/onetrip_bg.wasm").is_file();
    if is_built && crate::workers::is_newer(&root().join(PACKAGE_STAMP), &sources) {
        return Ok(());
    }
    build_package()
}

/// `cargo xtask build-endpoint`: the npm package with the endpoint's program for this machine, built for release.
///
/// # Errors
/// A failed build.
pub fn build_endpoint_package() -> Result<(), Failure> {
    node("pkg/scripts/endpoint.mjs", &[])
}

/// `cargo xtask bench`: the measurements of bench/.
///
/// # Errors
/// A missing tool or a failed measurement.
pub fn bench(arguments: &[&str]) -> Result<(), Failure> {
    build_package_if_changed()?;
    // Bun's and Deno's packages hold their programs; their scripts only move them.
    npm_ci(
        &root().join("bench"),
        "installing the clients and runtimes that are measured (npm ci)",
        &["--ignore-scripts", "--loglevel=error"],
    )?;
    node("bench/run.mjs", arguments)
}

/// Runs a script of ours with its output on ours.
fn node(script: &str, arguments: &[&str]) -> Result<(), Failure> {
    match command("node").arg(script).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("node {script} ended with {status}"))),
        Err(error) => Err(Failure::new(format!("cannot run node: {error}"))),
    }
}

fn tools_dir() -> PathBuf {
    root().join("target/tools")
}

fn wasm32() -> Result<(), Failure> {
    let works = || {
        let output = Command::new("rustc")
            .current_dir(root())
            .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
            .output();
        let Ok(output) = output else { return false };
        let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("libcore-")
        })
    };
    if works() {
        return Ok(());
    }
    let added = Step { label: "adding the target wasm32-unknown-unknown", advice: "" }
        .run(Command::new("rustup").current_dir(root()).args(["target", "add", "wasm32-unknown-unknown"]));
    if added.is_ok() && works() {
        return Ok(());
    }
    Step {
        label: "building Rust's library for wasm32 from Debian's source",
        advice: "Neither `rustup target add wasm32-unknown-unknown` nor Debian's package rust-src worked. \
                 Check the network and run the first of them by hand.",
    }
    .run(Command::new("bash").arg(root().join("xtask/wasm32-from-source.sh")).current_dir(root()))
}

fn npm() -> Result<(), Failure> {
    npm_ci(&root(), "installing JavaScript tools (npm ci)", &[])
}

/// Installs the clients of Neon's protocol that are tested. Without their scripts: those download engines that nothing
/// here uses.
pub fn neon_clients() -> Result<(), Failure> {
    npm()?;
    let folder = root().join("tests/runtimes/neon");
    npm_ci(
        &folder,
        "installing the clients of Neon's protocol (npm ci)",
        &["--ignore-scripts", "--loglevel=error"],
    )
}

/// Installs the project of a runtime in tests/runtimes. Without scripts: the programs that npm brings are called by their
/// own paths, and nothing else needs to be built.
pub fn runtime_project(name: &str) -> Result<(), Failure> {
    let folder = root().join("tests/runtimes").join(name);
    let label = format!("installing tests/runtimes/{name} (npm ci)");
    npm_ci(&folder, &label, &["--ignore-scripts", "--loglevel=error"])
}

/// Installs what a folder's lock file says, unless that is what is installed.
fn npm_ci(folder: &Path, label: &str, flags: &[&str]) -> Result<(), Failure> {
    let lock_path = folder.join("package-lock.json");
    let lock = fs::read(&lock_path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", lock_path.display())))?;
    let stamp = folder.join("node_modules/.installed-package-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    Step {
        label,
        advice: "Node 20 or newer with npm must be installed, and npm's registry reachable (`npm ping`).",
    }
    .run(command("npm").args(["ci", "--no-audit", "--no-fund"]).args(flags).current_dir(folder))?;
    fs::write(&stamp, lock)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))
}

/// Installs a program of crates.io into target/tools.
fn cargo_tool(package: &str, version: &str, program: &str, flags: &[&str]) -> Result<(), Failure> {
    let installed = fs::read_to_string(tools_dir().join(".crates.toml")).unwrap_or_default();
    if installed.contains(&format!("\"{package} {version} "))
        && tools_dir().join("bin").join(program).is_file()
    {
        return Ok(());
    }
    let label = format!("installing {package} {version} (once, takes minutes)");
    let step = Step {
        label: &label,
        advice: "It is compiled from crates.io and needs a C compiler; worker-build also needs pkg-config and \
                 OpenSSL's headers (Debian: apt-get install build-essential pkg-config libssl-dev).",
    };
    let install = |locked: bool| {
        let mut command = cargo();
        command
            // Not in the repository: its configuration is not for this program.
            .current_dir(std::env::temp_dir())
            .args(["install", "--quiet", "--force", package, "--version", &format!("={version}"), "--root"])
            .arg(tools_dir())
            .args(flags)
            .env("CARGO_TARGET_DIR", tools_dir().join("build"))
            // It runs for seconds and is compiled for minutes: compile less.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
        if let Ok(toolchain) = toolchain() {
            command.env("RUSTUP_TOOLCHAIN", toolchain);
        }
        if locked {
            command.arg("--locked");
        }
        command
    };
    // Unlocked first: a lock file inside a crate may name versions that a registry has withdrawn or holds back.
    let outcome = step.run(&mut install(false)).or_else(|_| step.run(&mut install(true)));
    let _ = fs::remove_dir_all(tools_dir().join("build"));
    outcome
}

fn browser() -> Result<(), Failure> {
    if chromedriver().is_some() && ["chromium", "google-chrome", "chrome"].iter().any(|name| on_path(name)) {
        return Ok(());
    }
    let advice = "Install Chromium (or Chrome) and its chromedriver of the same version, so that both are on the \
                  PATH (Debian: apt-get install chromium chromium-driver), or leave the suite `browser` out.";
    let step = Step { label: "installing Chromium (apt-get)", advice };
    if !has_apt() {
        return Err(Failure::new(format!("there is no Chromium with a chromedriver on the PATH.\n{advice}")));
    }
    apt(&step, &["chromium", "chromium-driver"])
}

fn pgbouncer() -> Result<(), Failure> {
    if on_path("pgbouncer") || Path::new("/usr/sbin/pgbouncer").is_file() {
        return Ok(());
    }
    let advice = "Install PgBouncer (Debian: apt-get install pgbouncer): without it the tests behind a pooler are skipped.";
    if !has_apt() {
        println!("  There is no pgbouncer on the PATH. {advice}");
        return Ok(());
    }
    apt(&Step { label: "installing PgBouncer (apt-get)", advice }, &["pgbouncer"])
}

/// Whether this is a system of Debian's kind, and we may install packages on it.
fn has_apt() -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    is_root && on_path("apt-get")
}

fn apt(step: &Step<'_>, packages: &[&str]) -> Result<(), Failure> {
    // A package list that cannot be refreshed may still be good enough.
    let _ = Command::new("apt-get").args(["update", "-qq"]).output();
    step.run(
        Command::new("apt-get")
            .args(["install", "--yes", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// The driver of the browser: that of the variable CHROMEDRIVER, or the one on the PATH.
pub fn chromedriver() -> Option<PathBuf> {
    std::env::var_os("CHROMEDRIVER").map(PathBuf::from).or_else(|| find_on_path("chromedriver"))
}

fn on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The version of a package in Cargo.lock.
fn locked_version(package: &str) -> Result<String, Failure> {
    let path = root().join("Cargo.lock");
    let lock = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    version_in_lock(&lock, package)
        .ok_or_else(|| Failure::new(format!("{} has no package {package}", path.display())))
}

fn version_in_lock(lock: &str, package: &str) -> Option<String> {
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.split_once('"')?.0.to_owned())
}

/// The channel that rust-toolchain.toml names.
fn toolchain() -> Result<String, Failure> {
    let path: &Path = &root().join("rust-toolchain.toml");
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let channel = text.lines().find_map(|line| line.strip_prefix("channel = "));
    channel
        .map(|value| value.trim_matches('"').to_owned())
        .ok_or_else(|| Failure::new(format!("{} names no channel", path.display())))
}

/// Newer than all that the npm package was built from.
const PACKAGE_STAMP: &str = "target/xtask/package-is-built";
/// The releases that these commands were tested with; both must suit the wasm-bindgen of Cargo.lock.
const WORKER_BUILD_VERSION: &str = "0.8.7";
const WASM_PACK_VERSION: &str = "0.15.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_version_is_that_of_the_exact_name() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.5\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(version_in_lock(lock, "wasm-bindgen").as_deref(), Some("0.2.130"));
        assert_eq!(version_in_lock(lock, "wasm"), None);
    }
}
