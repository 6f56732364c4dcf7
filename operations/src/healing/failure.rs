use processors::stage::LookupError;
use schemas::codec::CodecError;
use stream::{AppendError, LogError, Refusal};

use crate::event_ids::IdsExhausted;

/// What keeps reports from being healed.
#[derive(Debug, thiserror::Error)]
pub enum HealingError {
    /// PostgreSQL refused or did not answer.
    #[error("the database of parked reports: {0}")]
    Database(#[from] sqlx::Error),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log did not take heals, or it isn't known whether it did.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Clicks can't be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A heal can't be named.
    #[error(transparent)]
    Ids(#[from] IdsExhausted),
    /// A heal doesn't fit its schema.
    #[error("a heal can't be encoded: {0}")]
    Encode(#[from] CodecError),
}

impl HealingError {
    /// Whether waiting and doing the same again may help.
    pub fn temporary(&self) -> bool {
        match self {
            Self::Database(_) | Self::Lookup(_) | Self::Ids(_) => true,
            Self::Log(error)
            | Self::Append(
                AppendError::Indeterminate(error)
                | AppendError::Determinate(Refusal::Unavailable(error)),
            ) => may_recover(error),
            Self::Append(AppendError::Determinate(
                refusal @ (Refusal::Overloaded { .. }
                | Refusal::BatchTooLarge { .. }
                | Refusal::RecordTooLarge { .. }
                | Refusal::NoSuchPartition { .. }),
            )) => refusal.temporary(),
            Self::Encode(_) => false,
        }
    }
}

/// Whether the log may come back by itself.
fn may_recover(error: &LogError) -> bool {
    match error {
        LogError::Storage { .. } | LogError::NotAssigned { .. } => true,
        LogError::Closed
        | LogError::Failed { .. }
        | LogError::Damaged { .. }
        | LogError::NoSuchPartition { .. }
        | LogError::PositionBeyondEnd { .. }
        | LogError::PositionBeforeStart { .. }
        | LogError::InUse { .. }
        | LogError::Fenced { .. }
        | LogError::Unusable { .. } => false,
    }
}
