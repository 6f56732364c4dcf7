//! The second ledger: a database of its own on the ledger's server, made and dropped again.

use sinks::ledger::database;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgConnectOptions};

use super::VerifyError;
use crate::advisory_lock::AdvisoryLock;

/// Its name. One verification at a time has it.
const DATABASE: &str = "hissaback_verification";
const LOCK: &str = "hissaback.verification";
const CONNECTIONS: u32 = 4;

/// How to connect to the ledger's server.
#[derive(Debug, Clone)]
pub struct ScratchConnections {
    /// As somebody who may make databases.
    pub maker: PgConnectOptions,
    /// As the owner of the schema.
    pub owner: PgConnectOptions,
    /// As the writer.
    pub writer: PgConnectOptions,
}

/// An empty ledger.
pub struct Scratch {
    /// Connections to it, as the writer.
    pub pool: PgPool,
    maker: PgConnectOptions,
    lock: AdvisoryLock,
}

impl Scratch {
    /// Makes the database, in the place of one that an interrupted verification left.
    ///
    /// # Errors
    /// When another verification is under way, or the database can't be made.
    pub async fn make(ledger: &PgPool, with: ScratchConnections) -> Result<Self, VerifyError> {
        let lock = AdvisoryLock::take(ledger, LOCK).await?;
        let lock = lock.ok_or(VerifyError::Running)?;
        let mut maker = PgConnection::connect_with(&with.maker).await?;
        let owner = with.owner.get_username();
        let make = format!("CREATE DATABASE {DATABASE} OWNER \"{owner}\"");
        for statement in [drop_statement(), make] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut maker)
                .await
                .map_err(VerifyError::Scratch)?;
        }
        maker.close().await?;
        database::migrate(with.owner.database(DATABASE)).await?;
        Ok(Self {
            pool: database::connect(with.writer.database(DATABASE), CONNECTIONS).await?,
            maker: with.maker,
            lock,
        })
    }

    /// Drops it.
    ///
    /// # Errors
    /// When the database can't be dropped; the next verification does it.
    pub async fn drop(self) -> Result<(), VerifyError> {
        self.pool.close().await;
        let mut maker = PgConnection::connect_with(&self.maker).await?;
        sqlx::query(AssertSqlSafe(drop_statement()))
            .execute(&mut maker)
            .await
            .map_err(VerifyError::Scratch)?;
        maker.close().await?;
        Ok(self.lock.release().await?)
    }
}

fn drop_statement() -> String {
    format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
}
