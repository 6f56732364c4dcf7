//! The directory of a child's socket: private to the account that the child runs as, and short
//! enough for a socket's address.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::accounts::Account;
use super::data_directory::{DataDirectory, DataDirectoryError};

/// A socket's address holds 108 bytes at most, its end included; some systems hold fewer.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The directory of sockets in a data directory.
const PARENT: &str = "run";

/// Why a socket directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketDirectoryError {
    /// It can't be made.
    #[error("the socket directory {} can't be made ({source})", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It exists, and isn't ours: its owner could listen there in our child's place.
    #[error("the socket directory {} belongs to someone else: remove it", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
}

/// The socket directory; a temporary one is removed with the value.
#[derive(Debug)]
pub(super) struct SocketDirectory {
    path: PathBuf,
    temporary: bool,
}

impl SocketDirectory {
    /// `run/SERVICE` in the data directory, for a socket called `socket_name`; or, when that is too
    /// deep for a socket's address, one in the system's temporary directory, named after the data
    /// directory.
    pub(super) fn create(
        data: &DataDirectory,
        service: &str,
        socket_name: &str,
        account: Option<&Account>,
    ) -> Result<Self, SocketDirectoryError> {
        data.subdirectory(PARENT)?;
        let (path, temporary) = place(data.path(), service, socket_name)?;
        make_private(&path, account)?;
        Ok(Self { path, temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where another process that has the data directory at `data` has the socket `socket_name`.
pub(super) fn locate(
    data: &Path,
    service: &str,
    socket_name: &str,
) -> Result<PathBuf, SocketDirectoryError> {
    let data = fs::canonicalize(data).map_err(|source| SocketDirectoryError::Unusable {
        path: data.to_path_buf(),
        source,
    })?;
    let (directory, _) = place(&data, service, socket_name)?;
    Ok(directory.join(socket_name))
}

/// The directory of a socket, and whether it is outside the data directory, hence temporary.
fn place(
    data: &Path,
    service: &str,
    socket_name: &str,
) -> Result<(PathBuf, bool), SocketDirectoryError> {
    let inside = data.join(PARENT).join(service);
    if inside.join(socket_name).as_os_str().len() < SOCKET_PATH_BYTES_MAX {
        return Ok((inside, false));
    }
    let found = fs::metadata(data).map_err(|source| SocketDirectoryError::Unusable {
        path: data.to_path_buf(),
        source,
    })?;
    // Device and inode name the data directory, however long its path is.
    let name = format!("hissaback-{:x}-{:x}-{service}", found.dev(), found.ino());
    Ok((std::env::temp_dir().join(name), true))
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        if self.temporary
            && let Err(failure) = fs::remove_dir_all(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %failure, "the socket directory stays");
        }
    }
}

/// Makes `path` a directory of mode 0700 that belongs to `account` (or to us). One that someone
/// else made there first is refused, as they could put a server of their own into it.
fn make_private(path: &Path, account: Option<&Account>) -> Result<(), SocketDirectoryError> {
    let failed = |source: io::Error| SocketDirectoryError::Unusable {
        path: path.to_path_buf(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(exists) if exists.kind() == io::ErrorKind::AlreadyExists => {}
        Err(failure) => return Err(failed(failure)),
    }
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let ours = rustix::process::geteuid().as_raw();
    let theirs = account.map(|account| account.user_id);
    if !found.is_dir() || (found.uid() != ours && Some(found.uid()) != theirs) {
        return Err(SocketDirectoryError::Foreign {
            path: path.to_path_buf(),
        });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if let Some(account) = account {
        std::os::unix::fs::chown(path, Some(account.user_id), Some(account.group_id))
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_data_directory_gets_a_short_socket_path() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).expect("open up");
        let deep = root.path().join("d".repeat(60)).join("e".repeat(60));
        let data = DataDirectory::open(&deep).expect("open");
        let directory =
            SocketDirectory::create(&data, "engine", "engine.sock", None).expect("create");
        let path = directory.path().to_path_buf();
        assert!(path.join("engine.sock").as_os_str().len() < SOCKET_PATH_BYTES_MAX);
        assert_eq!(
            fs::metadata(&path).expect("it exists").mode() & 0o777,
            0o700
        );
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_directory_is_refused() {
        let root = tempfile::tempdir().expect("temporary directory");
        let trap = root.path().join("trap");
        std::os::unix::fs::symlink(root.path(), &trap).expect("link");
        let refused = make_private(&trap, None).expect_err("it is a link");
        assert!(
            matches!(refused, SocketDirectoryError::Foreign { .. }),
            "{refused}"
        );
    }
}
