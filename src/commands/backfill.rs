//! `hissaback backfill`: a network's CSV export through the same pipeline as postbacks.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::ProgressBar;
use operations::{
    backfill::{Backfill, BackfillSettings, BackfillSummary},
    fates,
};
use schemas::{NetworkId, TenantId, Timestamp};

use super::{InstallationArguments, pipeline, timestamp};
use crate::{platform::Platform, roles::Roles};

/// Arguments of `hissaback backfill`.
#[derive(Debug, Args)]
pub struct BackfillArguments {
    /// A conversions export with Trackier's columns; schemas/examples/ has one
    #[arg(long, value_name = "FILE")]
    trackier_csv: PathBuf,
    /// The tenant that the export is of
    #[arg(long)]
    tenant: TenantId,
    /// The network instance that it comes from
    #[arg(long, default_value = "1")]
    network: NetworkId,
    /// The time that the export is a snapshot of, RFC 3339 [default: the file's modification time]
    #[arg(long, value_parser = timestamp)]
    as_of: Option<Timestamp>,
    /// Minutes that times without a zone are ahead of UTC
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    utc_offset_minutes: i32,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Reads the file, waits until the ledger has it, and says what became of it.
///
/// # Errors
/// When the file or its header can't be used; rows that can't are named and counted.
pub async fn run(arguments: BackfillArguments) -> anyhow::Result<()> {
    let work = async |platform: &Platform, roles: &Roles| load(platform, roles, &arguments).await;
    pipeline::run(&arguments.installation, work).await
}

async fn load(
    platform: &Platform,
    roles: &Roles,
    arguments: &BackfillArguments,
) -> anyhow::Result<()> {
    let backfill = Backfill {
        log: Arc::clone(&platform.log),
        clock: Arc::clone(&platform.clock),
        event_ids: roles.event_ids.clone().context("no event ids are drawn")?,
        token_keys: platform.secrets()?.token_keys()?,
        redaction: ingest::Settings::default().redaction,
        reference: roles.reference.load_full(),
    };
    let settings = BackfillSettings {
        tenant_id: arguments.tenant,
        network_id: arguments.network,
        as_of: arguments.as_of,
        utc_offset_minutes: arguments.utc_offset_minutes,
    };
    let before = fates::count(platform.operator()?).await?;
    let progress = if arguments.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    let shown = |summary: &BackfillSummary| {
        progress.set_message(format!("{} rows read", summary.rows));
        progress.tick();
    };
    let summary = backfill
        .load_file(&arguments.trackier_csv, settings, shown)
        .await?;
    progress.set_message("the ledger is folding them");
    pipeline::folded(platform).await?;
    progress.finish_and_clear();
    let after = fates::count(platform.operator()?).await?;
    if arguments.json {
        let fates = serde_json::to_value(after)?;
        println!(
            "{}",
            serde_json::json!({ "summary": summary, "fates": fates })
        );
    } else {
        print(&summary, after.accepted - before.accepted);
    }
    ensure!(
        summary.rows > 0,
        "{} holds no rows",
        arguments.trackier_csv.display()
    );
    Ok(())
}

fn print(summary: &BackfillSummary, new_reports: i64) {
    println!(
        "{} rows read, {} in the log ({} of them unusable), {} refused; {new_reports} reports are new in the ledger",
        summary.rows, summary.appended, summary.malformed, summary.refused
    );
    for row in &summary.refused_rows {
        let kept = if row.kept {
            "kept, ignored"
        } else {
            "not kept"
        };
        println!("  line {}: {} ({kept})", row.line, row.reason);
    }
}
