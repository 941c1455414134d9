//! The suite `runtimes`: the packed npm package in every runtime, each a project of its own in tests/runtimes.

use crate::{
    stack::Stack,
    step::Failure,
    suites::{TEST_URL, show},
    tools::{self, Tool, command, ensure},
};

/// The projects, by their folders in tests/runtimes.
pub const RUNTIMES: &[&str] = &[
    "node",
    "deno",
    "bun",
    "cloudflare-workers",
    "vercel-edge",
    "nextjs",
    "aws-lambda",
    "google-cloud-functions",
    "azure-functions",
    "browser-esbuild",
    "browser-webpack",
    "browser-vite",
];

/// Installs and runs these projects, every one even if another has failed.
///
/// # Errors
/// When one fails.
pub fn run(wanted: &[&str]) -> Result<(), Failure> {
    tools::build_package_if_changed()?;
    for name in wanted {
        if name.starts_with("browser-") {
            ensure(&[Tool::Browser])?;
        }
        tools::runtime_project(name)?;
    }
    let mut failed = Vec::new();
    for name in wanted {
        // Each has an endpoint of its own, which lets a role guess its password ten times a minute.
        let stack = Stack::start()?;
        let script = format!("tests/runtimes/{name}/run.mjs");
        if show(command("node").arg(script).env(TEST_URL, stack.url())).is_err() {
            failed.push(format!("runtimes/{name}"));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failed.join(" "))))
}
