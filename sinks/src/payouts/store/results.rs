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

/// Puts steps into the outbox, in the transaction that takes them; returns the sequences of their
/// rows. A row is gone when the log has its step.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    results: &[PayoutResult],
) -> Result<Vec<i64>, StoreError> {
    Ok(outbox::enqueue_all(connection, results, |result| result.payout_id.to_string()).await?)
}
