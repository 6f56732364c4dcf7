//! How shoppers want to be paid.

use schemas::{Timestamp, UserId};
use sqlx::PgConnection;

use super::LedgerError;

/// The rail that a shopper chose, in force at `as_of`; `None` where they chose none. The caller
/// holds the payee's lock.
pub(super) async fn chosen(
    connection: &mut PgConnection,
    user_id: UserId,
    as_of: Timestamp,
) -> Result<Option<String>, LedgerError> {
    let method = sqlx::query_scalar(
        "SELECT method FROM user_payout_methods WHERE user_id = $1 AND effective_at <= $2
         ORDER BY effective_at DESC LIMIT 1",
    )
    .bind(user_id.uuid())
    .bind(as_of.to_datetime())
    .fetch_optional(connection)
    .await?;
    Ok(method)
}
