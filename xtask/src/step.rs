//! One step of work: a line of progress with its seconds, and on failure what a person needs to go on.

use std::{
    fmt, fs,
    io::{IsTerminal, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Why the menu stopped; printed as it is.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure that a person can read.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A failure of which everything has been printed already.
    pub fn told() -> Self {
        Self(String::new())
    }

    /// Whether there is nothing left to print.
    pub fn is_told(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.trim_end())
    }
}

/// What a command is for, and what to do when it fails.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What the line of progress says, for example `building the gateway`.
    pub label: &'a str,
    /// Printed after the output of a command that failed.
    pub advice: &'a str,
}

impl Step<'_> {
    /// Runs a command with its output in a log file, and shows one line that counts the seconds.
    ///
    /// # Errors
    /// When the command fails: the command itself, the end of its output, and the advice.
    pub fn run(&self, command: &mut Command) -> Result<(), Failure> {
        let shown = shown(command);
        let path = log_path(self.label);
        let trouble = |error: std::io::Error| Failure::new(format!("{}: {shown}: {error}", self.label));
        let log = fs::File::create(&path).map_err(trouble)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(trouble)?)
            .stderr(log)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run {shown}: {error}\n{}", self.advice)))?;

        let mut line = Line::begin(self.label);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(trouble)? {
                break status;
            }
            line.tick();
            thread::sleep(Duration::from_millis(20));
        };
        line.end(status.success());
        if status.success() {
            return Ok(());
        }
        let output = fs::read(&path).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail: String =
            lines.iter().skip(lines.len().saturating_sub(40)).map(|line| format!("    {line}\n")).collect();
        Err(Failure::new(format!(
            "{label} failed ({status}):\n    $ {shown}\n{tail}The whole output is in {path}.\n{advice}",
            label = self.label,
            path = path.display(),
            advice = self.advice,
        )))
    }
}

/// One line of progress: rewritten on a terminal, printed at the end (and, when it takes long, before) elsewhere.
#[derive(Debug)]
pub struct Line<'a> {
    label: &'a str,
    begun: Instant,
    shown_seconds: u64,
    terminal: bool,
}

impl<'a> Line<'a> {
    /// Begins to count.
    pub fn begin(label: &'a str) -> Self {
        Self { label, begun: Instant::now(), shown_seconds: 0, terminal: std::io::stdout().is_terminal() }
    }

    /// Shows the seconds that have passed, when there is a new one.
    pub fn tick(&mut self) {
        let seconds = self.begun.elapsed().as_secs();
        if seconds == self.shown_seconds {
            return;
        }
        if self.terminal {
            self.shown_seconds = seconds;
            print!("\r  … {}  {seconds} s", self.label);
            let _ = std::io::stdout().flush();
        } else if seconds >= self.shown_seconds + LONG_SECONDS {
            self.shown_seconds = seconds;
            println!("  … {}  {seconds} s", self.label);
        }
    }

    /// Shows how it ended, and how long it took.
    pub fn end(self, success: bool) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let mark = if success { "✓" } else { "✗" };
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        println!("{clear}  {mark} {}  {seconds:.1} s", self.label);
    }
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

fn log_path(label: &str) -> std::path::PathBuf {
    let directory = crate::root().join("target/xtask");
    let _ = fs::create_dir_all(&directory);
    let name: String = label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    directory.join(format!("{name}.log"))
}

/// Without a terminal, a step that takes longer says so every so many seconds.
const LONG_SECONDS: u64 = 20;
