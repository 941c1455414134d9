//! A process that runs beside us and goes when we go, however we go.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::step::Failure;

/// A process under a small shell that ends it when the pipe from us closes: when this is dropped, and also when we
/// are killed.
#[derive(Debug)]
pub struct Process {
    shell: Child,
}

impl Process {
    /// Starts `command`, with what it writes to its standard error (and, unless `Output::Piped`, to its standard
    /// output) in a log file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &Command, log: &Path, output: Output) -> Result<Self, Failure> {
        let trouble = |error| {
            let program = command.get_program().to_string_lossy();
            Failure::new(format!("cannot start {program}: {error}"))
        };
        let log = fs::File::create(log).map_err(trouble)?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SUPERVISOR, "supervisor"]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let stdout = match output {
            Output::Piped => Stdio::piped(),
            Output::Logged => log.try_clone().map_err(trouble)?.into(),
        };
        let shell = shell.stdin(Stdio::piped()).stdout(stdout).stderr(log).spawn().map_err(trouble)?;
        Ok(Self { shell })
    }

    /// The standard output of a process started with [`Output::Piped`]; once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.shell.stdout.take()
    }
}

/// Where a process's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To us.
    Piped,
    /// To the log file.
    Logged,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.flush();
        }
        let _ = self.shell.wait();
    }
}

/// Ctrl-C reaches the whole process group; this shell stays to clean up. `</dev/null` keeps the pipe to itself.
const SUPERVISOR: &str = r#"
trap '' INT HUP
"$@" </dev/null &
child=$!
while read -r line; do :; done
kill "$child" 2>/dev/null
wait "$child"
"#;
