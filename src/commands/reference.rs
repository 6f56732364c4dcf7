//! `hissaback reference import`: tenants, offers, campaigns, links, rates and rules from a file.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use operations::reference::{self, ReferenceFile};
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::platform::{self, Placement, Postgres, Starting};

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
    installation: InstallationArguments,
}

/// Imports, and says how much was new. What is there already stays as it is.
///
/// # Errors
/// When the file can't be read, isn't of the form, or the database refuses it.
pub async fn run(arguments: ReferenceArguments) -> anyhow::Result<()> {
    let ReferenceCommand::Import(ImportArguments {
        file: path,
        dry_run,
        installation,
    }) = arguments.command;
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let file = ReferenceFile::parse(&text)
        .with_context(|| format!("{} is not a reference file", path.display()))?;
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let data = platform::open_data_directory(&placement)?;
    let secrets = platform::load_secrets(&placement, data.as_ref())?;
    let contacts = secrets.context("contacts can't be sealed")?.contacts()?;
    // The log isn't asked for: it may be away.
    let postgres = Postgres::start(&placement, data.as_ref(), &Starting::at_once()).await?;
    let (operator, now) = (postgres.operator()?, SystemClock.now());
    let added = if dry_run {
        reference::rehearse(operator, &file, &contacts, now).await
    } else {
        reference::import(operator, &file, &contacts, now).await
    };
    postgres.stop().await?;
    let added = added?;
    for (table, rows) in added.by_table() {
        println!("{table}: {rows}");
    }
    let outcome = if dry_run { "would be" } else { "are" };
    println!("{} rows {outcome} new", added.rows());
    Ok(())
}
