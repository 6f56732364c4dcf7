//! A ledger that is folded anew from the log: after a restore, or into an empty database.
//!
//! Until it has caught up, the log knows more about payouts than the tables do. So a rebuilding
//! ledger publishes nothing (it was all said before), cancels nothing (a payout that looks queued
//! may have been sent), and pays nobody.

use schemas::{
    Timestamp, codec,
    events::{Command, CommandBody},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{LedgerError, locks, payouts};

/// Begins a rebuild, and a new epoch. Before the ledger's consumers start.
///
/// # Errors
/// When the database refuses.
pub async fn begin(pool: &PgPool) -> Result<(), LedgerError> {
    let mut transaction = pool.begin().await?;
    locks::names(&mut transaction, true).await?;
    // Everything that the log still holds is folded anew.
    sqlx::query(
        "UPDATE ledger_epoch
         SET epoch = epoch + 1, rebuilding = true, reports_retired_before = NULL",
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM retired_reports")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Ends a rebuild, once every topic is folded to the end that it had when the last process of the
/// old ledger had ended: cancels queued payouts that lost what they stand on, or that operators
/// gave up, where the log doesn't say so yet; and gives their number.
///
/// # Errors
/// When the database refuses; the rebuild is still under way then.
pub async fn finish(pool: &PgPool, now: Timestamp) -> Result<usize, LedgerError> {
    let mut transaction = pool.begin().await?;
    locks::names(&mut transaction, true).await?;
    sqlx::query("UPDATE ledger_epoch SET rebuilding = false")
        .execute(&mut *transaction)
        .await?;
    let payees: Vec<Uuid> =
        sqlx::query_scalar("SELECT DISTINCT user_id FROM payouts WHERE state = 'queued'")
            .fetch_all(&mut *transaction)
            .await?;
    let locked = payees.iter().copied().map(schemas::UserId::new).collect();
    locks::payees(&mut transaction, &locked).await?;
    let given_up = given_up(&mut transaction).await?;
    let cancelled = payouts::cancel_queued(&mut transaction, &given_up, now).await?
        + payouts::cancel_unfounded(&mut transaction, &payees, now).await?;
    transaction.commit().await?;
    Ok(cancelled)
}

async fn given_up(connection: &mut PgConnection) -> Result<Vec<Uuid>, LedgerError> {
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM commands WHERE conv_id IS NULL")
            .fetch_all(connection)
            .await?;
    let mut given_up = Vec::new();
    for body in bodies {
        if let CommandBody::CancelPayout(cancel) = codec::decode::<Command>(&body)?.body {
            given_up.push(cancel.payout_id.uuid());
        }
    }
    Ok(given_up)
}
