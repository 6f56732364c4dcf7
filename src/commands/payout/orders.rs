//! `hissaback payout cancel`, `release`, `pause`, `resume`: what operators decide, into the log.
//! The ledger and the dispatcher obey, where they run.

use std::sync::{Arc, Mutex};

use anyhow::ensure;
use clap::Args;
use operations::{commands::Commands, event_ids::EventIdSource, payouts::listing};
use schemas::{
    EventId, PayoutId,
    event_id::EventIds,
    events::{CancelPayout, ChannelSwitch, CommandBody, ReleasePayout},
};
use serde_json::json;
use sinks::{ledger::instances::InstanceLease, payouts::CHANNEL};

use crate::{commands::InstallationArguments, platform::Platform};

/// Who decides, and why.
#[derive(Debug, Args)]
pub(super) struct Decision {
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

#[derive(Debug, Args)]
pub(super) struct CancelArguments {
    /// The payout
    payout_id: PayoutId,
    #[command(flatten)]
    decision: Decision,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    /// The payout
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    payout_id: Option<PayoutId>,
    /// Every payout that waits for it
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    decision: Decision,
}

#[derive(Debug, Args)]
pub(super) struct SwitchArguments {
    #[command(flatten)]
    decision: Decision,
}

/// Gives a payout up: one that was never sent is cancelled, one that was sent once no card can be
/// spent. Its money is the shopper's again.
pub(super) async fn cancel(arguments: CancelArguments) -> anyhow::Result<()> {
    let payout_id = arguments.payout_id;
    let body = CommandBody::CancelPayout(CancelPayout { payout_id });
    let said = format!("payout {payout_id} is given up if that can be: `hissaback payout show`");
    one(&arguments.decision, body, &said).await
}

/// Tries a payout again at once, or all that wait for it, with the identical requests.
pub(super) async fn release(arguments: ReleaseArguments) -> anyhow::Result<()> {
    let decision = &arguments.decision;
    if let Some(payout_id) = arguments.payout_id {
        let body = CommandBody::ReleasePayout(ReleasePayout { payout_id });
        return one(
            decision,
            body,
            &format!("payout {payout_id} is tried again"),
        )
        .await;
    }
    let platform = super::platform(&decision.installation).await?;
    let released = release_all(&platform, decision).await;
    platform.stop().await?;
    let count = released?;
    if decision.json {
        println!("{}", json!({ "released": count }));
    } else {
        println!("{count} payouts are tried again");
    }
    Ok(())
}

async fn release_all(platform: &Platform, decision: &Decision) -> anyhow::Result<usize> {
    let waiting = listing::waiting_for_release(platform.operator()?).await?;
    ensure!(!waiting.is_empty(), "no payout waits for being released");
    let bodies = waiting
        .iter()
        .map(|payout_id| {
            CommandBody::ReleasePayout(ReleasePayout {
                payout_id: *payout_id,
            })
        })
        .collect();
    let given = give(platform, &decision.author, &decision.reason, bodies).await?;
    Ok(given.len())
}

/// Stops all payouts of the channel, or lets them go on.
pub(super) async fn switch(arguments: SwitchArguments, paused: bool) -> anyhow::Result<()> {
    let body = CommandBody::ChannelSwitch(ChannelSwitch {
        channel: CHANNEL.to_owned(),
        paused,
    });
    let said = if paused { "is paused" } else { "goes on" };
    one(
        &arguments.decision,
        body,
        &format!("the channel {CHANNEL} {said}"),
    )
    .await
}

async fn one(decision: &Decision, body: CommandBody, said: &str) -> anyhow::Result<()> {
    let platform = super::platform(&decision.installation).await?;
    let given = give(&platform, &decision.author, &decision.reason, vec![body]).await;
    platform.stop().await?;
    for command_id in given? {
        if decision.json {
            println!("{}", json!({ "command_id": command_id }));
        } else {
            println!("command {command_id}: {said}");
        }
    }
    Ok(())
}

/// Gives commands; each is durable when this returns.
pub(super) async fn give(
    platform: &Platform,
    author: &str,
    reason: &str,
    bodies: Vec<CommandBody>,
) -> anyhow::Result<Vec<EventId>> {
    // For as long as a lease lasts, which is far longer than one command takes.
    let lease = InstanceLease::take(platform.writer.clone()).await?;
    let ids = Arc::new(Mutex::new(EventIds::new(lease.instance())?));
    let event_ids = EventIdSource::new(ids, Arc::clone(&platform.clock));
    let (log, clock) = (Arc::clone(&platform.log), Arc::clone(&platform.clock));
    let commands = Commands::new(log, clock, event_ids);
    let mut given = Vec::with_capacity(bodies.len());
    for body in bodies {
        given.push(commands.give(author, reason, body).await?.command_id);
    }
    Ok(given)
}
