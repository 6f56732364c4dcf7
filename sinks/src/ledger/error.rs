use schemas::{Topic, codec::CodecError};

use super::payout_hold::PayoutHold;

/// What keeps the ledger from applying records.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// PostgreSQL refused or did not answer. Nothing was applied.
    #[error("the ledger's database: {0}")]
    Database(#[from] sqlx::Error),
    /// Another consumer moved the position: this one is stale, and must read it anew.
    #[error("fenced: {topic}/{partition} was expected at {expected} and stands at {found}")]
    Fenced {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
        /// Where this consumer believed it to be.
        expected: i64,
        /// Where it is.
        found: i64,
    },
    /// Payouts may have been made that the tables don't know of yet.
    #[error("the ledger is being rebuilt: nobody is paid until it has caught up")]
    Rebuilding,
    /// A money invariant was broken, and no operator has let payouts go on.
    #[error("{0}")]
    PayoutsHeld(PayoutHold),
    /// A stored record can't be read back.
    #[error("a stored record can't be read: {0}")]
    Stored(#[from] CodecError),
    /// A sum left its range.
    #[error(transparent)]
    Overflow(#[from] schemas::MoneyOverflow),
    /// A stored value isn't what the schema allows.
    #[error("a stored value is invalid: {0}")]
    Invalid(String),
    /// A row can't be turned into JSON.
    #[error("a row can't be encoded: {0}")]
    Encode(#[from] serde_json::Error),
    /// The log refused or did not answer.
    #[error(transparent)]
    Log(#[from] stream::LogError),
    /// The log did not take records.
    #[error(transparent)]
    Append(#[from] stream::AppendError),
}
