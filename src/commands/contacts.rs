//! `hissaback contacts reseal`: people's contacts under a new key.

use std::sync::Arc;

use anyhow::ensure;
use clap::{Args, Subcommand};
use operations::contacts::{self, Resealing};
use stream::SystemClock;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback contacts`.
#[derive(Debug, Args)]
pub struct ContactsArguments {
    #[command(subcommand)]
    command: ContactsCommand,
}

#[derive(Debug, Subcommand)]
enum ContactsCommand {
    /// Seal every phone number and e-mail address with the newest of `contact_keys`
    Reseal(ResealArguments),
}

#[derive(Debug, Args)]
struct ResealArguments {
    /// Who does it: it stays in the audit log
    #[arg(long, value_name = "NAME", default_value = "operator")]
    operator: String,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Reseals contacts; of embedded data, which no other process may have open.
///
/// # Errors
/// When a contact can't be opened (the others are resealed), or the data can't be read.
pub async fn run(arguments: ContactsArguments) -> anyhow::Result<()> {
    let ContactsCommand::Reseal(arguments) = arguments.command;
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let operator = platform.operator()?;
    let keys = platform.secrets()?.contact_keys()?;
    let progress = |run: &Resealing| eprintln!("{} of {}", run.resealed, run.found);
    let outcome = contacts::reseal(operator, &keys, &arguments.operator, progress).await;
    platform.stop().await?;
    let run = outcome?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&run)?);
    } else {
        let Resealing {
            key_id,
            resealed,
            changed_meanwhile,
            ..
        } = &run;
        println!("{resealed} people's contacts were sealed with key {key_id}");
        if *changed_meanwhile > 0 {
            println!("{changed_meanwhile} were changed meanwhile: run it again");
        }
    }
    let unreadable: Vec<String> = run.unreadable.iter().map(ToString::to_string).collect();
    ensure!(
        unreadable.is_empty(),
        "no key opens the contacts of {}: they are left as they are",
        unreadable.join(", ")
    );
    Ok(())
}
