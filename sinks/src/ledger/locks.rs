//! The lock order: names, heals, click partitions, orders, payees; sorted within a class, and never
//! back to an earlier one. Rows are inserted first where they may be missing, then locked.

use std::collections::BTreeSet;

use processors::rules::history::OrderKey;
use schemas::{ClickId, NetworkId, OfferId, Position, Topic, UserId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::LedgerError;

/// Lets records that look for each other by name find each other: a command and the claim's first
/// report, a payout and its step, a heal and the parked record. Both may be on their way at once,
/// in transactions that don't see each other. The rare side takes this lock alone, reports share
/// it.
pub(super) async fn names(connection: &mut PgConnection, alone: bool) -> Result<(), LedgerError> {
    let lock = if alone {
        "SELECT pg_advisory_xact_lock(hashtext('hissaback.ledger.names'))"
    } else {
        "SELECT pg_advisory_xact_lock_shared(hashtext('hissaback.ledger.names'))"
    };
    sqlx::query(lock).execute(connection).await?;
    Ok(())
}

/// Locks parked positions that heals compete for.
pub(super) async fn heals(
    connection: &mut PgConnection,
    parked: &BTreeSet<Position>,
) -> Result<(), LedgerError> {
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = parked
        .iter()
        .map(|position| (position.partition, position.offset))
        .unzip();
    sqlx::query(
        "INSERT INTO healed_positions SELECT * FROM unnest($1::int[], $2::bigint[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&partitions)
    .bind(&offsets)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "SELECT FROM healed_positions
         WHERE (source_partition, source_offset) IN
               (SELECT * FROM unnest($1::int[], $2::bigint[]))
         ORDER BY source_partition, source_offset FOR UPDATE",
    )
    .bind(&partitions)
    .bind(&offsets)
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the partitions of clicks that change. By the click's own partition, whichever the
/// record came in by: a click has one lock.
pub(super) async fn click_partitions(
    connection: &mut PgConnection,
    clicks: impl Iterator<Item = ClickId>,
) -> Result<(), LedgerError> {
    let partitions: BTreeSet<i32> = clicks
        .map(|click| Topic::Conversions.partition_for(click.to_string().as_bytes()))
        .collect();
    let partitions: Vec<_> = partitions.into_iter().collect();
    sqlx::query("INSERT INTO fold_locks SELECT * FROM unnest($1::int[]) ON CONFLICT DO NOTHING")
        .bind(&partitions)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "SELECT FROM fold_locks WHERE source_partition = ANY($1)
         ORDER BY source_partition FOR UPDATE",
    )
    .bind(&partitions)
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks orders, and gives those that had been named before: one that is new is locked by having
/// been inserted.
pub(super) async fn orders(
    connection: &mut PgConnection,
    orders: &BTreeSet<OrderKey>,
) -> Result<BTreeSet<OrderKey>, LedgerError> {
    let (networks, offers, transactions) = order_columns(orders);
    let new = sqlx::query(
        "INSERT INTO orders SELECT * FROM unnest($1::int[], $2::int[], $3::text[])
         ON CONFLICT DO NOTHING RETURNING network_id, offer_id, txn_id",
    )
    .bind(&networks)
    .bind(&offers)
    .bind(&transactions)
    .fetch_all(&mut *connection)
    .await?;
    let mut known = orders.clone();
    for row in &new {
        known.remove(&OrderKey {
            network_id: NetworkId::new(row.try_get("network_id")?),
            offer_id: OfferId::new(row.try_get("offer_id")?),
            txn_id: row.try_get("txn_id")?,
        });
    }
    if known.is_empty() {
        return Ok(known);
    }
    let (networks, offers, transactions) = order_columns(&known);
    sqlx::query(
        "SELECT FROM orders
         WHERE (network_id, offer_id, txn_id) IN
               (SELECT * FROM unnest($1::int[], $2::int[], $3::text[]))
         ORDER BY network_id, offer_id, txn_id FOR UPDATE",
    )
    .bind(&networks)
    .bind(&offers)
    .bind(&transactions)
    .execute(connection)
    .await?;
    Ok(known)
}

/// Order keys as columns.
pub(super) fn order_columns(orders: &BTreeSet<OrderKey>) -> (Vec<i32>, Vec<i32>, Vec<&str>) {
    let networks = orders.iter().map(|order| order.network_id.get()).collect();
    let offers = orders.iter().map(|order| order.offer_id.get()).collect();
    let transactions = orders.iter().map(|order| order.txn_id.as_str()).collect();
    (networks, offers, transactions)
}

/// Locks payees.
pub(super) async fn payees(
    connection: &mut PgConnection,
    users: &BTreeSet<UserId>,
) -> Result<(), LedgerError> {
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    sqlx::query("INSERT INTO payee_locks SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING")
        .bind(&users)
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT FROM payee_locks WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE")
        .bind(&users)
        .execute(connection)
        .await?;
    Ok(())
}
