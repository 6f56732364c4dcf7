//! `hissaback offers sync`: our offers, brought in line with the network's campaigns.

use anyhow::Context;
use clap::{Args, Subcommand};
use operations::{
    offer_sync::{self, FieldChange, OfferSyncReport, OfferSyncSettings},
    trackier::Client,
};
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::platform::{self, Placement, Postgres, Starting};

/// Arguments of `hissaback offers`.
#[derive(Debug, Args)]
pub struct OffersArguments {
    #[command(subcommand)]
    command: OffersCommand,
}

#[derive(Debug, Subcommand)]
enum OffersCommand {
    /// Compare offers with the network's campaigns, and save what the network pays now
    ///
    /// Terms are versions: what differs is in force two minutes after it is saved, and clicks of
    /// before keep theirs. Asks the account in `trackier`.
    Sync(SyncArguments),
}

#[derive(Debug, Args)]
struct SyncArguments {
    /// Tell the differences; save nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Syncs, and tells what differs.
///
/// # Errors
/// When there is no account, the list can't be had, or the database refuses it.
pub async fn run(arguments: OffersArguments) -> anyhow::Result<()> {
    let OffersCommand::Sync(SyncArguments {
        dry_run,
        json,
        installation,
    }) = arguments.command;
    let configuration = installation.configuration()?;
    let trackier = &configuration.trackier;
    let account = trackier.account()?;
    let account = account.context("there is no account with the network: set trackier.api_key")?;
    let client = Client::new(account)?;
    let placement = Placement::of_command(&configuration, installation.data_dir())?;
    let data = platform::open_data_directory(&placement)?;
    let secrets = platform::load_secrets(&placement, data.as_ref())?;
    let contacts = secrets.context("contacts can't be sealed")?.contacts()?;
    // The log isn't asked for: it may be away.
    let postgres = Postgres::start(&placement, data.as_ref(), &Starting::at_once()).await?;
    let settings = OfferSyncSettings {
        network_id: trackier.network,
        country: trackier.country,
        dry_run,
    };
    let now = || SystemClock.now();
    let operator = postgres.operator()?;
    let synced = offer_sync::sync(&client, operator, &contacts, settings, now, "operator").await;
    postgres.stop().await?;
    let report = synced?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &OfferSyncReport) {
    let tell = |what: &str, offer: String, changes: &[FieldChange]| {
        println!("{what}: {offer}");
        for change in changes {
            println!("  {}", line(change));
        }
    };
    for new in &report.new {
        let brand = new.brand.escape_debug();
        tell("new", format!("{} ({brand})", new.offer_id), &new.terms);
    }
    for changed in &report.changed {
        let brand = changed.brand.escape_debug();
        let offer = format!("{} ({brand})", changed.offer_id);
        tell("changed", offer, &changed.changes);
    }
    for refused in &report.refused {
        let offer = refused
            .offer_id
            .map_or_else(|| "a campaign".to_owned(), |id| id.to_string());
        println!("refused: {offer}: {}", refused.reason.escape_debug());
    }
    for gone in &report.gone {
        println!("gone: {gone}: not listed any more; nothing is done about it");
    }
    if report.unsettled {
        println!("the list changed while it was read: what it lacks, the next sync brings");
    }
    println!(
        "{} campaigns: {} as saved, {} new, {} changed, {} refused, {} gone",
        report.campaigns,
        report.unchanged,
        report.new.len(),
        report.changed.len(),
        report.refused.len(),
        report.gone.len(),
    );
    match (report.effective_at, report.saved) {
        (None, _) => println!("nothing to save"),
        (Some(at), true) => println!("{} rows are saved, in force from {at} on", report.rows),
        (Some(_), false) => println!("{} rows would be saved: without --dry-run", report.rows),
    }
}

fn line(change: &FieldChange) -> String {
    let text = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("nothing");
        text.escape_debug().to_string()
    };
    let money = if change.money { " (money)" } else { "" };
    match &change.old {
        None => format!("{}: {}{money}", change.field, text(&change.new)),
        Some(_) => format!(
            "{}: {} → {}{money}",
            change.field,
            text(&change.old),
            text(&change.new)
        ),
    }
}
