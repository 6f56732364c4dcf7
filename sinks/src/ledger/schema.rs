//! How the schema stands to the program, and how a server's is brought up to date.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};

use super::database::{self, MIGRATIONS, SchemaError};

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
pub async fn state(connection: &mut PgConnection) -> sqlx::Result<SchemaState> {
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
        let name = format!(
            "{:04}_{}",
            migration.version,
            migration.description.replace(' ', "_")
        );
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
const LOCK: &str = "hissaback.migrate";

/// Brings the schema up to date, as the owner, and returns the names of the migrations that it
/// applied. Safe to run twice and from several processes at once: one works, the others wait for
/// it, and each migration is told by one of them.
///
/// # Errors
/// As [`database::migrate`].
pub async fn bring_up_to_date(owner: &PgConnectOptions) -> Result<Vec<String>, SchemaError> {
    // The lock is this session's: it goes with it, however this ends.
    let mut guard = PgConnection::connect_with(owner).await?;
    sqlx::query("SELECT pg_advisory_lock(hashtext($1))")
        .bind(LOCK)
        .execute(&mut guard)
        .await?;
    let outstanding = state(&mut guard).await?.outstanding;
    database::migrate(owner.clone()).await?;
    // So that a process can tell that it came before its migrations.
    sqlx::query("GRANT SELECT ON _sqlx_migrations TO hissaback_writer, hissaback_operator")
        .execute(&mut guard)
        .await?;
    guard.close().await?;
    Ok(outstanding)
}
