//! The services that the roles run on, embedded in one machine: the log in this process,
//! PostgreSQL and the ClickHouse engine as supervised children, under one data directory.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use api::{ComponentHealth, ComponentState, HealthReport, HealthSource};
use sinks::ledger::database;
use sqlx::PgPool;
use stream::{Clock, EmbeddedLog, EmbeddedOptions, Log};

use crate::{
    embedded::{
        ClickHouseAvailability, ClickHouseOptions, DataDirectory, EmbeddedPostgres, Health,
        PostgresOptions,
        postgres::{DATABASE, OWNER},
    },
    secrets::Secrets,
};

/// Connections of the roles together; the embedded cluster allows 60.
const WRITER_CONNECTIONS: u32 = 24;
const OPERATOR_CONNECTIONS: u32 = 4;

/// Everything that is up.
pub struct Platform {
    /// The data directory; its lock is held until this is dropped.
    pub data: DataDirectory,
    /// Keys and tokens.
    pub secrets: Secrets,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Connections of the sinks.
    pub writer: PgPool,
    /// Connections of operators' commands.
    pub operator: PgPool,
    /// The analytics engine, a server, or neither.
    pub clickhouse: ClickHouseAvailability,
    postgres: EmbeddedPostgres,
}

impl Platform {
    /// Brings everything up under a data directory, at the schema of this program.
    ///
    /// # Errors
    /// One sentence with the remedy: the directory is in use, of another version or can't be
    /// written, a component is missing, or a migration failed.
    pub async fn start(data_dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let data = DataDirectory::open(data_dir)?;
        let secrets = Secrets::open(data.path())?;
        let log = Self::open_log(&data, Arc::clone(&clock))?;
        let url = std::env::var("CLICKHOUSE_URL").ok();
        let (postgres, clickhouse) = tokio::join!(
            EmbeddedPostgres::start(&data, PostgresOptions::default()),
            ClickHouseAvailability::choose(url.as_deref(), &data, ClickHouseOptions::default()),
        );
        let (postgres, clickhouse) = (postgres?, clickhouse?);
        if let ClickHouseAvailability::Off(missing) = &clickhouse {
            tracing::warn!(reason = %missing, "analytics is off");
        }
        database::migrate(postgres.connect_options(OWNER, DATABASE))
            .await
            .context("the database could not be migrated")?;
        let connect = |role, connections| {
            database::connect(postgres.connect_options(role, DATABASE), connections)
        };
        let writer = connect(database::WRITER, WRITER_CONNECTIONS).await?;
        let operator = connect(database::OPERATOR, OPERATOR_CONNECTIONS).await?;
        Ok(Self {
            data,
            secrets,
            clock,
            log,
            writer,
            operator,
            clickhouse,
            postgres,
        })
    }

    fn open_log(data: &DataDirectory, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
        let directory = data.subdirectory("log")?;
        Ok(EmbeddedLog::open(
            directory,
            clock,
            EmbeddedOptions::default(),
        )?)
    }

    /// The state of each component, told at once.
    pub fn health(&self) -> HealthSource {
        let log = Arc::clone(&self.log);
        let postgres = self.postgres.health();
        let clickhouse = match &self.clickhouse {
            ClickHouseAvailability::Embedded(engine) => Some(engine.health()),
            ClickHouseAvailability::Server(_) | ClickHouseAvailability::Off(_) => None,
        };
        let analytics_off = match &self.clickhouse {
            ClickHouseAvailability::Off(missing) => Some(missing.to_string()),
            ClickHouseAvailability::Server(_) | ClickHouseAvailability::Embedded(_) => None,
        };
        Arc::new(move || {
            let analytics = match (&clickhouse, &analytics_off) {
                (Some(engine), _) => supervised(&engine.borrow(), ComponentState::Degraded),
                (None, Some(reason)) => component(ComponentState::Off, Some(reason.clone())),
                (None, None) => component(ComponentState::Ready, None),
            };
            HealthReport {
                components: [
                    ("log".to_owned(), of_log(&log.health())),
                    (
                        "postgres".to_owned(),
                        supervised(&postgres.borrow(), ComponentState::Failing),
                    ),
                    ("analytics".to_owned(), analytics),
                ]
                .into(),
            }
        })
    }

    /// Takes everything down, cleanly. The roles have ended before.
    ///
    /// # Errors
    /// When a service can't be stopped; what it held is recovered at the next start.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.log.close().await;
        self.writer.close().await;
        self.operator.close().await;
        self.clickhouse.stop().await?;
        self.postgres.stop().await?;
        Ok(())
    }
}

fn component(state: ComponentState, detail: Option<String>) -> ComponentHealth {
    ComponentHealth { state, detail }
}

fn of_log(health: &stream::Health) -> ComponentHealth {
    match health {
        stream::Health::Ready => component(ComponentState::Ready, None),
        stream::Health::Unavailable { reason } | stream::Health::Failed { reason } => {
            component(ComponentState::Failing, Some(reason.clone()))
        }
    }
}

/// Health of a supervised child; `otherwise` is what its absence means.
fn supervised(health: &Health, otherwise: ComponentState) -> ComponentHealth {
    match health {
        Health::Ready { .. } => component(ComponentState::Ready, None),
        Health::Starting => component(otherwise, Some("it is starting".to_owned())),
        Health::Restarting { reason } => component(otherwise, Some(reason.clone())),
        Health::Stopped => component(otherwise, Some("it was stopped".to_owned())),
    }
}
