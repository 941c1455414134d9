//! Where a server's files are: in a directory that passes with it, or in one that is kept and locked.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    account::{Account, create_private_directory},
    error::{Error, Kind},
};

/// A directory for one server.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    /// Held while a server may run on what is kept here.
    pub(crate) lock: Option<File>,
}

impl Place {
    /// A new directory among the temporary ones.
    pub(crate) fn passing(account: Account) -> Result<Self, Error> {
        let name = format!("onetrip-postgres-data-{}", crate::server::random_hex(8)?);
        let directory = account.temporary_directory().join(name);
        create_private_directory(&directory).map_err(|error| Error::io("creating", &directory, error))?;
        account.own(&directory)?;
        Ok(Self { directory, lock: None })
    }

    /// This directory, made if it is not there.
    pub(crate) fn kept(account: Account, directory: &Path) -> Result<Self, Error> {
        let creating = |error| Error::io("creating", directory, error);
        if !directory.exists() {
            if let Some(parent) = directory.parent() {
                fs::create_dir_all(parent).map_err(creating)?;
            }
            create_private_directory(directory).map_err(creating)?;
        }
        let directory = directory.canonicalize().map_err(|error| Error::io("finding", directory, error))?;
        account.own(&directory)?;
        if !account.reaches(&directory) {
            return Err(Error::new(
                Kind::Io,
                format!(
                    "{}: PostgreSQL does not run as root, and the user that it runs as instead cannot reach this \
                     directory. Choose one that everybody can pass to, for example below /var/lib or /var/tmp",
                    directory.display()
                ),
            ));
        }
        let lock_path = directory.join("lock");
        let lock = File::create(&lock_path).map_err(|error| Error::io("creating", &lock_path, error))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { directory, lock: Some(lock) }),
                Err(TryLockError::Error(error)) => return Err(Error::io("locking", &lock_path, error)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(20))
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        Kind::InUse,
                        format!("{}: another process runs a server on these data", directory.display()),
                    ));
                }
            }
        }
    }
}

/// How long the server of somebody who has just ended may take to stop.
const PATIENCE: Duration = Duration::from_secs(3);
