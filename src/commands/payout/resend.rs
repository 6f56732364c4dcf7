//! `hissaback payout resend`.

use std::sync::{Arc, Mutex};

use clap::Args;
use operations::{commands::Commands, event_ids::EventIdSource};
use schemas::{
    PayoutId,
    event_id::EventIds,
    events::{CommandBody, ResendMessage},
};
use serde_json::json;
use sinks::ledger::instances::InstanceLease;

use crate::{commands::InstallationArguments, platform::Platform};

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
    let given = give(&platform, &arguments).await;
    platform.stop().await?;
    let command_id = given?;
    let payout_id = arguments.payout_id;
    if arguments.json {
        println!("{}", json!({ "command_id": command_id, "payout_id": payout_id }));
    } else {
        println!("command {command_id}: the message of payout {payout_id} is sent once more");
    }
    Ok(())
}

async fn give(platform: &Platform, arguments: &ResendArguments) -> anyhow::Result<String> {
    // For as long as a lease lasts, which is far longer than one command.
    let lease = InstanceLease::take(platform.writer.clone()).await?;
    let ids = Arc::new(Mutex::new(EventIds::new(lease.instance())?));
    let event_ids = EventIdSource::new(ids, Arc::clone(&platform.clock));
    let commands = Commands::new(
        Arc::clone(&platform.log),
        Arc::clone(&platform.clock),
        event_ids,
    );
    let body = CommandBody::ResendMessage(ResendMessage {
        payout_id: arguments.payout_id,
    });
    let command = commands
        .give(&arguments.author, &arguments.reason, body)
        .await?;
    Ok(command.command_id.to_string())
}
