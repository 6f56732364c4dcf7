//! `hissaback migrate`: what services elsewhere have to hold before processes use them: tables in
//! PostgreSQL and ClickHouse, topics, schemas.
//!
//! Safe to run twice, and from two processes at once. What is missing is made; what is there and
//! differs from what this program expects is told and left as it is.

mod report;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use secrecy::ExposeSecret;
use sinks::{analytics, ledger::database};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use self::report::{Findings, Report};
use crate::{
    configuration::{Configuration, Kafka},
    embedded::clickhouse::server_client,
};

/// Arguments of `hissaback migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// Change nothing: tell what is missing or differs, and exit with 1 if anything does
    #[arg(long)]
    check: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Configuration file; hissaback.example.toml documents its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Whether what is missing is made, or told only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Make,
    Check,
}

/// Goes through every service that is configured.
///
/// # Errors
/// When a service can't be used; with `--check`, when anything is missing or differs.
pub async fn run(arguments: MigrateArguments) -> anyhow::Result<()> {
    let configuration = Configuration::read(arguments.config.as_deref())?;
    configuration.kafka.check()?;
    let mode = if arguments.check {
        Mode::Check
    } else {
        Mode::Make
    };
    let mut report = Report::default();
    report.add("postgresql", postgres(&configuration, mode).await);
    report.add("topics", topics(&configuration.kafka, mode).await);
    report.add("schemas", schemas(&configuration, mode).await);
    report.add("clickhouse", clickhouse(&configuration, mode).await);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    ensure!(report.failed().is_empty(), "failed: {}", report.failed());
    ensure!(
        mode == Mode::Make || report.up_to_date(),
        "something is missing or differs"
    );
    Ok(())
}

async fn postgres(configuration: &Configuration, mode: Mode) -> anyhow::Result<Option<Findings>> {
    let Some(owner) = configuration.postgres.owner()? else {
        ensure!(
            configuration.postgres.url.is_none(),
            "migrations are the owner's: set postgres.owner_url (DATABASE_OWNER_URL)"
        );
        return Ok(None);
    };
    let mut findings = Findings::default();
    match mode {
        Mode::Check => {
            let state = schema_state(&owner).await?;
            findings.outstanding = state.outstanding;
            findings.differences = differences(&state.changed, &state.newer);
        }
        Mode::Make => findings.made = database::migrate(owner).await?,
    }
    Ok(Some(findings))
}

async fn schema_state(owner: &PgConnectOptions) -> sqlx::Result<database::SchemaState> {
    let mut connection = PgConnection::connect_with(owner).await?;
    let state = database::schema_state(&mut connection).await?;
    connection.close().await?;
    Ok(state)
}

fn differences(changed: &[String], newer: &[i64]) -> Vec<String> {
    let changed = changed
        .iter()
        .map(|name| format!("{name} was changed after it had been applied, or broke off"));
    let newer = newer
        .iter()
        .map(|version| format!("migration {version} is a newer program's"));
    changed.chain(newer).collect()
}

async fn clickhouse(configuration: &Configuration, mode: Mode) -> anyhow::Result<Option<Findings>> {
    let Some(url) = &configuration.clickhouse.url else {
        return Ok(None);
    };
    let client = server_client(url.expose_secret())?;
    let outstanding = analytics::outstanding_migrations(&client).await?;
    let mut findings = Findings::default();
    match mode {
        Mode::Check => findings.outstanding = outstanding,
        Mode::Make => {
            let applied = analytics::migrate(&client).await?;
            // Of two processes at once, both may apply the same: every statement can be repeated.
            let applied = applied.iter().map(|version| format!("{version:04}_"));
            let named = |prefix: String| outstanding.iter().find(|name| name.starts_with(&prefix));
            findings.made = applied.filter_map(named).cloned().collect();
        }
    }
    Ok(Some(findings))
}

async fn topics(kafka: &Kafka, mode: Mode) -> anyhow::Result<Option<Findings>> {
    if kafka.brokers.is_none() {
        return Ok(None);
    }
    let _ = mode;
    anyhow::bail!("not wired yet")
}

async fn schemas(configuration: &Configuration, mode: Mode) -> anyhow::Result<Option<Findings>> {
    let Some(_address) = configuration.schema_registry.address()? else {
        return Ok(None);
    };
    let _ = mode;
    anyhow::bail!("not wired yet")
}
