//! A file that gets its name once it is whole.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use tempfile::NamedTempFile;

/// How every Parquet file begins, and ends.
const MAGIC: &[u8] = b"PAR1";

/// What is written of a file. Dropped without [`PartialFile::give_name`], it is removed.
pub(super) struct PartialFile {
    partial: NamedTempFile,
    target: PathBuf,
}

impl PartialFile {
    /// A file beside `target`, which must not be there.
    pub(super) fn create(target: &Path) -> anyhow::Result<Self> {
        // Absolute: the engine has another working directory.
        let target = std::path::absolute(target)
            .with_context(|| format!("{} is no name of a file", target.display()))?;
        if fs::symlink_metadata(&target).is_ok() {
            bail!(already_there(&target));
        }
        let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
            bail!("{} is no name of a file", target.display());
        };
        let mut prefix = name.to_owned();
        prefix.push(".");
        let partial = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .tempfile_in(directory)
            .with_context(|| format!("nothing can be written into {}", directory.display()))?;
        Ok(Self { partial, target })
    }

    /// Where it is being written.
    pub(super) fn path(&self) -> anyhow::Result<&str> {
        let path = self.partial.path();
        path.to_str()
            .with_context(|| format!("{} is not UTF-8", path.display()))
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.partial.write_all(bytes)
    }

    /// Makes what was written durable, looks whether it is whole, and tells its size.
    pub(super) fn finish(&mut self) -> anyhow::Result<u64> {
        let file = self.partial.as_file_mut();
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        ensure!(
            bytes > 2 * MAGIC.len() as u64
                && magic_at(file, SeekFrom::Start(0))?
                && magic_at(file, SeekFrom::Start(bytes - MAGIC.len() as u64))?,
            "what ClickHouse wrote is not a whole Parquet file"
        );
        Ok(bytes)
    }

    /// Gives it its name.
    pub(super) fn give_name(self) -> anyhow::Result<()> {
        let Self { partial, target } = self;
        match partial.persist_noclobber(&target) {
            Ok(_) => {}
            Err(failure) if failure.error.kind() == io::ErrorKind::AlreadyExists => {
                bail!(already_there(&target));
            }
            Err(failure) => {
                return Err(failure.error)
                    .with_context(|| format!("{} can't be given its name", target.display()));
            }
        }
        // The name is durable with its directory.
        if let Some(directory) = target.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

fn magic_at(file: &mut File, position: SeekFrom) -> io::Result<bool> {
    let mut found = [0; MAGIC.len()];
    file.seek(position)?;
    file.read_exact(&mut found)?;
    Ok(found == MAGIC)
}

fn already_there(target: &Path) -> String {
    format!(
        "{} is there already: choose another name with --out, or remove it",
        target.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("ASCII")
            })
            .collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_not_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("clicks.parquet");
        let mut half = PartialFile::create(&target).expect("created");
        half.append(b"PAR1 and no end").expect("written");
        assert!(half.finish().is_err(), "it has no end");
        drop(half);
        assert!(
            names(directory.path()).is_empty(),
            "what is left is removed"
        );

        let mut whole = PartialFile::create(&target).expect("created");
        whole.append(b"PAR1 rows PAR1").expect("written");
        assert_eq!(whole.finish().expect("whole"), 14);
        whole.give_name().expect("named");
        assert_eq!(names(directory.path()), ["clicks.parquet"]);

        let refused = PartialFile::create(&target).err().expect("it is there");
        assert!(refused.to_string().contains("already"), "{refused}");
    }

    #[test]
    fn a_file_that_came_meanwhile_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("clicks.parquet");
        let mut file = PartialFile::create(&target).expect("created");
        file.append(b"PAR1 rows PAR1").expect("written");
        fs::write(&target, "somebody else's").expect("written");
        assert!(file.give_name().is_err());
        assert_eq!(fs::read(&target).expect("kept"), b"somebody else's");
    }
}
