//! Connections and migrations.

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

/// Brings the schema up to date, as the owner. Safe to run twice and from several processes at
/// once.
///
/// # Errors
/// When the database can't be reached, a migration fails (it is undone), or the schema is newer
/// than this binary.
pub async fn migrate(owner: PgConnectOptions) -> Result<(), MigrateError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(owner)
        .await?;
    let migrated = MIGRATIONS.run(&pool).await;
    pool.close().await;
    migrated
}

/// How long a session may stand idle inside a transaction. A future that is dropped while it begins
/// one (a client that hangs up) leaves it open in the pool; PostgreSQL ends such a session, and its
/// locks with it.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "30s";

/// A pool of at most `connections_max` connections.
///
/// # Errors
/// When the first connection can't be made.
pub async fn connect(options: PgConnectOptions, connections_max: u32) -> sqlx::Result<PgPool> {
    let options = options.application_name("hissaback").options([(
        "idle_in_transaction_session_timeout",
        IDLE_IN_TRANSACTION_TIMEOUT,
    )]);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .connect_with(options)
        .await
}
