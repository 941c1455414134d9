//! PostgreSQL, the counting proxy and the gateway as one process beside us: the binary `stack` of tests/.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{
    root,
    step::{Failure, Step},
    tools::cargo,
};

/// The running stack. Dropping it ends it, and so does the end of this process.
#[derive(Debug)]
pub struct Stack {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    description: Value,
}

impl Stack {
    /// Builds it and starts it, with a gateway on a free port.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start() -> Result<Self, Failure> {
        Self::start_with(&[])
    }

    /// Starts it with arguments of the binary `stack`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> Result<Self, Failure> {
        Step { label: "building PostgreSQL's harness", advice: "" }.run(cargo().args([
            "build",
            "--quiet",
            "--package",
            "onetrip-tests",
            "--bin",
            "stack",
        ]))?;
        let program = target_dir().join("debug/stack");
        let trouble = |error: std::io::Error| Failure::new(format!("{}: {error}", program.display()));
        let mut child = std::process::Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(trouble)?;
        let commands = child.stdin.take();
        let output = child.stdout.take().expect("the standard output was asked for");
        let mut stack = Self { child, commands, answers: BufReader::new(output), description: Value::Null };
        stack.description = stack.answer()?;
        Ok(stack)
    }

    /// Where the gateway is, with credentials and database, for the test runners.
    pub fn url(&self) -> &str {
        self.text("url")
    }

    /// A member of the line that the stack printed.
    pub fn text(&self, name: &str) -> &str {
        self.description.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The round trips between the gateway and PostgreSQL since the last call: one entry for each, with the
    /// messages that the gateway sent by their tags.
    ///
    /// # Errors
    /// When the stack has ended.
    pub fn take_flights(&mut self) -> Result<Vec<String>, Failure> {
        let commands = self.commands.as_mut().expect("it is taken only by drop");
        writeln!(commands, "flights")
            .map_err(|error| Failure::new(format!("the stack has ended: {error}")))?;
        let answer = self.answer()?;
        let flights = answer.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(flights.map(str::to_owned).collect())
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .map_err(|error| Failure::new(format!("reading the stack: {error}")))?;
        serde_json::from_str(&line)
            .map_err(|_| Failure::new("PostgreSQL or the gateway did not start; the reason stands above"))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

/// Cargo's directory for what it builds.
pub fn target_dir() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |directory| root().join(directory))
}
