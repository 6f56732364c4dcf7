//! Steps on their way to the log.

use schemas::{
    PayoutId, Timestamp,
    events::{PayoutResult, PayoutStep},
};
use sqlx::PgConnection;

use super::StoreError;
use crate::ledger::outbox;

/// The step that precedes the first byte.
pub(super) fn sending(payout_id: PayoutId, at: Timestamp) -> PayoutResult {
    PayoutResult {
        payout_id,
        step: PayoutStep::Sending,
        at,
        attempt: 0,
        detail: None,
        card_id: None,
    }
}

/// Puts a step into the outbox, in the transaction that takes the step; returns its row's
/// sequence. The row is gone when the log has the step.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    result: &PayoutResult,
) -> Result<i64, StoreError> {
    let key = result.payout_id.to_string();
    Ok(outbox::enqueue(connection, &key, result).await?)
}
