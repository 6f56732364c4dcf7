//! `hissaback analytics`: the role, and what analysts do by command.

mod export;
mod rebuild;

use clap::{Args, Subcommand};

use self::{export::ExportArguments, rebuild::RebuildArguments};
use super::serving::{self, ServingArguments};
use crate::roles::Role;

/// Arguments of `hissaback analytics`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AnalyticsArguments {
    #[command(subcommand)]
    command: Option<AnalyticsCommand>,
    #[command(flatten)]
    serving: ServingArguments,
}

#[derive(Debug, Subcommand)]
enum AnalyticsCommand {
    /// Write a span of a table or view into a Parquet file
    ///
    /// Asks the ClickHouse server that is configured (clickhouse.url). Without one it asks the
    /// embedded engine of --data-dir: through its socket while `hissaback up` runs there, and else
    /// by starting the engine for as long as the export takes. The file gets its name once it is
    /// whole.
    Export(ExportArguments),
    /// Compute the aggregates by hour and day anew, from the events
    ///
    /// Not needed in ordinary use: the sink computes what changes. Of embedded data, which no other
    /// process may have open; beside a server it may run while the sink does.
    RebuildAggregates(RebuildArguments),
}

/// Runs the role, or the command.
///
/// # Errors
/// One sentence: what is missing, what can't be exported, or that the role failed.
pub async fn run(arguments: AnalyticsArguments) -> anyhow::Result<()> {
    match arguments.command {
        None => serving::serve_role(Role::Analytics, &arguments.serving).await,
        Some(AnalyticsCommand::Export(arguments)) => export::run(arguments).await,
        Some(AnalyticsCommand::RebuildAggregates(arguments)) => rebuild::run(arguments).await,
    }
}
