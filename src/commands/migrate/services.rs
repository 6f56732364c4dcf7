//! Each service: what it lacks, made or told.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clickhouse::error::Error as ClickHouseError;
use secrecy::ExposeSecret;
use sinks::{
    analytics::{self, MigrationError},
    ledger::{
        database::SchemaError,
        schema::{self, SchemaState},
    },
};
use sqlx::{Connection, PgConnection, migrate::MigrateError, postgres::PgConnectOptions};
use stream::{
    LogError,
    kafka::topics::{self, TopicTimes},
    registry::{RegistryError, SchemaRegistry},
};
use tokio::time::sleep;

use super::report::Findings;
use crate::{
    configuration::Configuration, embedded::clickhouse::server_client,
    platform::postgres_may_return,
};

/// How long to wait before a service is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What is to be gone through, and how.
pub(super) struct Migration<'a> {
    pub(super) configuration: &'a Configuration,
    /// What is missing is told, and not made.
    pub(super) check: bool,
    /// Until then, services that aren't there are waited for.
    pub(super) deadline: Instant,
}

impl Migration<'_> {
    /// Tables and roles of the ledger's database.
    pub(super) async fn postgres(&self) -> anyhow::Result<Option<Findings>> {
        let postgres = &self.configuration.postgres;
        let Some(owner) = postgres.owner()? else {
            ensure!(
                postgres.url.is_none(),
                "migrations are the owner's: set postgres.owner_url (DATABASE_OWNER_URL)"
            );
            return Ok(None);
        };
        let mut findings = Findings::default();
        if self.check {
            let look = async || schema_state(&owner).await;
            let state = self.insist(postgres_may_return, look).await?;
            findings.outstanding = state.outstanding;
            findings.differences = differences(&state.changed, &state.newer);
        } else {
            let temporary = |error: &SchemaError| {
                matches!(
                    error,
                    SchemaError::Migrate(MigrateError::Execute(error)) if postgres_may_return(error)
                )
            };
            let migrate = async || schema::bring_up_to_date(&owner).await;
            findings.made = self.insist(temporary, migrate).await?;
        }
        Ok(Some(findings))
    }

    /// Topics of the log.
    pub(super) async fn topics(&self) -> anyhow::Result<Option<Findings>> {
        let kafka = &self.configuration.kafka;
        let Some(brokers) = kafka.settings()? else {
            return Ok(None);
        };
        let wanted = kafka.topics(TopicTimes::Broker);
        let go_through = async || {
            if self.check {
                topics::inspect(&brokers, &wanted).await
            } else {
                topics::ensure(&brokers, &wanted).await
            }
        };
        let report = self.insist(LogError::temporary, go_through).await?;
        Ok(Some(Findings {
            made: report.created,
            outstanding: report.missing,
            differences: texts(&report.differences),
        }))
    }

    /// Schemas of the topics' records.
    pub(super) async fn schemas(&self) -> anyhow::Result<Option<Findings>> {
        let Configuration {
            kafka,
            schema_registry,
            ..
        } = self.configuration;
        let Some(settings) = schema_registry.settings(&kafka.topic_prefix)? else {
            return Ok(None);
        };
        let registry = SchemaRegistry::connect(settings)?;
        let go_through = async || {
            if self.check {
                registry.inspect().await
            } else {
                registry.register_all().await
            }
        };
        let report = self.insist(RegistryError::temporary, go_through).await?;
        Ok(Some(Findings {
            made: texts(&report.registered),
            outstanding: texts(&report.missing),
            differences: texts(&report.differences),
        }))
    }

    /// Tables and views of the analysts' database.
    pub(super) async fn clickhouse(&self) -> anyhow::Result<Option<Findings>> {
        let Some(url) = &self.configuration.clickhouse.url else {
            return Ok(None);
        };
        let client = server_client(url.expose_secret())?;
        let cluster = self.configuration.clickhouse.cluster()?;
        let temporary = |error: &MigrationError| match error {
            MigrationError::ClickHouse(error) => {
                matches!(
                    error,
                    ClickHouseError::Network(_) | ClickHouseError::TimedOut
                )
            }
            MigrationError::Newer { .. } | MigrationError::Changed { .. } => false,
        };
        let look = async || analytics::outstanding_migrations(&client).await;
        let outstanding = self.insist(temporary, look).await?;
        if self.check {
            return Ok(Some(Findings {
                outstanding,
                ..Findings::default()
            }));
        }
        analytics::migrate_on(&client, cluster.as_ref()).await?;
        Ok(Some(Findings {
            made: outstanding,
            ..Findings::default()
        }))
    }

    /// Does something that needs a service, again while it isn't there and there is time.
    async fn insist<T, E>(
        &self,
        temporary: impl Fn(&E) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            match attempt().await {
                Err(error) if temporary(&error) && Instant::now() < self.deadline => {
                    sleep(RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

async fn schema_state(owner: &PgConnectOptions) -> sqlx::Result<SchemaState> {
    let mut connection = PgConnection::connect_with(owner).await?;
    let state = schema::state(&mut connection).await?;
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

fn texts<T: Display>(things: &[T]) -> Vec<String> {
    things.iter().map(T::to_string).collect()
}
