//! The commands, one module each. Each gives the process's exit as a `Result`: an error is one
//! sentence for the person who typed the command.

pub mod analytics;
pub mod audit;
pub mod backfill;
pub mod contacts;
pub mod dead_letters;
pub mod demo;
pub mod erase;
pub mod explain;
pub mod healthcheck;
pub mod ledger_dump;
pub mod log_copy;
pub mod migrate;
pub mod offers;
pub mod payout;
pub mod pipeline;
pub mod reconcile;
pub mod reference;
pub mod replay;
pub mod retention;
pub mod role;
pub mod secrets;
pub mod serving;
pub mod silence;
pub mod token;
pub mod unmatched;
pub mod up;
pub mod verify;
pub mod what_if;

use std::path::PathBuf;

use clap::Args;
use schemas::Timestamp;

use crate::{
    configuration::{Configuration, ConfigurationError},
    embedded::DataDirectory,
};

/// Which installation a command is about.
#[derive(Debug, Args)]
pub struct InstallationArguments {
    /// Where embedded data lives [default: /var/lib/hissaback for root, ~/.local/share/hissaback]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    configuration: ConfigurationArgument,
}

/// The configuration, for every command that reads it.
#[derive(Debug, Args)]
pub struct ConfigurationArgument {
    /// Configuration file; hissaback.example.toml documents its keys
    #[arg(long, value_name = "FILE", env = "HISSABACK_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigurationArgument {
    /// What the file and the environment say.
    ///
    /// # Errors
    /// When a key or value can't be used.
    pub fn read(&self) -> Result<Configuration, ConfigurationError> {
        Configuration::read(self.config.as_deref())
    }
}

impl InstallationArguments {
    /// The directory asked for, or the default one.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(DataDirectory::default_path)
    }

    /// What the file and the environment say.
    ///
    /// # Errors
    /// When a key or value can't be used.
    pub fn configuration(&self) -> Result<Configuration, ConfigurationError> {
        self.configuration.read()
    }
}

/// A time as people give it to a command.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| format!("{text:?} is not a time such as 2026-11-20T00:00:00Z"))
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
