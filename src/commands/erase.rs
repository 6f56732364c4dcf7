//! `hissaback erase user`: a person who asks to be forgotten.

use std::sync::Arc;

use clap::{Args, Subcommand};
use operations::retention::erasure::{self, Order};
use schemas::UserId;
use stream::SystemClock;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback erase`.
#[derive(Debug, Args)]
pub struct EraseArguments {
    #[command(subcommand)]
    command: EraseCommand,
}

#[derive(Debug, Subcommand)]
enum EraseCommand {
    /// Remove what is known of a person; what they were owed and paid stays, under their bare id
    User(UserArguments),
}

#[derive(Debug, Args)]
struct UserArguments {
    /// The person
    user_id: UserId,
    /// Why, without personal data: it stays in the audit log
    #[arg(long)]
    reason: String,
    /// Who decided it
    #[arg(long, default_value = "operator")]
    author: String,
    /// Even while a payout of theirs is open, which then reaches nobody
    #[arg(long)]
    force: bool,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Erases a person, over the embedded data, which no other process may have open.
///
/// # Errors
/// When there is no such person, a payout of theirs is open, or a store fails.
pub async fn run(arguments: EraseArguments) -> anyhow::Result<()> {
    let EraseCommand::User(arguments) = arguments.command;
    let order = Order {
        user_id: arguments.user_id,
        author: arguments.author,
        reason: arguments.reason,
        despite_open_payouts: arguments.force,
    };
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let operator = platform.operator()?;
    let client = platform.clickhouse.client();
    let erased = erasure::erase(operator, client.as_ref(), &order).await;
    platform.stop().await?;
    let erased = erased?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&erased)?);
    } else if erased.users == 0 {
        println!("{} was erased before", order.user_id);
    } else {
        println!(
            "{} is erased: {} messages and the addresses of {} clicks went",
            order.user_id, erased.messages, erased.clicks
        );
    }
    Ok(())
}
