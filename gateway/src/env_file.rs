//! Files of environment variables (`.dev.vars`, `.env`): one variable set, every other line left as it is.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Sets `name` to `value`, which must need no quotes, in the file at `path`; a new file is for its owner alone.
///
/// # Errors
/// What cannot be read or written, with its path and without the value.
pub fn write(path: &Path, name: &str, value: &str) -> Result<(), String> {
    let trouble = |what: &str, error: std::io::Error| {
        format!("--write-env: {} cannot be {what}: {error}", path.display())
    };
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(trouble("read", error)),
    };
    let after = set(&before, name, value);
    if after == before {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(after.as_bytes()));
    written.map_err(|error| trouble("written", error))
}

/// The text with the variable's line in its place, or at the end where it had none.
fn set(text: &str, name: &str, value: &str) -> String {
    let line = format!("{name}={value}\n");
    let sets = |line: &str| {
        let line = line.trim_start();
        let assigned = line.strip_prefix("export ").unwrap_or(line).trim_start();
        assigned.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let mut is_set = false;
    let mut after = String::with_capacity(text.len() + line.len());
    for old in text.split_inclusive('\n') {
        if !sets(old) {
            after.push_str(old);
        } else if !is_set {
            is_set = true;
            after.push_str(&line);
        }
    }
    if !is_set {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(&line);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_in_its_place_or_at_the_end_and_other_lines_stay() {
        for (before, after) in [
            ("", "URL=new\n"),
            ("A=1", "A=1\nURL=new\n"),
            ("A=1\nURL=old\nB=2\n", "A=1\nURL=new\nB=2\n"),
            ("export URL = \"old\"\n# URL=comment\n", "URL=new\n# URL=comment\n"),
            ("URL=one\nURL=two", "URL=new\n"),
            ("URLS=other\n\n", "URLS=other\n\nURL=new\n"),
        ] {
            assert_eq!(set(before, "URL", "new"), after, "{before:?}");
        }
    }
}
