//! The log's directory: who may use it, and what it holds.
//!
//! ```text
//! DIRECTORY/lock         held while the log is open
//! DIRECTORY/log/format   the format's version, and the partitions of each topic
//! DIRECTORY/log/store/   the store
//! ```
//!
//! `log/` is made under another name and renamed when it is whole, so a crash while it is made
//! leaves nothing half done.

use std::{
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use schemas::Topic;

use crate::error::LogError;

const FORMAT: &str = "hissaback-log 1";
const LOCK_FILE: &str = "lock";
const LOG_FOLDER: &str = "log";
const UNFINISHED_FOLDER: &str = "log.unfinished";
const FORMAT_FILE: &str = "format";
const STORE_FOLDER: &str = "store";

/// A log that was dropped a moment ago in this process may still be letting go.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// A directory that this process has to itself; until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes the directory, making it if need be.
    pub(super) fn take(path: &Path) -> Result<Self, LogError> {
        let unusable = |error: io::Error| unusable(path, error.to_string());
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        let mut attempt = 1;
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        path: path.to_owned(),
                        _lock: lock,
                    });
                }
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
                Err(TryLockError::WouldBlock) if attempt == LOCK_ATTEMPTS => {
                    return Err(LogError::InUse {
                        directory: path.to_owned(),
                    });
                }
                Err(TryLockError::WouldBlock) => {
                    attempt += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
            }
        }
    }

    /// The store's folder. `create` makes a store in the folder that it is given, and closes it.
    pub(super) fn store(
        &self,
        create: impl FnOnce(&Path) -> Result<(), LogError>,
    ) -> Result<PathBuf, LogError> {
        let failed = |error: io::Error| LogError::storage("preparing the log's directory", error);
        let log = self.path.join(LOG_FOLDER);
        if !log.try_exists().map_err(failed)? {
            self.check_empty()?;
            let unfinished = self.path.join(UNFINISHED_FOLDER);
            if unfinished.try_exists().map_err(failed)? {
                fs::remove_dir_all(&unfinished).map_err(failed)?;
            }
            fs::create_dir(&unfinished).map_err(failed)?;
            create(&unfinished.join(STORE_FOLDER))?;
            write_format(&unfinished).map_err(failed)?;
            fs::rename(&unfinished, &log).map_err(failed)?;
            sync_folder(&self.path).map_err(failed)?;
        }
        self.check_format(&log)?;
        Ok(log.join(STORE_FOLDER))
    }

    /// Refuses to begin a log among somebody else's files.
    fn check_empty(&self) -> Result<(), LogError> {
        let failed = |error| LogError::storage("listing the log's directory", error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name != LOCK_FILE && name != UNFINISHED_FOLDER {
                return Err(unusable(
                    &self.path,
                    format!(
                        "it holds other files ({}): choose an empty directory",
                        name.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_format(&self, log: &Path) -> Result<(), LogError> {
        let text = fs::read_to_string(log.join(FORMAT_FILE)).map_err(|error| {
            unusable(
                &self.path,
                format!("its {FORMAT_FILE} file can't be read ({error})"),
            )
        })?;
        let mut lines = text.lines();
        let format = lines.next().unwrap_or_default();
        if format != FORMAT {
            return Err(unusable(
                &self.path,
                format!("it is of format {format:?}, and this program reads {FORMAT:?}"),
            ));
        }
        let mut missing = Topic::ALL.to_vec();
        for line in lines {
            let (name, count) = line.split_once(' ').unwrap_or((line, ""));
            let topic: Topic = name.parse().map_err(|_| {
                unusable(
                    &self.path,
                    format!("it has a topic {name:?}: use a newer program"),
                )
            })?;
            if count.parse() != Ok(topic.partitions()) {
                return Err(unusable(
                    &self.path,
                    format!(
                        "its topic {topic} has {count} partitions, and this program expects {}",
                        topic.partitions()
                    ),
                ));
            }
            missing.retain(|other| *other != topic);
        }
        if missing.is_empty() {
            Ok(())
        } else {
            // Topics that this program added.
            write_format(log).map_err(|error| LogError::storage("adding a topic", error))
        }
    }
}

fn unusable(path: &Path, reason: String) -> LogError {
    LogError::Unusable {
        directory: path.to_owned(),
        reason,
    }
}

fn write_format(log: &Path) -> io::Result<()> {
    let mut text = format!("{FORMAT}\n");
    for topic in Topic::ALL {
        writeln!(text, "{topic} {}", topic.partitions()).expect("a string takes everything");
    }
    let written = log.join("format.new");
    let mut file = File::create(&written)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&written, log.join(FORMAT_FILE))?;
    sync_folder(log)
}

/// Makes what was created or renamed in the folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_to_create(store: &Path) -> Result<(), LogError> {
        fs::create_dir(store).map_err(|error| LogError::storage("testing", error))
    }

    #[test]
    fn begins_again_after_a_crash_while_it_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let taken = Directory::take(directory.path()).unwrap();
        let crash = |store: &Path| {
            nothing_to_create(store)?;
            Err(LogError::Closed)
        };
        assert!(matches!(taken.store(crash), Err(LogError::Closed)));
        let store = taken.store(nothing_to_create).unwrap();
        assert_eq!(store, directory.path().join("log/store"));
        let again = taken.store(|_| panic!("the store exists")).unwrap();
        assert_eq!(store, again);
    }

    #[test]
    fn keeps_out_of_other_peoples_directories() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "a year's work").unwrap();
        let taken = Directory::take(directory.path()).unwrap();
        let error = taken.store(nothing_to_create).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
    }

    #[test]
    fn says_what_is_wrong_with_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.join("below"), file] {
            let error = Directory::take(&path).unwrap_err();
            assert!(matches!(error, LogError::Unusable { .. }), "{error}");
        }
    }

    #[test]
    fn a_directory_has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let taken = Directory::take(directory.path()).unwrap();
        let refused = Directory::take(directory.path());
        assert!(
            matches!(refused, Err(LogError::InUse { .. })),
            "{refused:?}"
        );
        drop(taken);
        Directory::take(directory.path()).unwrap();
    }

    #[test]
    fn refuses_other_formats_and_partition_counts() {
        let directory = tempfile::tempdir().unwrap();
        let taken = Directory::take(directory.path()).unwrap();
        taken.store(nothing_to_create).unwrap();
        let format = directory.path().join("log/format");
        let original = fs::read_to_string(&format).unwrap();
        for (from, to, complaint) in [
            ("hissaback-log 1", "hissaback-log 2", "format"),
            ("clicks 12", "clicks 24", "24 partitions"),
            ("ledger 12", "libretto 12", "libretto"),
        ] {
            fs::write(&format, original.replace(from, to)).unwrap();
            let error = taken.store(nothing_to_create).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        fs::write(&format, original.replace("ledger 12\n", "")).unwrap();
        taken.store(nothing_to_create).unwrap();
        assert_eq!(fs::read_to_string(&format).unwrap(), original);
    }
}
