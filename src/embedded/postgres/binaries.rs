//! Finds the server's programs.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::PostgresError;
use crate::embedded::accounts::Account;
use crate::embedded::cache_directory;

/// The lowest major version that the migrations are tested with.
const MAJOR_VERSION_MIN: u32 = 15;

/// Where Debian and its kin keep one directory per major version.
const SYSTEM_DIRECTORY: &str = "/usr/lib/postgresql";

/// The server's programs, of one version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    directory: PathBuf,
    pub(super) major_version: u32,
}

impl Binaries {
    /// Looks in `given` or `HISSABACK_POSTGRES_BIN` (then nowhere else), in the system's
    /// directories, and in what `make setup` vendored. Of several versions, the one that wrote the
    /// data (`recorded`) is taken, else the newest.
    pub(super) async fn find(
        given: Option<&Path>,
        recorded: Option<u32>,
        account: Option<&Account>,
    ) -> Result<Self, PostgresError> {
        let named = given
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os("HISSABACK_POSTGRES_BIN").map(PathBuf::from));
        let binaries = if let Some(directory) = named {
            Self::in_directory(directory).await?
        } else {
            let mut found = Vec::new();
            for directory in directories() {
                found.push(Self::in_directory(directory).await?);
            }
            choose(found, recorded).ok_or_else(|| PostgresError::NoBinaries {
                minimum: MAJOR_VERSION_MIN,
                searched: format!(
                    "{SYSTEM_DIRECTORY} and {}",
                    cache_directory::candidates()
                        .iter()
                        .map(|cache| cache.join("postgres").display().to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            })?
        };
        binaries.check(account)?;
        Ok(binaries)
    }

    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    async fn in_directory(directory: PathBuf) -> Result<Self, PostgresError> {
        // The server is started in another working directory than ours.
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        let unusable = |reason: String| PostgresError::UnusableBinaries {
            directory: directory.clone(),
            reason,
        };
        let output = Command::new(directory.join("postgres"))
            .arg("--version")
            .output()
            .await
            .map_err(|failure| unusable(format!("postgres can't be run ({failure})")))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let major_version = parse_major_version(&said).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            unusable(format!(
                "`postgres --version` said {:?} ({})",
                format!("{said}{complaint}").trim(),
                output.status
            ))
        })?;
        Ok(Self {
            directory,
            major_version,
        })
    }

    fn check(&self, account: Option<&Account>) -> Result<(), PostgresError> {
        let unusable = |reason: String| PostgresError::UnusableBinaries {
            directory: self.directory.clone(),
            reason,
        };
        if self.major_version < MAJOR_VERSION_MIN {
            return Err(unusable(format!(
                "they are version {}, and {MAJOR_VERSION_MIN} or later is needed",
                self.major_version
            )));
        }
        // Through symbolic links too: what counts is where the programs really are.
        let real = fs::canonicalize(self.program("postgres"))
            .map_err(|failure| unusable(failure.to_string()))?;
        let directory = real.parent().unwrap_or(&self.directory);
        match account.and_then(|account| {
            let closed = account.first_closed_directory(directory)?;
            Some((account, closed))
        }) {
            None => Ok(()),
            Some((account, closed)) => Err(unusable(format!(
                "PostgreSQL doesn't run as root, and {} is closed to user {}: install the package \
                 postgresql",
                closed.display(),
                account.name
            ))),
        }
    }
}

/// Every directory that holds a `postgres` program, of the system and vendored.
fn directories() -> Vec<PathBuf> {
    let versions = fs::read_dir(SYSTEM_DIRECTORY)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let vendored = cache_directory::candidates()
        .into_iter()
        .map(|cache| cache.join("postgres/bin"));
    versions
        .chain(vendored)
        .filter(|directory| directory.join("postgres").is_file())
        .collect()
}

fn choose(mut found: Vec<Binaries>, recorded: Option<u32>) -> Option<Binaries> {
    found.retain(|binaries| binaries.major_version >= MAJOR_VERSION_MIN);
    // The system's come before vendored ones of the same version: the first of the best.
    found
        .iter()
        .find(|binaries| Some(binaries.major_version) == recorded)
        .or_else(|| {
            let newest = found.iter().map(|binaries| binaries.major_version).max()?;
            found
                .iter()
                .find(|binaries| binaries.major_version == newest)
        })
        .cloned()
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15; also `17beta1`.
fn parse_major_version(said: &str) -> Option<u32> {
    let version = said.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = version.find(|character: char| !character.is_ascii_digit())?;
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_version(major_version: u32) -> Binaries {
        Binaries {
            directory: PathBuf::from(format!("/{major_version}")),
            major_version,
        }
    }

    #[test]
    fn reads_the_version_that_the_program_prints() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_major_version(debian), Some(15));
        assert_eq!(
            parse_major_version("postgres (PostgreSQL) 18beta1\n"),
            Some(18)
        );
        assert_eq!(parse_major_version("mysqld 8.0\n"), None);
    }

    #[test]
    fn the_version_that_wrote_the_data_goes_before_the_newest() {
        let found = || {
            vec![
                of_version(15),
                of_version(17),
                of_version(13),
                of_version(16),
            ]
        };
        let chosen = |recorded| choose(found(), recorded).map(|binaries| binaries.major_version);
        assert_eq!(chosen(Some(15)), Some(15));
        assert_eq!(chosen(None), Some(17));
        assert_eq!(chosen(Some(14)), Some(17));
        assert!(choose(vec![of_version(14)], None).is_none());
    }
}
