//! `hissaback payout …`: what operators do about payouts.

mod hold;
mod resend;
mod rotate_claim_keys;

use std::sync::Arc;

use clap::{Args, Subcommand};
use stream::SystemClock;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback payout`.
#[derive(Debug, Args)]
pub struct PayoutArguments {
    #[command(subcommand)]
    command: PayoutCommand,
}

#[derive(Debug, Subcommand)]
enum PayoutCommand {
    /// The hold that a broken money invariant puts on all payouts
    Hold(hold::HoldArguments),
    /// Send a funded payout's message once more, with the same code
    Resend(resend::ResendArguments),
    /// Put stored claim codes under the newest key
    RotateClaimKeys(rotate_claim_keys::RotateArguments),
}

/// Does what was asked.
///
/// # Errors
/// When it can't be done; one sentence says why.
pub async fn run(arguments: PayoutArguments) -> anyhow::Result<()> {
    match arguments.command {
        PayoutCommand::Hold(arguments) => hold::run(arguments).await,
        PayoutCommand::Resend(arguments) => resend::run(arguments).await,
        PayoutCommand::RotateClaimKeys(arguments) => rotate_claim_keys::run(arguments).await,
    }
}

/// The installation, for one command.
async fn platform(installation: &InstallationArguments) -> anyhow::Result<Platform> {
    let configuration = installation.configuration()?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    Platform::start(&placement, Arc::new(SystemClock), &Starting::at_once()).await
}
