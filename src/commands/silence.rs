//! `hissaback silence`: campaigns that have gone quiet.

use std::sync::Arc;

use clap::Args;
use operations::silence;
use stream::{Clock, SystemClock};

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback silence`.
#[derive(Debug, Args)]
pub struct SilenceArguments {
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// Looks at every campaign, over the embedded data, which no other process may have open; or over
/// servers, while the roles run.
///
/// # Errors
/// When the ledger is behind the log, or can't be read.
pub async fn run(arguments: SilenceArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let placement = Placement::of_command(&configuration, arguments.installation.data_dir())?;
    let clock: Arc<SystemClock> = Arc::new(SystemClock);
    let now = clock.now();
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let report = silence::look(platform.operator()?, platform.log.as_ref(), now).await;
    platform.stop().await?;
    let report = report?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    for campaign in &report.silent {
        println!(
            "{} ({}, tenant {}): quiet since {}; {} postbacks in the last {} hours, {:.1} expected",
            campaign.name.escape_debug(),
            campaign.campaign_id,
            campaign.tenant_id,
            campaign.since,
            campaign.seen,
            campaign.span_hours,
            campaign.expected,
        );
    }
    println!(
        "{} of {} campaigns are silent, as of {}",
        report.silent.len(),
        report.campaigns,
        report.until
    );
    Ok(())
}
