//! Finds chDB's library.

use std::path::{Path, PathBuf};

use crate::embedded::cache_directory;

/// The version that the installers fetch, and that this program was tested with.
const VERSION: &str = include_str!("../../../scripts/chdb-version.txt");
const FILE_NAME: &str = "libchdb.so";
/// Names the library's file; nothing else is then looked at.
pub(super) const VARIABLE: &str = "HISSABACK_CHDB_LIB";

/// Why there is no library to load.
#[derive(Debug, thiserror::Error)]
pub enum LibraryMissing {
    /// There is no build of it for this machine.
    #[error(
        "the ClickHouse engine (chDB) exists for Linux with glibc on x86-64 only: set \
         CLICKHOUSE_URL to the address of a ClickHouse server"
    )]
    UnsupportedPlatform,
    /// It is not where it should be.
    #[error(
        "the ClickHouse engine (chDB {}) was not found (looked in {searched}): run `make setup`, \
         or name its libchdb.so in {VARIABLE}, or set CLICKHOUSE_URL to the address of a \
         ClickHouse server",
        VERSION.trim()
    )]
    NotFound {
        /// Where we looked.
        searched: String,
    },
}

/// The library's file: `given`, else what `HISSABACK_CHDB_LIB` names, else the installers' copy.
pub(super) fn find(given: Option<&Path>) -> Result<PathBuf, LibraryMissing> {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return Err(LibraryMissing::UnsupportedPlatform);
    }
    let named = given
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let candidates = match named {
        Some(file) => vec![file],
        None => cache_directory::candidates()
            .into_iter()
            .map(|cache| cache.join("chdb").join(VERSION.trim()).join(FILE_NAME))
            .collect(),
    };
    match candidates.iter().find(|file| file.is_file()) {
        // The engine is started in another working directory than ours.
        Some(file) => Ok(std::path::absolute(file).unwrap_or_else(|_| file.clone())),
        None => Err(LibraryMissing::NotFound {
            searched: candidates
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_one_sentence_with_remedies() {
        let missing = find(Some(Path::new("/nowhere/libchdb.so"))).expect_err("it isn't there");
        let sentence = missing.to_string();
        for part in [
            "/nowhere/libchdb.so",
            "make setup",
            VARIABLE,
            "CLICKHOUSE_URL",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
