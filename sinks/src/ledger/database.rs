//! Connections and migrations.

use std::time::Duration;

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Every migration, in the order of its number; they are part of the binary.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Role of the sinks: all rows, no personal data beyond what payouts need.
pub const WRITER: &str = "hissaback_writer";
/// Role of operators and their commands.
pub const OPERATOR: &str = "hissaback_operator";
/// Role of requests of shoppers and creators: the rows of the tenant or user that is set.
pub const API: &str = "hissaback_api";

/// Why the schema can't be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A later version of the program has been here.
    #[error(
        "the database has migration {found}, and this program knows those up to {known}: start \
         the version of the program that made it, or a later one; nothing was changed"
    )]
    Newer {
        /// The first migration that isn't known.
        found: i64,
        /// The newest that this program has.
        known: i64,
    },
    /// A migration isn't the one that was applied under its number.
    #[error(
        "migration {0} was applied in another form than this program has: start the version of \
         the program that made the database; nothing was changed"
    )]
    Changed(i64),
    /// A migration failed, and was undone; those before it stay.
    #[error("migration {number} failed and was undone: {source}")]
    Failed {
        /// Which.
        number: i64,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database can't be reached, or refuses.
    #[error(transparent)]
    Migrate(MigrateError),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Migrate(error.into())
    }
}

/// Brings the schema up to date, as the owner. Safe to run twice and from several processes at
/// once: one works, the others wait. Each migration is one transaction.
///
/// # Errors
/// When the database can't be reached, a migration fails (it is undone), or the schema is newer
/// than this binary.
pub async fn migrate(owner: PgConnectOptions) -> Result<(), SchemaError> {
    migrate_with(&MIGRATIONS, owner).await
}

/// The same with other migrations than this program's.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_with(
    migrations: &Migrator,
    owner: PgConnectOptions,
) -> Result<(), SchemaError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(owner)
        .await?;
    let migrated = migrations.run(&pool).await;
    pool.close().await;
    let known = migrations.iter().map(|migration| migration.version).max();
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(found) => SchemaError::Newer {
            found,
            known: known.unwrap_or_default(),
        },
        MigrateError::VersionMismatch(number) => SchemaError::Changed(number),
        MigrateError::ExecuteMigration(source, number) => SchemaError::Failed { number, source },
        other => SchemaError::Migrate(other),
    })
}

/// How long a session may stand idle inside a transaction. A future that is dropped while it begins
/// one (a client that hangs up) leaves it open in the pool; PostgreSQL ends such a session, and its
/// locks with it.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "30s";
/// How long a statement waits for a lock that somebody else holds. Ours are held for the length of
/// a batch; after this it is a stranger's, the transaction is given up, and health says so.
const LOCK_TIMEOUT: &str = "5s";
/// How long a task waits for a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of at most `connections_max` connections.
///
/// # Errors
/// When the first connection can't be made.
pub async fn connect(options: PgConnectOptions, connections_max: u32) -> sqlx::Result<PgPool> {
    let options = options.application_name("hissaback").options([
        (
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION_TIMEOUT,
        ),
        ("lock_timeout", LOCK_TIMEOUT),
    ]);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(CONNECTION_TIMEOUT)
        .connect_with(options)
        .await
}
