//! What the gateway says became of a message that it took.

use schemas::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use super::{StoreError, claim_codes};
use crate::payouts::sms::{DeliveryReport, DeliveryState};

/// Records a report: a message that is there needs its code no more. A report that comes again,
/// or before its message is noted as sent, is as good; one of an earlier sending says nothing of
/// the present one. Returns whether there is such a message.
///
/// # Errors
/// When the database fails.
pub async fn record(
    pool: &PgPool,
    report: &DeliveryReport,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut transaction = pool.begin().await?;
    let found: Option<Uuid> = sqlx::query_scalar(
        "SELECT message_id FROM messages
         WHERE (message_id = $1 AND resends = $2) OR (gateway_id = $3 AND $1 IS NULL)
         FOR UPDATE",
    )
    .bind(report.reference.map(|reference| reference.message_id))
    .bind(report.reference.map(|reference| reference.resends))
    .bind(report.gateway_id.as_deref())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(message_id) = found else {
        return Ok(false);
    };
    match report.state {
        DeliveryState::Delivered => {
            sqlx::query(
                "UPDATE messages SET state = 'delivered', delivered_at = $2, next_attempt_at = NULL,
                        error = NULL, sent_at = coalesce(sent_at, $2)
                 WHERE message_id = $1 AND state IN ('due', 'sent', 'failed')",
            )
            .bind(message_id)
            .bind(now.to_datetime())
            .execute(&mut *transaction)
            .await?;
            claim_codes::shred(&mut transaction, &[message_id]).await?;
        }
        DeliveryState::Failed => {
            sqlx::query(
                "UPDATE messages SET state = 'failed', next_attempt_at = NULL,
                        error = 'the gateway could not deliver it'
                 WHERE message_id = $1 AND state IN ('due', 'sent')",
            )
            .bind(message_id)
            .execute(&mut *transaction)
            .await?;
        }
        // On its way.
        DeliveryState::Underway => {}
    }
    transaction.commit().await?;
    Ok(true)
}
