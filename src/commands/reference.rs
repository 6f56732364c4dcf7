//! `hissaback reference import`: tenants, offers, campaigns and links from a file.

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
        installation,
    }) = arguments.command;
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let file: ReferenceFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a reference file", path.display()))?;
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let data = platform::open_data_directory(&placement)?;
    let secrets = platform::load_secrets(&placement, data.as_ref())?;
    let contacts = secrets.context("contacts can't be hashed")?.contact_key();
    // The log isn't asked for: it may be away.
    let postgres = Postgres::start(&placement, data.as_ref(), &Starting::at_once()).await?;
    let operator = postgres.operator()?;
    let imported = reference::import(operator, &file, &contacts, SystemClock.now()).await;
    postgres.stop().await?;
    println!("{} rows are new", imported?);
    Ok(())
}
