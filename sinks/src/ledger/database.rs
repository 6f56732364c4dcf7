//! Connections and migrations.

use std::collections::BTreeMap;

use sqlx::{
    Connection, PgConnection, PgPool, Row,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Every migration, in the order of its number; they are part of the binary.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Role of the sinks: all rows, no personal data beyond what payouts need.
pub const WRITER: &str = "hissaback_writer";
/// Role of operators and their commands.
pub const OPERATOR: &str = "hissaback_operator";

/// How the schema of a database stands to the migrations of this program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaState {
    /// Migrations that the database lacks, by number and name, in order.
    pub outstanding: Vec<String>,
    /// Migrations that were changed after they had been applied, or whose application broke off.
    pub changed: Vec<String>,
    /// Numbers of migrations that only a newer program knows.
    pub newer: Vec<i64>,
}

impl SchemaState {
    /// Whether this program can work with it. A newer schema is one that it can work with:
    /// migrations first expand, and contract once no older program runs.
    pub fn usable(&self) -> bool {
        self.outstanding.is_empty() && self.changed.is_empty()
    }
}

/// Compares the schema with the migrations, changing nothing. The owner may ask, and once it has
/// migrated so may writer and operator.
///
/// # Errors
/// When the database can't be read.
pub async fn schema_state(connection: &mut PgConnection) -> sqlx::Result<SchemaState> {
    let noted: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let rows = if noted {
        sqlx::query("SELECT version, checksum, success FROM _sqlx_migrations")
            .fetch_all(connection)
            .await?
    } else {
        Vec::new()
    };
    let mut applied = BTreeMap::new();
    for row in rows {
        let checksum: Vec<u8> = row.try_get("checksum")?;
        let success: bool = row.try_get("success")?;
        applied.insert(row.try_get::<i64, _>("version")?, (checksum, success));
    }
    let mut state = SchemaState::default();
    for migration in MIGRATIONS.iter() {
        let name = format!("{:04}_{}", migration.version, migration.description);
        match applied.remove(&migration.version) {
            None => state.outstanding.push(name),
            Some((checksum, true)) if checksum == *migration.checksum => {}
            Some(_) => state.changed.push(name),
        }
    }
    state.newer = applied.into_keys().collect();
    Ok(state)
}

/// Whoever migrates holds it.
const MIGRATION_LOCK: &str = "hissaback.migrate";

/// Brings the schema up to date, as the owner, and returns the names of the migrations that it
/// applied. Safe to run twice and from several processes at once: one works, the others wait for
/// it.
///
/// # Errors
/// When the database can't be reached, a migration fails (it is undone), or the schema is newer
/// than this binary.
pub async fn migrate(owner: PgConnectOptions) -> Result<Vec<String>, MigrateError> {
    // The lock is this session's: it goes with it, however this ends.
    let mut guard = PgConnection::connect_with(&owner).await?;
    sqlx::query("SELECT pg_advisory_lock(hashtext($1))")
        .bind(MIGRATION_LOCK)
        .execute(&mut guard)
        .await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(owner)
        .await?;
    let migrated = migrate_alone(&pool).await;
    pool.close().await;
    guard.close().await?;
    migrated
}

async fn migrate_alone(pool: &PgPool) -> Result<Vec<String>, MigrateError> {
    let mut connection = pool.acquire().await?;
    let outstanding = schema_state(&mut connection).await?.outstanding;
    drop(connection);
    MIGRATIONS.run(pool).await?;
    // So that a process can tell that it came before its migrations.
    sqlx::query("GRANT SELECT ON _sqlx_migrations TO hissaback_writer, hissaback_operator")
        .execute(pool)
        .await?;
    Ok(outstanding)
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
