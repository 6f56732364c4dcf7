//! PostgreSQL, embedded or a server, with its connections.

use std::time::Duration;

use anyhow::{Context, ensure};
use api::{ComponentHealth, ComponentState};
use operations::verification::ScratchConnections;
use sinks::ledger::{
    database,
    schema::{self, SchemaState},
};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    health::{Probe, Starting, answered, supervised},
    placement::{Placement, PostgresPlace},
};
use crate::configuration::Configuration;
use crate::embedded::{
    DataDirectory, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER, SUPERUSER},
};

/// Connections of the roles together, where PostgreSQL is embedded; the cluster allows 60.
const WRITER_CONNECTIONS: u32 = 24;
const OPERATOR_CONNECTIONS: u32 = 4;
const API_CONNECTIONS: u32 = 12;
/// How long a server may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Conditions of a server, by SQLSTATE, that pass by themselves: too many connections; it is
/// stopping, has crashed, or is starting.
const PASSING: [&str; 4] = ["53300", "57P01", "57P02", "57P03"];

/// The ledger's database.
pub struct Postgres {
    /// Connections of the sinks.
    pub writer: PgPool,
    operator: Option<PgPool>,
    api: Option<PgPool>,
    service: Service,
}

enum Service {
    Embedded(Box<EmbeddedPostgres>),
    Server(Probe),
}

impl Postgres {
    /// Starts the embedded cluster and brings its schema up to date, or connects to a server,
    /// whose schema `hissaback migrate` has brought up to date.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub async fn start(
        placement: &Placement,
        data: Option<&DataDirectory>,
        starting: &Starting,
    ) -> anyhow::Result<Self> {
        match &placement.postgres {
            PostgresPlace::Embedded => {
                let data = data.context("an embedded PostgreSQL needs a data directory")?;
                Self::embed(data).await
            }
            PostgresPlace::Server {
                writer,
                operator,
                api,
                connections,
            } => {
                let mut postgres =
                    Self::connect(writer, operator.as_deref(), *connections, starting).await?;
                // Connected to when somebody asks: most processes serve nobody.
                postgres.api = api.as_deref().map(|options| {
                    PgPoolOptions::new()
                        .max_connections(API_CONNECTIONS)
                        .acquire_timeout(CONNECT_TIMEOUT)
                        .connect_lazy_with(options.clone())
                });
                Ok(postgres)
            }
        }
    }

    async fn embed(data: &DataDirectory) -> anyhow::Result<Self> {
        let postgres = EmbeddedPostgres::start(data, PostgresOptions::default()).await?;
        database::migrate(postgres.connect_options(OWNER, DATABASE))
            .await
            .context("the database could not be migrated")?;
        let connect = |role, connections| {
            database::connect(postgres.connect_options(role, DATABASE), connections)
        };
        Ok(Self {
            writer: connect(database::WRITER, WRITER_CONNECTIONS).await?,
            operator: Some(connect(database::OPERATOR, OPERATOR_CONNECTIONS).await?),
            api: Some(connect(database::API, API_CONNECTIONS).await?),
            service: Service::Embedded(Box::new(postgres)),
        })
    }

    async fn connect(
        writer: &PgConnectOptions,
        operator: Option<&PgConnectOptions>,
        connections: u32,
        starting: &Starting,
    ) -> anyhow::Result<Self> {
        let state = starting
            .insist("postgres", postgres_may_return, async || {
                schema_state(writer).await
            })
            .await
            .context("PostgreSQL can't be used")?;
        refuse_unless_usable(&state)?;
        let operator = match operator {
            Some(options) => Some(
                database::connect(options.clone(), OPERATOR_CONNECTIONS)
                    .await
                    .context("PostgreSQL can't be used as an operator")?,
            ),
            None => None,
        };
        Ok(Self {
            writer: database::connect(writer.clone(), connections).await?,
            operator,
            api: None,
            service: Service::Server(probe(writer)),
        })
    }

    /// Connections of operators' commands.
    ///
    /// # Errors
    /// When the process isn't one of those that have them.
    pub fn operator(&self) -> anyhow::Result<&PgPool> {
        self.operator
            .as_ref()
            .context("this process doesn't read the database as an operator")
    }

    /// Connections of shoppers' and creators' requests, where there are any.
    pub fn api(&self) -> Option<&PgPool> {
        self.api.as_ref()
    }

    /// How to make a second ledger beside this one.
    ///
    /// # Errors
    /// When nothing is known of the owner of a server's database.
    pub fn scratch(&self, configuration: &Configuration) -> anyhow::Result<ScratchConnections> {
        match &self.service {
            Service::Embedded(postgres) => Ok(ScratchConnections {
                maker: postgres.connect_options(SUPERUSER, SUPERUSER),
                owner: postgres.connect_options(OWNER, DATABASE),
                writer: postgres.connect_options(database::WRITER, DATABASE),
            }),
            Service::Server(_) => {
                let owner = configuration.postgres.owner()?.context(
                    "the log is folded into a database that the owner makes: set \
                     postgres.owner_url (DATABASE_OWNER_URL)",
                )?;
                let writer = configuration.postgres.writer()?;
                Ok(ScratchConnections {
                    maker: owner.clone(),
                    owner,
                    writer: writer.context("the writer is configured")?,
                })
            }
        }
    }

    /// Tells the state at any time; `otherwise` is what it is without an answer.
    pub(super) fn health(
        &self,
        otherwise: ComponentState,
    ) -> Box<dyn Fn() -> ComponentHealth + Send + Sync> {
        match &self.service {
            Service::Embedded(postgres) => {
                let health = postgres.health();
                Box::new(move || supervised(&health.borrow(), otherwise))
            }
            Service::Server(probe) => {
                let state = probe.state();
                Box::new(move || answered(&state.borrow(), otherwise))
            }
        }
    }

    /// Closes the connections, and stops what is embedded.
    ///
    /// # Errors
    /// When the embedded server doesn't stop in an orderly way.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.writer.close().await;
        if let Some(operator) = self.operator {
            operator.close().await;
        }
        if let Some(api) = self.api {
            api.close().await;
        }
        match self.service {
            Service::Embedded(postgres) => Ok(postgres.stop().await?),
            Service::Server(_) => Ok(()),
        }
    }
}

/// Looks at the schema over a connection of its own, which shows whether there is a server at all.
async fn schema_state(options: &PgConnectOptions) -> sqlx::Result<SchemaState> {
    let look = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let state = schema::state(&mut connection).await?;
        connection.close().await?;
        Ok(state)
    };
    timeout(CONNECT_TIMEOUT, look)
        .await
        .unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
}

fn refuse_unless_usable(state: &SchemaState) -> anyhow::Result<()> {
    ensure!(
        state.usable(),
        "the database lacks migrations of this program ({}): run `hissaback migrate` first",
        [state.outstanding.as_slice(), &state.changed]
            .concat()
            .join(", ")
    );
    if !state.newer.is_empty() {
        tracing::warn!(versions = ?state.newer, "the database's schema is newer than this program");
    }
    Ok(())
}

/// Whether a server may take us in later: it is away, or busy with itself. Not so where it knows
/// neither user nor database.
pub fn postgres_may_return(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(refused) => refused
            .code()
            .is_some_and(|code| PASSING.contains(&code.as_ref())),
        _ => false,
    }
}

/// Over a connection of its own, so that a pool that is busy doesn't look like a server that is
/// away.
fn probe(options: &PgConnectOptions) -> Probe {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options.clone());
    Probe::start(move || {
        let pool = pool.clone();
        async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_away_may_come_back() {
        let nowhere = PgConnectOptions::new_without_pgpass().socket("/nonexistent");
        let error = schema_state(&nowhere).await.expect_err("nobody is there");
        assert!(postgres_may_return(&error), "{error}");
        assert!(!postgres_may_return(&sqlx::Error::RowNotFound));
    }

    #[test]
    fn a_database_that_was_not_migrated_is_refused_with_the_remedy() {
        let mut state = SchemaState {
            newer: vec![99],
            ..SchemaState::default()
        };
        assert!(refuse_unless_usable(&state).is_ok());
        state.outstanding.push("0005_comments".to_owned());
        let error = refuse_unless_usable(&state)
            .expect_err("outstanding")
            .to_string();
        assert!(
            error.contains("hissaback migrate") && error.contains("0005_comments"),
            "{error}"
        );
    }
}
