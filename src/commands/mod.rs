//! The commands, one module each. Each gives the process's exit as a `Result`: an error is one
//! sentence for the person who typed the command.

pub mod audit;
pub mod backfill;
pub mod demo;
pub mod erase;
pub mod reference;
pub mod retention;
pub mod up;

use std::path::PathBuf;

use clap::Args;

use crate::embedded::DataDirectory;

/// The data directory, for every command that reads or writes the embedded data.
#[derive(Debug, Args)]
pub struct DataDirArgument {
    /// Where all data lives [default: /var/lib/hissaback as root, else ~/.local/share/hissaback]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl DataDirArgument {
    /// The directory asked for, or the default one.
    pub fn path(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(DataDirectory::default_path)
    }
}

/// Runs a command on a multi-threaded runtime of its own.
///
/// # Errors
/// When the runtime can't be made; else the command's.
pub fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
