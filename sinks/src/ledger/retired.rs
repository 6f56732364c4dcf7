//! Reports past their period (`hissaback retention run`). Claims on clicks before an instant are
//! final: what they came to stays, their reports go, and no record moves them any more.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::PgConnection;

use super::LedgerError;

/// Claims on clicks before this instant are final. Stands still for as long as the caller's
/// transaction shares the lock of names.
pub(super) async fn before(connection: &mut PgConnection) -> Result<Timestamp, LedgerError> {
    let before: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT reports_retired_before FROM ledger_epoch")
            .fetch_one(connection)
            .await?;
    Ok(before.map_or(Timestamp::from_millis(i64::MIN), Timestamp::from))
}
