//! The directory of a server: its settings, data and log.

use std::env;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use super::BrokerError;

/// What the names of our temporary directories begin with.
const PREFIX: &str = "hissaback-server-";
/// The file that whoever uses a directory holds a lock on.
const LOCK: &str = "LOCK";

/// The directory of a server.
#[derive(Debug)]
pub(super) struct ServerDirectory {
    path: PathBuf,
    /// Gone with us: the lock is released when the process ends, however it ends.
    _lock: File,
    temporary: bool,
}

impl ServerDirectory {
    /// A directory that the caller keeps.
    pub(super) fn given(path: &Path) -> Result<Self, BrokerError> {
        fs::create_dir_all(path).map_err(BrokerError::io(format!(
            "make the directory {}",
            path.display()
        )))?;
        // The server runs in it: what is relative to us would be something else there.
        let path = path
            .canonicalize()
            .map_err(BrokerError::io(format!("find {}", path.display())))?;
        let lock = hold(&path)?;
        Ok(Self {
            path,
            _lock: lock,
            temporary: false,
        })
    }

    /// A new one, which is deleted when it is dropped. One of a process that couldn't (a server
    /// that a whole test binary shares is never dropped; a test may be killed) is deleted here.
    pub(super) fn temporary() -> Result<Self, BrokerError> {
        sweep(&env::temp_dir());
        let name = format!("{PREFIX}{:016x}", RandomState::new().hash_one(0_u8));
        let path = env::temp_dir().join(&name);
        // Under its name only when it is locked, or another process's sweep could take it.
        let unlocked = env::temp_dir().join(format!(".{name}"));
        fs::create_dir(&unlocked).map_err(BrokerError::io(format!(
            "make the directory {}",
            unlocked.display()
        )))?;
        let lock = hold(&unlocked)?;
        fs::rename(&unlocked, &path)
            .map_err(BrokerError::io(format!("rename {}", unlocked.display())))?;
        Ok(Self {
            path,
            _lock: lock,
            temporary: true,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ServerDirectory {
    fn drop(&mut self) {
        if self.temporary {
            delete(&self.path);
        }
    }
}

fn hold(directory: &Path) -> Result<File, BrokerError> {
    let path = directory.join(LOCK);
    let lock = File::create(&path).map_err(BrokerError::io(format!("make {}", path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BrokerError::WrongState {
            what: "the server's directory",
            state: "is in use by another process",
        }),
        Err(TryLockError::Error(error)) => {
            Err(BrokerError::io(format!("lock {}", path.display()))(error))
        }
    }
}

/// Deletes what processes that are gone have left in `parent`.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let left_over = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if left_over {
            delete(&entry.path());
        }
    }
}

fn delete(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::debug!(directory = %directory.display(), %error, "a server's directory stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_what_nobody_holds() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}1"));
        let in_use = parent.path().join(format!("{PREFIX}2"));
        let foreign = parent.path().join("other");
        for directory in [&abandoned, &in_use, &foreign] {
            fs::create_dir(directory).unwrap();
        }
        drop(hold(&abandoned).unwrap());
        let _lock = hold(&in_use).unwrap();

        sweep(parent.path());

        assert!(!abandoned.exists());
        assert!(in_use.exists());
        assert!(foreign.exists());
    }

    #[test]
    fn a_temporary_directory_is_gone_with_its_owner_and_a_given_one_stays() {
        let temporary = ServerDirectory::temporary().unwrap();
        let path = temporary.path().to_owned();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());

        let parent = tempfile::tempdir().unwrap();
        let given = ServerDirectory::given(&parent.path().join("broker")).unwrap();
        let path = given.path().to_owned();
        assert!(matches!(
            ServerDirectory::given(&path),
            Err(BrokerError::WrongState { .. })
        ));
        drop(given);
        assert!(path.is_dir());
    }
}
