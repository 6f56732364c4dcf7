//! What holds of the whole ledger at present.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::{PgConnection, Row};

use super::LedgerError;

/// The row of `ledger_epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Rises with each rebuild: what the ledger publishes names it.
    pub number: i64,
    /// Whether a rebuild is under way.
    pub rebuilding: bool,
    /// Claims on clicks before this instant are final: their reports are past their period
    /// (`hissaback retention run`) and gone, and no record moves them any more.
    pub retired_before: Timestamp,
}

/// The epoch. Stands still for as long as the caller's transaction shares the lock of names.
pub(super) async fn current(connection: &mut PgConnection) -> Result<Epoch, LedgerError> {
    let row = sqlx::query("SELECT epoch, rebuilding, reports_retired_before FROM ledger_epoch")
        .fetch_one(connection)
        .await?;
    let before: Option<DateTime<Utc>> = row.try_get("reports_retired_before")?;
    Ok(Epoch {
        number: row.try_get("epoch")?,
        rebuilding: row.try_get("rebuilding")?,
        retired_before: before.map_or(Timestamp::from_millis(i64::MIN), Timestamp::from),
    })
}
