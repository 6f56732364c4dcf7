//! `hissaback payout`: what operators do about payouts.

use clap::{Args, Subcommand};

use super::payout_hold::{self, HoldArguments};

/// Arguments of `hissaback payout`.
#[derive(Debug, Args)]
pub struct PayoutArguments {
    #[command(subcommand)]
    command: PayoutCommand,
}

#[derive(Debug, Subcommand)]
enum PayoutCommand {
    /// The hold that a broken money invariant puts on all payouts
    Hold(HoldArguments),
}

/// Does what is asked for.
///
/// # Errors
/// The command's.
pub async fn run(arguments: PayoutArguments) -> anyhow::Result<()> {
    match arguments.command {
        PayoutCommand::Hold(arguments) => payout_hold::run(arguments).await,
    }
}
