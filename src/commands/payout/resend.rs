//! `hissaback payout resend`.

use anyhow::Context;
use clap::Args;
use schemas::{
    PayoutId,
    events::{CommandBody, ResendMessage},
};
use serde_json::json;

use super::orders;
use crate::commands::InstallationArguments;

#[derive(Debug, Args)]
pub(super) struct ResendArguments {
    /// The payout
    payout_id: PayoutId,
    /// Why, without personal data: it stays in the log
    #[arg(long)]
    reason: String,
    /// Who decided it
    #[arg(long, default_value = "operator")]
    author: String,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Gives the command to send a payout's message once more. The dispatcher obeys it, where it runs.
pub(super) async fn run(arguments: ResendArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let payout_id = arguments.payout_id;
    let body = CommandBody::ResendMessage(ResendMessage { payout_id });
    let (author, reason) = (&arguments.author, &arguments.reason);
    let given = orders::give(&platform, author, reason, vec![body]).await;
    platform.stop().await?;
    let given = given?;
    let command_id = given.first().context("no command was given")?.to_string();
    if arguments.json {
        println!(
            "{}",
            json!({ "command_id": command_id, "payout_id": payout_id })
        );
    } else {
        println!("command {command_id}: the message of payout {payout_id} is sent once more");
    }
    Ok(())
}
