//! `hissaback reference import`: tenants, offers, campaigns, links, rates and rules from a file.

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
    /// Check the file and say what would be added; add nothing
    #[arg(long)]
    dry_run: bool,
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
        dry_run,
        data_dir,
    }) = arguments.command;
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let file = ReferenceFile::parse(&text)
        .with_context(|| format!("{} is not a reference file", path.display()))?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&data_dir.path(), Arc::clone(&clock) as Arc<dyn Clock>).await?;
    let contacts = platform.secrets.contacts()?;
    let (operator, now) = (&platform.operator, clock.now());
    let added = if dry_run {
        reference::rehearse(operator, &file, &contacts, now).await
    } else {
        reference::import(operator, &file, &contacts, now).await
    };
    platform.stop().await?;
    let added = added?;
    for (table, rows) in added.by_table() {
        println!("{table}: {rows}");
    }
    let outcome = if dry_run { "would be" } else { "are" };
    println!("{} rows {outcome} new", added.rows());
    Ok(())
}
