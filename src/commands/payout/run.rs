//! `hissaback payout run`: what has matured is paid.

use std::{sync::Arc, time::Duration};

use clap::Args;
use operations::payout_run::{PayoutRuns, Summary};
use schemas::{TenantId, Timestamp};

use super::rail;
use crate::{commands::InstallationArguments, platform::Platform};

/// How long the ledger may take to catch up.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Pay this tenant's shoppers only
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Pay claims that are payable before this time, RFC 3339 [default: now]
    #[arg(long, value_parser = rail::timestamp)]
    as_of: Option<Timestamp>,
    /// Say what would be paid, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Pays what has matured, or says what would be paid, and who isn't and why. Safe to repeat, and
/// beside any other run.
pub(super) async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let ran = pay(&arguments, &platform).await;
    platform.stop().await?;
    let summary = ran?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print(&summary, arguments.dry_run);
    }
    Ok(())
}

async fn pay(arguments: &RunArguments, platform: &Platform) -> anyhow::Result<Summary> {
    let runs = PayoutRuns {
        pool: platform.writer.clone(),
        log: Arc::clone(&platform.log),
        clock: Arc::clone(&platform.clock),
        account: rail::config(&arguments.installation, platform)?.agcod,
        patience: PATIENCE,
    };
    let RunArguments {
        tenant,
        as_of,
        dry_run,
        ..
    } = *arguments;
    Ok(runs.run_for(tenant, as_of, dry_run).await?)
}

fn print(summary: &Summary, dry_run: bool) {
    let verb = if dry_run { "would be paid" } else { "are paid" };
    if summary.totals.is_empty() {
        println!("nobody has anything open");
    }
    for totals in &summary.totals {
        println!(
            "tenant {}: {} payees {verb} {} {} in {} cards",
            totals.tenant_id, totals.payees, totals.amount, totals.currency, totals.transfers
        );
        if totals.without_phone > 0 {
            println!(
                "  {} of them have no phone number yet",
                totals.without_phone
            );
        }
        for (why, count) in &totals.skipped {
            println!("  {count} not: {}", why.sentence());
        }
    }
}
