//! `hissaback analytics rebuild-aggregates`: every hour and day from the events anew.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use sinks::analytics::{
    aggregates::{self, Aggregates},
    completeness, migrate_on,
};
use stream::SystemClock;
use tokio::time::{Instant, sleep};

use crate::{
    commands::InstallationArguments,
    platform::{Placement, Platform, Starting},
};

/// How often it is asked how many hours are left.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Arguments of `hissaback analytics rebuild-aggregates`.
#[derive(Debug, Args)]
pub(super) struct RebuildArguments {
    /// Print one JSON object instead of progress and summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Computes them, or waits until the sink that runs has; then compares them with the events.
///
/// # Errors
/// One sentence: analytics is off, a store fails, or the aggregates are not what the events add up
/// to. What was not computed stays marked, for the sink or for another run.
pub(super) async fn run(arguments: RebuildArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let platform = Platform::start(&placement, Arc::new(SystemClock), &Starting::at_once()).await?;
    let rebuilt = rebuild(&platform, arguments.json).await;
    platform.stop().await?;
    let Rebuilt {
        hours,
        compared,
        elapsed,
    } = rebuilt?;
    if arguments.json {
        let report = serde_json::json!({
            "hours": hours,
            "compared": compared,
            "elapsed_s": elapsed.as_secs_f64(),
        });
        println!("{report:#}");
    } else {
        println!(
            "the aggregates of {hours} hours are computed anew ({:.1} s), and {}",
            elapsed.as_secs_f64(),
            if compared {
                "add up to the events"
            } else {
                "weren't compared with the events, since more came in meanwhile"
            }
        );
    }
    Ok(())
}

/// What was done.
struct Rebuilt {
    hours: usize,
    /// Whether the aggregates were compared with the events; else more events came in.
    compared: bool,
    elapsed: Duration,
}

async fn rebuild(platform: &Platform, quiet: bool) -> anyhow::Result<Rebuilt> {
    let client = platform
        .clickhouse
        .client()
        .context("analytics is off: there is nothing to aggregate")?;
    migrate_on(&client, platform.clickhouse_cluster.as_ref()).await?;
    let aggregates = Aggregates::new(client.clone(), platform.writer.clone());
    let started = Instant::now();
    let hours = aggregates.mark_all().await?;
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    let progress = ProgressBar::with_draw_target(Some(hours as u64), target);
    tokio::select! {
        computed = compute(&aggregates) => computed?,
        never = show_progress(&aggregates, &progress, hours as u64) => match never {},
    }
    progress.finish_and_clear();
    let reached = completeness::aggregates_complete_up_to(&client).await?;
    let differences = aggregates::differences(&client).await?;
    let compared = reached == completeness::complete_up_to(&client).await?;
    ensure!(
        differences.is_empty() || !compared,
        "the aggregates are not what the events add up to: {differences:?}"
    );
    Ok(Rebuilt {
        hours,
        compared,
        elapsed: started.elapsed(),
    })
}

/// Until nothing is marked: by this process, or by the one whose turn it is.
async fn compute(aggregates: &Aggregates) -> anyhow::Result<()> {
    loop {
        if let Some(mut turn) = aggregates.take_turn().await? {
            aggregates.compute(&mut turn).await?;
            return Ok(());
        }
        if aggregates.stale_hours().await? == 0 {
            return Ok(());
        }
        sleep(PROGRESS_INTERVAL).await;
    }
}

async fn show_progress(aggregates: &Aggregates, progress: &ProgressBar, hours: u64) -> Infallible {
    loop {
        sleep(PROGRESS_INTERVAL).await;
        match aggregates.stale_hours().await {
            Ok(left) => progress.set_position(hours.saturating_sub(left)),
            Err(error) => tracing::debug!(%error, "what is left can't be told"),
        }
    }
}
