//! The services that the roles run on: embedded in one machine (the log in this process,
//! PostgreSQL and the ClickHouse engine as supervised children, under one data directory), or
//! servers elsewhere. [`Placement`] says which is where.

mod health;
mod log;
mod placement;
mod postgres;

use std::sync::Arc;

use anyhow::Context;
use api::{ComponentState, HealthReport, HealthSource};
use operations::verification::ScratchConnections;
use secrecy::ExposeSecret;
use sinks::analytics::Cluster;
use sqlx::{PgConnection, PgPool};
use stream::{Clock, Log, registry::EmbeddedRegistry};

use self::health::{Probe, answered, component, of_log, supervised};
pub use self::{
    health::{Starting, register_health},
    log::{LOG_DIRECTORY, OpenLog, open_embedded, open_on_brokers},
    placement::{
        ClickHousePlace, KafkaPlace, LogPlace, Placement, PlacementError, PostgresPlace,
        RegistryPlace, kafka_place,
    },
    postgres::{Postgres, postgres_may_return},
};
use crate::{
    configuration::Configuration,
    embedded::{ClickHouseAvailability, ClickHouseOptions, DataDirectory},
    roles::Role,
    secrets::Secrets,
};

/// Whoever keeps analytics in an engine of its own, beside a server that others use too, holds it.
const ENGINE_LOCK: &str = "hissaback.embedded_analytics";

/// Everything that is up.
pub struct Platform {
    /// The role that the process has, where it has one only.
    pub role: Option<Role>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Serves the schemas of a log on brokers, where no registry is configured.
    registry: Option<EmbeddedRegistry>,
    /// Connections of the sinks.
    pub writer: PgPool,
    /// The analytics engine, a server, or neither.
    pub clickhouse: ClickHouseAvailability,
    /// The cluster that ClickHouse is, if it is one.
    pub clickhouse_cluster: Option<Cluster>,
    clickhouse_probe: Option<Probe>,
    /// Holds [`ENGINE_LOCK`] where that is called for.
    _engine_lock: Option<PgConnection>,
    postgres: Postgres,
    secrets: Option<Secrets>,
    /// Its lock is held until this is dropped.
    _data: Option<DataDirectory>,
}

impl Platform {
    /// Brings up what is embedded, at the schema of this program, and connects to what isn't.
    ///
    /// # Errors
    /// One sentence with the remedy: a data directory is in use, of another version or can't be
    /// written, a component is missing, a migration failed, a server refuses us.
    pub async fn start(
        placement: &Placement,
        clock: Arc<dyn Clock>,
        starting: &Starting,
    ) -> anyhow::Result<Self> {
        let data = open_data_directory(placement)?;
        let secrets = load_secrets(placement, data.as_ref())?;
        let opened = log::open(placement, data.as_ref(), Arc::clone(&clock), starting).await?;
        let (postgres, clickhouse) = tokio::join!(
            Postgres::start(placement, data.as_ref(), starting),
            start_clickhouse(placement, data.as_ref()),
        );
        let (postgres, clickhouse) = (postgres?, clickhouse?);
        if let ClickHouseAvailability::Off(missing) = &clickhouse {
            tracing::warn!(reason = %missing, "analytics is off");
        }
        Ok(Self {
            role: placement.role,
            clock,
            log: opened.log,
            registry: opened.registry,
            writer: postgres.writer.clone(),
            clickhouse_probe: probe(&clickhouse),
            clickhouse_cluster: match &placement.clickhouse {
                ClickHousePlace::Server(_, cluster) => cluster.clone(),
                ClickHousePlace::Embedded | ClickHousePlace::Unused => None,
            },
            _engine_lock: lock_engine(placement, &clickhouse, &postgres.writer).await?,
            clickhouse,
            postgres,
            secrets,
            _data: data,
        })
    }

    /// Connections of operators' commands.
    ///
    /// # Errors
    /// When the process isn't one of those that have them.
    pub fn operator(&self) -> anyhow::Result<&PgPool> {
        self.postgres.operator()
    }

    /// Connections of shoppers' and creators' requests, where there are any.
    pub fn api(&self) -> Option<&PgPool> {
        self.postgres.api()
    }

    /// How to make a second ledger beside this one.
    ///
    /// # Errors
    /// When nothing is known of the owner of a server's database.
    pub fn scratch(&self, configuration: &Configuration) -> anyhow::Result<ScratchConnections> {
        self.postgres.scratch(configuration)
    }

    /// Keys and tokens.
    ///
    /// # Errors
    /// When the process isn't one of those that have them.
    pub fn secrets(&self) -> anyhow::Result<&Secrets> {
        self.secrets
            .as_ref()
            .context("this process isn't given any secrets")
    }

    /// The state of each component, told at once.
    pub fn health(&self) -> HealthSource {
        // What the process can go on without makes it degraded; without the rest it fails.
        let severity = |dispensable: bool| {
            if dispensable {
                ComponentState::Degraded
            } else {
                ComponentState::Failing
            }
        };
        let log = Arc::clone(&self.log);
        let postgres = self
            .postgres
            .health(severity(self.role.is_some_and(Role::outlives_postgres)));
        let otherwise = severity(self.role != Some(Role::Analytics));
        let engine = match &self.clickhouse {
            ClickHouseAvailability::Embedded(engine) => Some(engine.health()),
            ClickHouseAvailability::Server(_)
            | ClickHouseAvailability::Off(_)
            | ClickHouseAvailability::Unused => None,
        };
        let server = self.clickhouse_probe.as_ref().map(Probe::state);
        let analytics_off = match &self.clickhouse {
            ClickHouseAvailability::Off(missing) => Some(missing.to_string()),
            ClickHouseAvailability::Server(_)
            | ClickHouseAvailability::Embedded(_)
            | ClickHouseAvailability::Unused => None,
        };
        Arc::new(move || {
            let mut report = HealthReport::default();
            let mut tell = |name: &str, health| {
                report.components.insert(name.to_owned(), health);
            };
            tell("log", of_log(&log.health()));
            tell("postgres", postgres());
            if let Some(engine) = &engine {
                tell("analytics", supervised(&engine.borrow(), otherwise));
            } else if let Some(server) = &server {
                tell("analytics", answered(&server.borrow(), otherwise));
            } else if let Some(reason) = &analytics_off {
                tell(
                    "analytics",
                    component(ComponentState::Off, Some(reason.clone())),
                );
            }
            report
        })
    }

    /// Takes everything down, cleanly. The roles have ended before.
    ///
    /// # Errors
    /// When a service can't be stopped; what it held is recovered at the next start.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.log.close().await;
        if let Some(registry) = self.registry {
            registry.stop().await;
        }
        self.clickhouse.stop().await?;
        self.postgres.stop().await
    }
}

/// Opens the data directory, where anything is embedded.
///
/// # Errors
/// When it can't be used, or another process has it.
pub fn open_data_directory(placement: &Placement) -> anyhow::Result<Option<DataDirectory>> {
    let open = |path| DataDirectory::open(path);
    Ok(placement.data_dir.as_ref().map(open).transpose()?)
}

/// Reads the secrets, where the process has a use for them.
///
/// # Errors
/// When they can't be read.
pub fn load_secrets(
    placement: &Placement,
    data: Option<&DataDirectory>,
) -> anyhow::Result<Option<Secrets>> {
    let load = |source| Secrets::load(source, data.map(DataDirectory::path));
    Ok(placement.secrets.as_ref().map(load).transpose()?)
}

async fn start_clickhouse(
    placement: &Placement,
    data: Option<&DataDirectory>,
) -> anyhow::Result<ClickHouseAvailability> {
    let url = match &placement.clickhouse {
        ClickHousePlace::Unused => return Ok(ClickHouseAvailability::Unused),
        ClickHousePlace::Server(url, _) => Some(url.expose_secret()),
        ClickHousePlace::Embedded => None,
    };
    Ok(ClickHouseAvailability::choose(url, data, ClickHouseOptions::default()).await?)
}

/// Asks a ClickHouse server how it is.
fn probe(clickhouse: &ClickHouseAvailability) -> Option<Probe> {
    match clickhouse {
        ClickHouseAvailability::Server(client) => {
            // Its database may not be there yet.
            let client = client.as_ref().clone().with_database("default");
            Some(Probe::start(move || {
                let answer = client.query("SELECT 1");
                async move { answer.fetch_one::<u8>().await.map(drop) }
            }))
        }
        ClickHouseAvailability::Embedded(_)
        | ClickHouseAvailability::Off(_)
        | ClickHouseAvailability::Unused => None,
    }
}

/// Instances of analytics share the log out among them: two that each fed an engine of their own
/// would each have half.
async fn lock_engine(
    placement: &Placement,
    clickhouse: &ClickHouseAvailability,
    writer: &PgPool,
) -> anyhow::Result<Option<PgConnection>> {
    let alone = matches!(placement.postgres, PostgresPlace::Embedded);
    if alone || !matches!(clickhouse, ClickHouseAvailability::Embedded(_)) {
        return Ok(None);
    }
    let mut connection = writer.acquire().await?.detach();
    let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext($1))")
        .bind(ENGINE_LOCK)
        .fetch_one(&mut connection)
        .await?;
    anyhow::ensure!(
        taken,
        "another process keeps analytics in an embedded ClickHouse, and each would have half: set \
         clickhouse.url (CLICKHOUSE_URL)"
    );
    Ok(Some(connection))
}
