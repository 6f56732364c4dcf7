//! `hissaback retention run`: what is past its period goes.

use std::sync::Arc;

use clap::{Args, Subcommand};
use operations::retention::{self, RetentionSummary, Stores};
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::configuration::Retention;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback retention`.
#[derive(Debug, Args)]
pub struct RetentionArguments {
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, Subcommand)]
enum RetentionCommand {
    /// Make partitions ahead, and retire clicks and reports that are past their period
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Months that clicks are kept; overrides the configuration's retention.clicks_months
    #[arg(long)]
    clicks_months: Option<u32>,
    /// Months that reports are kept, and the log; overrides retention.reports_months
    #[arg(long)]
    reports_months: Option<u32>,
    /// Say what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Retires what is past its period, over the embedded data, which no other process may have open.
///
/// # Errors
/// When a period can't be, or a store fails; what is left is done by the next run.
pub async fn run(arguments: RetentionArguments) -> anyhow::Result<()> {
    let RetentionCommand::Run(arguments) = arguments.command;
    let clock = Arc::new(SystemClock);
    let configuration = arguments.installation.configuration()?;
    let configured = configuration.retention;
    let periods = Retention {
        clicks_months: arguments.clicks_months.unwrap_or(configured.clicks_months),
        reports_months: arguments
            .reports_months
            .unwrap_or(configured.reports_months),
    }
    .periods()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let its_clock = Arc::clone(&clock) as _;
    let platform = Platform::start(&placement, its_clock, &Starting::at_once()).await?;
    let operator = platform.operator()?;
    let client = platform.clickhouse.client();
    let stores = Stores {
        pool: operator,
        clickhouse: client.as_ref(),
        log: platform.log.as_ref(),
    };
    let ran = retention::run(&stores, periods, clock.now(), arguments.dry_run).await;
    platform.stop().await?;
    let summary = ran?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print(&summary);
    }
    Ok(())
}

fn print(summary: &RetentionSummary) {
    let verb = if summary.dry_run { "would go" } else { "went" };
    for month in &summary.detached {
        println!("{}: {} rows {verb}", month.partition, month.rows);
    }
    if summary.detached.is_empty() {
        println!("nothing is past its period");
    }
    if let Some(instant) = summary.final_before {
        println!("claims on clicks before {instant} are final");
    }
    if summary.unsettled_claims > 0 {
        println!(
            "{} claims past their period aren't settled, and keep their months",
            summary.unsettled_claims
        );
    }
    if summary.log_records > 0 {
        println!("{} records of the log went", summary.log_records);
    }
}
