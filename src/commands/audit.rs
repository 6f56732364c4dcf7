//! `hissaback audit`: the invariants, as a command.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use stream::SystemClock;

use super::DataDirArgument;
use crate::platform::Platform;

/// Arguments of `hissaback audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    #[command(flatten)]
    data_dir: DataDirArgument,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Checks every invariant over the embedded data, which no other process may have open.
///
/// # Errors
/// When an invariant is broken, or the data can't be read.
pub async fn run(arguments: AuditArguments) -> anyhow::Result<()> {
    let platform = Platform::start(&arguments.data_dir.path(), Arc::new(SystemClock)).await?;
    let client = platform.clickhouse.client();
    let audited =
        operations::audit::audit(&platform.operator, client.as_ref(), platform.log.as_ref()).await;
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
