//! Why a replay could not be made.

use schemas::{Position, TenantId};
use sinks::ledger::LedgerError;
use stream::LogError;
use tokio::task::JoinError;

/// Why a replay could not be made. Nothing was changed in any case.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log can't be read.
    #[error("the log can't be read: {0}")]
    Log(#[from] LogError),
    /// The log lacks a record within a partition.
    #[error("the log has no record at {0}, though it has later ones")]
    Gap(Position),
    /// The ledger can't be read.
    #[error("the ledger can't be read: {0}")]
    Ledger(#[from] LedgerError),
    /// The ledger holds more than the log: the log was replaced, or lost its end.
    #[error(
        "the ledger has read {position}, where the log ends at offset {high}: it is another log, or \
         it lost its end"
    )]
    LogLost {
        /// What the ledger would read next.
        position: Position,
        /// The end of the partition.
        high: i64,
    },
    /// The ledger is being rebuilt: there is nothing yet to compare with.
    #[error("the ledger is being rebuilt: compare it once it has caught up")]
    Rebuilding,
    /// A tenant that isn't there.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The work on a batch or a claim panicked.
    #[error("a part of the replay failed: {0}")]
    Worker(#[from] JoinError),
}

impl From<sqlx::Error> for ReplayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}
