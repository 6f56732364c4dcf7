//! The data directory: one directory under which everything embedded lives.
//!
//! ```text
//! LOCK       held (flock) by the one process that uses the directory; holds its pid
//! VERSION    version of this layout
//! log/       the embedded log
//! postgres/  the PostgreSQL cluster
//! clickhouse/  the ClickHouse engine's tables
//! logs/      what the child processes write to their standard error
//! run/       private sockets
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::accounts::{self, Account};

/// Version of the layout of the data directory. It rises when a change makes older data unusable
/// without a migration.
pub const LAYOUT_VERSION: u32 = 1;

const LOCK_FILE: &str = "LOCK";
const VERSION_FILE: &str = "VERSION";

/// Entries that don't make a directory someone else's: our lock, made before the version is
/// written, and what a freshly formatted volume holds.
const ENTRIES_OF_AN_EMPTY_DIRECTORY: [&str; 3] = [LOCK_FILE, "lost+found", "VERSION.new"];

/// A data directory, held by this process until the value is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// Holds the flock. Opened close-on-exec, so no child keeps the directory locked.
    _lock: File,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// It can't be created, read or written.
    #[error(
        "the data directory {} can't be used ({source}): choose a writable one with --data-dir",
        path.display()
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error(
        "the data directory {} is in use by process {owner}: stop that process, or choose another \
         directory with --data-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Pid of the process that holds it, or `unknown` in the instant before it is written.
        owner: String,
    },
    /// It was made by a version with another layout.
    #[error(
        "the data directory {} has layout version {found}, and this program reads version \
         {LAYOUT_VERSION}: use the program that made it, or choose another directory with \
         --data-dir",
        path.display()
    )]
    OtherVersion {
        /// The directory.
        path: PathBuf,
        /// What its `VERSION` file says.
        found: String,
    },
    /// It holds files, but not ours.
    #[error(
        "the directory {} holds other files and is not a data directory: choose an empty or a new \
         directory with --data-dir",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// PostgreSQL, which can't run as root, would not reach its data.
    #[error(
        "user {account} can't reach the data directory {} because {} is closed to it, and \
         PostgreSQL doesn't run as root: choose a directory such as /var/lib/hissaback with \
         --data-dir",
        path.display(),
        closed.display()
    )]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// The account that PostgreSQL runs as.
        account: String,
        /// The first directory on the way that the account may not pass through.
        closed: PathBuf,
    },
}

impl DataDirectory {
    /// Where data lives when nobody says otherwise: `/var/lib/hissaback` for root, else
    /// `$XDG_DATA_HOME/hissaback`, else `~/.local/share/hissaback`.
    pub fn default_path() -> PathBuf {
        if accounts::running_as_root() {
            return PathBuf::from("/var/lib/hissaback");
        }
        let data_home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        data_home
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
            .unwrap_or_else(std::env::temp_dir)
            .join("hissaback")
    }

    /// Opens the directory, making it if it doesn't exist, and holds it until the value is dropped.
    ///
    /// Run as root, the directory and its ancestors must let the account that PostgreSQL runs as
    /// pass through; the directory itself is opened up for that (mode 0711), its ancestors are not
    /// touched.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirectoryError> {
        let given = path.as_ref();
        let unusable = |source| DataDirectoryError::Unusable {
            path: given.to_path_buf(),
            source,
        };
        create_with_ancestors(given).map_err(unusable)?;
        // Child processes get absolute paths: they don't share our working directory.
        let path = fs::canonicalize(given).map_err(unusable)?;
        refuse_foreign_files(&path)?;

        let lock = take_lock(&path)?;
        check_version(&path)?;
        open_to_account(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The subdirectory `name`, created if it doesn't exist. It can be passed through by others
    /// when the data directory can.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf, DataDirectoryError> {
        let path = self.path.join(name);
        create_directory(&path).map_err(|source| DataDirectoryError::Unusable {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}

fn create_with_ancestors(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        create_with_ancestors(parent)?;
    }
    create_directory(path)
}

fn create_directory(path: &Path) -> io::Result<()> {
    let mode = if accounts::running_as_root() {
        0o711
    } else {
        0o700
    };
    match DirBuilder::new().mode(mode).create(path) {
        // Set again, because the mask of new files may have taken away what children need.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(exists) if exists.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn refuse_foreign_files(path: &Path) -> Result<(), DataDirectoryError> {
    let unusable = |source| DataDirectoryError::Unusable {
        path: path.to_path_buf(),
        source,
    };
    if path.join(VERSION_FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(unusable)? {
        let name = entry.map_err(unusable)?.file_name();
        if !ENTRIES_OF_AN_EMPTY_DIRECTORY
            .iter()
            .any(|known| name == *known)
        {
            return Err(DataDirectoryError::NotOurs {
                path: path.to_path_buf(),
            });
        }
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, DataDirectoryError> {
    let unusable = |source| DataDirectoryError::Unusable {
        path: path.to_path_buf(),
        source,
    };
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_FILE))
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            lock.read_to_string(&mut owner).map_err(unusable)?;
            let owner = match owner.trim() {
                "" => "unknown".to_owned(),
                pid => pid.to_owned(),
            };
            return Err(DataDirectoryError::InUse {
                path: path.to_path_buf(),
                owner,
            });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    write_owner(&mut lock).map_err(unusable)?;
    Ok(lock)
}

fn write_owner(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn check_version(path: &Path) -> Result<(), DataDirectoryError> {
    let unusable = |source| DataDirectoryError::Unusable {
        path: path.to_path_buf(),
        source,
    };
    match fs::read_to_string(path.join(VERSION_FILE)) {
        Ok(found) if found.trim() == LAYOUT_VERSION.to_string() => Ok(()),
        Ok(found) => Err(DataDirectoryError::OtherVersion {
            path: path.to_path_buf(),
            found: found.trim().chars().take(20).collect(),
        }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            write_version(path).map_err(unusable)
        }
        Err(source) => Err(unusable(source)),
    }
}

/// Written beside and renamed, so that a crash leaves either no version or a whole one.
fn write_version(path: &Path) -> io::Result<()> {
    let new = path.join("VERSION.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{LAYOUT_VERSION}")?;
    file.sync_all()?;
    fs::rename(&new, path.join(VERSION_FILE))?;
    File::open(path)?.sync_all()
}

fn open_to_account(path: &Path) -> Result<(), DataDirectoryError> {
    let Some(account) = Account::to_drop_to() else {
        return Ok(());
    };
    let unusable = |source| DataDirectoryError::Unusable {
        path: path.to_path_buf(),
        source,
    };
    let mode = fs::metadata(path).map_err(unusable)?.mode();
    if mode & 0o001 == 0 {
        // A directory of ours that was made closed, as `mktemp -d` does: others may pass, not list.
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o011)).map_err(unusable)?;
    }
    match account.first_closed_directory(path) {
        None => Ok(()),
        Some(closed) => Err(DataDirectoryError::Unreachable {
            path: path.to_path_buf(),
            account: account.name,
            closed,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_learns_who_holds_the_directory() {
        let root = tempfile::tempdir().expect("temporary directory");
        let held = DataDirectory::open(root.path()).expect("open");
        let refused = DataDirectory::open(held.path()).expect_err("it is held");
        let sentence = refused.to_string();
        assert!(
            sentence.contains(&format!("process {}", std::process::id())),
            "{sentence}"
        );
        let path = held.path().to_path_buf();
        drop(held);
        DataDirectory::open(path).expect("it is free again");
    }

    #[test]
    fn another_layout_version_is_refused() {
        let root = tempfile::tempdir().expect("temporary directory");
        drop(DataDirectory::open(root.path()).expect("open"));
        fs::write(root.path().join(VERSION_FILE), "999\n").expect("write");
        let refused = DataDirectory::open(root.path()).expect_err("it has another version");
        assert!(
            matches!(&refused, DataDirectoryError::OtherVersion { found, .. } if found == "999"),
            "{refused}"
        );
    }

    #[test]
    fn someone_elses_directory_is_left_alone() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::write(root.path().join("thesis.txt"), "mine").expect("write");
        let refused = DataDirectory::open(root.path()).expect_err("it holds other files");
        assert!(
            matches!(refused, DataDirectoryError::NotOurs { .. }),
            "{refused}"
        );
        assert_eq!(fs::read_dir(root.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_file_in_the_way_is_one_clear_sentence() {
        let root = tempfile::tempdir().expect("temporary directory");
        let file = root.path().join("file");
        fs::write(&file, "").expect("write");
        let refused = DataDirectory::open(&file).expect_err("it is a file");
        assert!(
            matches!(refused, DataDirectoryError::Unusable { .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains("--data-dir"));
    }

    #[test]
    fn root_is_told_about_a_closed_ancestor() {
        if !accounts::running_as_root() {
            return; // Only root gives its children another account.
        }
        let root = tempfile::tempdir().expect("temporary directory");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).expect("set mode");
        let refused = DataDirectory::open(root.path().join("data")).expect_err("it is closed");
        assert!(
            matches!(&refused, DataDirectoryError::Unreachable { closed, .. }
                if closed == &fs::canonicalize(root.path()).expect("canonical")),
            "{refused}"
        );
    }
}
