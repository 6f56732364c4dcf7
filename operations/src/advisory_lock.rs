//! One process at a time: PostgreSQL's advisory locks, held by a connection of their own.

use sqlx::{Connection, PgConnection, PgPool};

/// A lock that is held. The connection is out of the pool: the lock goes with it, however its
/// holder ends.
pub(crate) struct AdvisoryLock {
    connection: PgConnection,
    name: &'static str,
}

impl AdvisoryLock {
    /// Takes the lock, if it is free.
    pub(crate) async fn take(pool: &PgPool, name: &'static str) -> sqlx::Result<Option<Self>> {
        let mut connection = pool.acquire().await?.detach();
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext($1))")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        Ok(taken.then_some(Self { connection, name }))
    }

    /// Fails where the connection broke: then the lock may be another process's by now.
    pub(crate) async fn confirm(&mut self) -> sqlx::Result<()> {
        self.connection.ping().await
    }

    /// Gives the lock up, before this returns.
    pub(crate) async fn release(mut self) -> sqlx::Result<()> {
        sqlx::query("SELECT pg_advisory_unlock(hashtext($1))")
            .bind(self.name)
            .execute(&mut self.connection)
            .await?;
        self.connection.close().await
    }
}
