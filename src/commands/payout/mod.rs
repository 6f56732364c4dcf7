//! `hissaback payout …`: what operators do about payouts.

mod hold;
mod list;
mod messages;
mod orders;
mod rail;
mod resend;
mod rotate_claim_keys;
mod run;

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
    /// Pay what has matured, or say what would be paid
    Run(run::RunArguments),
    /// The hold that a broken money invariant puts on all payouts
    Hold(hold::HoldArguments),
    /// List payouts, each with what it waits for and what can be done
    List(list::ListArguments),
    /// Show one payout, with its steps and claims
    Show(list::ShowArguments),
    /// Give a payout up: once no card can be spent, its money is the shopper's again
    Cancel(orders::CancelArguments),
    /// Try a payout again, or all that wait for it, with the identical request
    Release(orders::ReleaseArguments),
    /// Stop all payouts by gift card
    Pause(orders::SwitchArguments),
    /// Let payouts by gift card go on
    Resume(orders::SwitchArguments),
    /// Ask what is left of the prepaid funds
    Funds(rail::FundsArguments),
    /// Compare payouts with what the gift-card service did
    Reconcile(rail::ReconcileArguments),
    /// List messages to shoppers that aren't out
    Messages(messages::MessagesArguments),
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
        PayoutCommand::Run(arguments) => run::run(arguments).await,
        PayoutCommand::Hold(arguments) => hold::run(arguments).await,
        PayoutCommand::List(arguments) => list::list(arguments).await,
        PayoutCommand::Show(arguments) => list::show(arguments).await,
        PayoutCommand::Cancel(arguments) => orders::cancel(arguments).await,
        PayoutCommand::Release(arguments) => orders::release(arguments).await,
        PayoutCommand::Pause(arguments) => orders::switch(arguments, true).await,
        PayoutCommand::Resume(arguments) => orders::switch(arguments, false).await,
        PayoutCommand::Funds(arguments) => rail::funds(arguments).await,
        PayoutCommand::Reconcile(arguments) => rail::reconcile(arguments).await,
        PayoutCommand::Messages(arguments) => messages::run(arguments).await,
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
