//! `hissaback backfill`: a network's CSV export through the same pipeline as postbacks.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::ProgressBar;
use operations::{
    backfill::{Backfill, BackfillSettings, BackfillSummary},
    caught_up, fates,
};
use schemas::{NetworkId, TenantId, Timestamp};
use stream::SystemClock;

use super::{InstallationArguments, serving, timestamp};
use crate::{
    platform::{LogPlace, Placement, Platform, Starting},
    roles::{Role, RoleOptions, Roles},
};

/// How long the ledger may take to fold what was read.
const PATIENCE: Duration = Duration::from_hours(1);

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
    let configuration = arguments.installation.configuration()?;
    let data_dir = arguments.installation.data_dir();
    let placement = Placement::of_command(&configuration, data_dir)?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let roles = match &placement.log {
        LogPlace::Embedded => Role::ALL.into(),
        // Whoever else follows the log folds what is appended to it.
        LogPlace::Kafka(_) => [Role::Ingest].into(),
    };
    let options = RoleOptions {
        roles,
        // Nobody calls; the roles are wanted for what is behind it.
        listener: serving::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
        ingest: ingest::Settings::default(),
        public_url: configuration.http.public_url()?,
        payouts: None,
        messages: None,
        committed: None,
    };
    let roles = Roles::start(&platform, options).await?;
    let outcome = tokio::select! {
        outcome = load(&platform, &roles, &arguments) => outcome,
        error = roles.failed() => Err(error),
    };
    let stopped = roles.stop().await;
    outcome.and(stopped).and(platform.stop().await)
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
    caught_up::wait_until_caught_up(platform.log.as_ref(), &platform.writer, PATIENCE).await?;
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
