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

/// Round trips, as the counting proxies saw them.
#[derive(Debug)]
pub struct Flights {
    /// From the gateway to PostgreSQL: for each the tags of the messages that the gateway sent.
    pub postgres: Vec<String>,
    /// To the server that was given to [`Stack::relay`]: how many.
    pub gateway: usize,
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
        Step { label: "building the stack (PostgreSQL and proxies)", advice: "" }.run(cargo().args([
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

    /// Starts a counting proxy in front of another server and says where it listens.
    ///
    /// # Errors
    /// When the stack has ended.
    pub fn relay(&mut self, upstream: &str) -> Result<String, Failure> {
        let answer = self.ask(&format!("relay {upstream}"))?;
        Ok(answer.get("address").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The round trips since the last call.
    ///
    /// # Errors
    /// When the stack has ended.
    pub fn take_flights(&mut self) -> Result<Flights, Failure> {
        let answer = self.ask("flights")?;
        let postgres = answer.get("postgres").and_then(Value::as_array).into_iter().flatten();
        Ok(Flights {
            postgres: postgres.filter_map(Value::as_str).map(str::to_owned).collect(),
            gateway: answer
                .get("relay")
                .and_then(Value::as_u64)
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or_default(),
        })
    }

    fn ask(&mut self, command: &str) -> Result<Value, Failure> {
        let commands = self.commands.as_mut().expect("it is taken only by drop");
        writeln!(commands, "{command}")
            .map_err(|error| Failure::new(format!("the stack has ended: {error}")))?;
        self.answer()
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
