//! `hissaback migrate`: what services elsewhere have to hold before processes use them: tables in
//! PostgreSQL and ClickHouse, topics, schemas.
//!
//! Safe to run twice, and from two processes at once. What is missing is made; what is there and
//! differs from what this program expects is told and left as it is.

mod report;
mod services;

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use self::{report::Report, services::Migration};
use super::ConfigurationArgument;

/// Arguments of `hissaback migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// Change nothing: tell what is missing or differs, and exit with 1 if anything does
    #[arg(long)]
    check: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// How long to wait for services that aren't there yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    configuration: ConfigurationArgument,
}

/// Goes through every service that is configured.
///
/// # Errors
/// When a service can't be used; with `--check`, when anything is missing or differs.
pub async fn run(arguments: MigrateArguments) -> anyhow::Result<()> {
    let configuration = arguments.configuration.read()?;
    let migration = Migration {
        configuration: &configuration,
        check: arguments.check,
        deadline: Instant::now() + Duration::from_secs(arguments.wait),
    };
    let mut report = Report::default();
    report.add("postgresql", migration.postgres().await);
    report.add("topics", migration.topics().await);
    report.add("schemas", migration.schemas().await);
    report.add("clickhouse", migration.clickhouse().await);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    let failed = report.failed();
    ensure!(
        failed.is_empty(),
        "not everything could be looked at: {failed}"
    );
    ensure!(
        !arguments.check || report.up_to_date(),
        "something is missing or differs"
    );
    Ok(())
}
