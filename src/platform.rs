//! The services that the roles run on, embedded in one machine: the log in this process,
//! PostgreSQL and the ClickHouse engine as supervised children, under one data directory.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use sinks::ledger::database;
use sqlx::PgPool;
use stream::{Clock, EmbeddedLog, EmbeddedOptions, Log};

use crate::{
    embedded::{
        ClickHouseAvailability, ClickHouseOptions, DataDirectory, EmbeddedPostgres,
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
        Ok(Self { data, secrets, clock, log, writer, operator, clickhouse, postgres })
    }

    fn open_log(data: &DataDirectory, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
        let directory = data.subdirectory("log")?;
        Ok(EmbeddedLog::open(directory, clock, EmbeddedOptions::default())?)
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
