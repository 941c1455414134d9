//! The operating system's side: which user the server runs as, and which files that user can reach.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Error, Kind};

/// The user that the server's programs run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever runs this process.
    Own,
    /// Another one, because this process is root's and PostgreSQL refuses to run as root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account to use: our own, or for root that of `postgres` or `nobody`.
    ///
    /// # Errors
    /// [`Kind::NoUnprivilegedUser`] when we are root and neither exists.
    pub(crate) fn choose() -> Result<Self, Error> {
        if !is_root()? {
            return Ok(Self::Own);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(|error| Error::io("reading", path, error))?;
        unprivileged(&passwd).ok_or_else(|| {
            Error::new(
                Kind::NoUnprivilegedUser,
                "PostgreSQL does not run as root, and /etc/passwd has neither a user `postgres` nor `nobody`.\n\
                 Add one (useradd --system postgres) or run this as an ordinary user.",
            )
        })
    }

    /// A command that runs as this user, in `/`, without anything of our environment that PostgreSQL reads.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        self.apply(&mut command);
        command
    }

    /// A directory that can hold this user's files and that it can reach: the system's temporary one.
    pub(crate) fn temporary_directory(self) -> PathBuf {
        let usual = std::env::temp_dir();
        if self.reaches(&usual) { usual } else { PathBuf::from("/tmp") }
    }
}

#[cfg(unix)]
mod system {
    use std::os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    };

    use super::*;

    impl Account {
        pub(super) fn apply(self, command: &mut Command) {
            // A process group of its own: Ctrl-C in a terminal is for the caller, who then stops the server.
            command.process_group(0);
            if let Self::Other { uid, gid } = self {
                command.uid(uid).gid(gid);
            }
        }

        /// Makes a file or directory the property of this user.
        pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
            match self {
                Self::Own => Ok(()),
                Self::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                    .map_err(|error| Error::io("changing the owner of", path, error)),
            }
        }

        /// Whether this user may pass through every directory down to this one.
        pub(crate) fn reaches(self, path: &Path) -> bool {
            let Self::Other { uid, gid } = self else { return true };
            let Ok(path) = path.canonicalize() else { return false };
            path.ancestors().all(|directory| {
                fs::metadata(directory).is_ok_and(|metadata| {
                    let shift = if metadata.uid() == uid {
                        6
                    } else if metadata.gid() == gid {
                        3
                    } else {
                        0
                    };
                    (metadata.mode() >> shift) & 1 == 1
                })
            })
        }
    }

    /// Creates a directory that nobody but its owner can look into.
    pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    /// Writes a file that nobody but its owner can read.
    pub(crate) fn write_private_file(path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, "")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        fs::write(path, text)
    }

    /// Whether a path is a real directory that this process's user (and nobody else) can change.
    pub(crate) fn is_own_directory(path: &Path) -> bool {
        let own = fs::metadata("/proc/self").or_else(|_| fs::metadata(std::env::temp_dir()));
        let own = own.map(|metadata| metadata.uid()).unwrap_or(0);
        fs::symlink_metadata(path)
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own && metadata.mode() & 0o022 == 0)
    }

    /// Makes `link` point to `target`, relative to the link's own directory.
    pub(crate) fn symbolic_link(target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    pub(super) fn is_root() -> Result<bool, Error> {
        // The owner of a file that we have just made is who we are.
        let probe = std::env::temp_dir().join(format!("onetrip-probe-{}", crate::server::random_hex(8)?));
        fs::write(&probe, "").map_err(|error| Error::io("writing", &probe, error))?;
        let owner = fs::metadata(&probe).map(|metadata| metadata.uid());
        let _ = fs::remove_file(&probe);
        Ok(owner.map_err(|error| Error::io("reading", &probe, error))? == 0)
    }
}

#[cfg(not(unix))]
mod system {
    use super::*;

    impl Account {
        pub(super) fn apply(self, _: &mut Command) {}

        pub(crate) fn own(self, _: &Path) -> Result<(), Error> {
            Ok(())
        }

        pub(crate) fn reaches(self, _: &Path) -> bool {
            true
        }
    }

    pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    pub(crate) fn write_private_file(path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, text)
    }

    pub(crate) fn is_own_directory(path: &Path) -> bool {
        path.is_dir()
    }

    pub(crate) fn symbolic_link(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_root() -> Result<bool, Error> {
        Ok(false)
    }
}

use system::is_root;
pub(crate) use system::{create_private_directory, is_own_directory, symbolic_link, write_private_file};

/// `postgres`, or else `nobody`, from the text of `/etc/passwd`. macOS writes nobody's ids as -2.
fn unprivileged(passwd: &str) -> Option<Account> {
    ["postgres", "_postgres", "nobody"].iter().find_map(|wanted| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut ids = line.split(':').skip(2).map(id);
        Some(Account::Other { uid: ids.next()??, gid: ids.next()?? })
    })
}

fn id(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_postgres_goes_before_nobody() {
        let both =
            "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(unprivileged(both), Some(Account::Other { uid: 101, gid: 104 }));
    }

    #[test]
    fn negative_ids_are_read_as_the_system_does() {
        let passwd = "##\nnobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false\n";
        assert_eq!(unprivileged(passwd), Some(Account::Other { uid: 4_294_967_294, gid: 4_294_967_294 }));
    }

    #[test]
    fn a_system_without_either_user_has_none() {
        assert_eq!(unprivileged("root:x:0:0::/root:/bin/sh\n"), None);
        assert_eq!(unprivileged("nobody:x:what:0::/:/bin/false\n"), None);
    }
}
