//! `hissaback reference import`: tenants, offers, campaigns and links from a file.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::{Args, Subcommand};
use operations::reference::{self, ReferenceFile};
use stream::{Clock, SystemClock};

use super::DataDirArgument;
use crate::platform::Platform;

/// Arguments of `hissaback reference`.
#[derive(Debug, Args)]
pub struct ReferenceArguments {
    #[command(subcommand)]
    command: ReferenceCommand,
}

#[derive(Debug, Subcommand)]
enum ReferenceCommand {
    /// Add what a JSON file holds; schemas/examples/reference.json shows the form
    Import(ImportArguments),
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    data_dir: DataDirArgument,
}

/// Imports, and says how much was new. What is there already stays as it is.
///
/// # Errors
/// When the file can't be read, isn't of the form, or the database refuses it.
pub async fn run(arguments: ReferenceArguments) -> anyhow::Result<()> {
    let ReferenceCommand::Import(ImportArguments {
        file: path,
        data_dir,
    }) = arguments.command;
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let file: ReferenceFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a reference file", path.display()))?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&data_dir.path(), Arc::clone(&clock) as Arc<dyn Clock>).await?;
    let contacts = platform.secrets.contact_key();
    let imported = reference::import(&platform.operator, &file, &contacts, clock.now()).await;
    platform.stop().await?;
    println!("{} rows are new", imported?);
    Ok(())
}
