//! `hissaback audit`: the invariants, as a command.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use stream::SystemClock;

use super::InstallationArguments;
use crate::platform::{Placement, Platform, Starting};

/// Arguments of `hissaback audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    #[command(flatten)]
    installation: InstallationArguments,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Checks every invariant; of embedded data, which no other process may have open.
///
/// # Errors
/// When an invariant is broken, or the data can't be read.
pub async fn run(arguments: AuditArguments) -> anyhow::Result<()> {
    let configuration = arguments.installation.configuration()?;
    let data_dir = arguments.installation.data_dir();
    let placement = Placement::of_command(&configuration, data_dir)?;
    let clock = Arc::new(SystemClock);
    let platform = Platform::start(&placement, clock, &Starting::at_once()).await?;
    let client = platform.clickhouse.client();
    let operator = platform.operator()?;
    let audited = operations::audit::audit(operator, client.as_ref(), platform.log.as_ref()).await;
    platform.stop().await?;
    let report = audited?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    ensure!(report.ok, "broken: {}", report.broken().join(", "));
    Ok(())
}
