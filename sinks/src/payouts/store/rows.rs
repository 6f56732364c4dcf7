//! Rows to values and back.

use chrono::{DateTime, Utc};
use processors::rules::payouts::PayoutState;
use rust_decimal::Decimal;
use schemas::{Amount, Currency, PayoutId, Timestamp};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::StoreError;
use crate::payouts::{agcod::Expected, lifecycle::Dispatch};

pub(super) fn payout_id(row: &PgRow) -> Result<PayoutId, StoreError> {
    Ok(PayoutId::new(row.try_get("payout_id")?))
}

/// From a row of `payouts.state` and the columns of `payout_dispatch`.
pub(super) fn dispatch(row: &PgRow, payout_id: PayoutId) -> Result<Dispatch, StoreError> {
    let count = |column: &'static str| -> Result<u32, StoreError> {
        u32::try_from(row.try_get::<i32, _>(column)?)
            .map_err(|_| StoreError::Unreadable { payout_id, column })
    };
    Ok(Dispatch {
        state: state(row)?,
        attempts: count("attempts")?,
        first_attempt_at: instant(row, "first_attempt_at")?,
        round_attempts: count("round_attempts")?,
        round_began_at: instant(row, "round_began_at")?,
        next_attempt_at: instant(row, "next_attempt_at")?,
        ambiguous: row.try_get("ambiguous")?,
        in_flight: instant(row, "leased_until")?.is_some(),
        recalled: instant(row, "recalled_at")?.is_some(),
    })
}

/// What the payout's request asks for; `None` where the row holds no amount or currency that we
/// know, which is the operator's business and must not hold up the others.
pub(super) fn expected(row: &PgRow) -> Result<Option<Expected>, StoreError> {
    let amount: Decimal = row.try_get("amount")?;
    let currency: String = row.try_get("currency")?;
    let creation_request_id: String = row.try_get("creation_request_id")?;
    Ok(
        match (Amount::from_decimal(amount), currency.parse::<Currency>()) {
            (Ok(amount), Ok(currency)) => Some(Expected {
                creation_request_id,
                amount,
                currency,
            }),
            (Err(_), _) | (_, Err(_)) => None,
        },
    )
}

pub(super) fn instant(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let instant: Option<DateTime<Utc>> = row.try_get(column)?;
    Ok(instant.map(Timestamp::from))
}

/// From `payouts.state`.
pub(super) fn state(row: &PgRow) -> Result<PayoutState, StoreError> {
    let name: String = row.try_get("state")?;
    let known = PayoutState::ALL
        .into_iter()
        .find(|state| state.name() == name);
    known.ok_or(StoreError::UnknownState(name))
}

/// Writes the states of payouts whose rows are locked.
pub(super) async fn write_states(
    connection: &mut PgConnection,
    states: &[(PayoutId, PayoutState)],
) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    let (ids, names): (Vec<Uuid>, Vec<&str>) = states
        .iter()
        .map(|(payout_id, state)| (payout_id.uuid(), state.name()))
        .unzip();
    sqlx::query(
        "UPDATE payouts p SET state = n.state
         FROM unnest($1::uuid[], $2::text[]) AS n (payout_id, state)
         WHERE p.payout_id = n.payout_id",
    )
    .bind(ids)
    .bind(names)
    .execute(connection)
    .await?;
    Ok(())
}

/// What an attempt that has ended leaves for the operator: nothing after a funded card.
pub(super) type LastError = Option<String>;

/// Writes everything but the payouts' states, of rows that are locked, and where it is given what
/// the last attempt came to. `lease_ms` is given exactly when their attempts are in flight.
pub(super) async fn write_dispatches(
    connection: &mut PgConnection,
    dispatches: &[(PayoutId, Dispatch, Option<LastError>)],
    lease_ms: Option<i64>,
) -> Result<(), StoreError> {
    if dispatches.is_empty() {
        return Ok(());
    }
    debug_assert!(
        dispatches
            .iter()
            .all(|(_, dispatch, _)| dispatch.in_flight == lease_ms.is_some())
    );
    let column = |instant: Option<Timestamp>| instant.map(Timestamp::to_datetime);
    let each = || dispatches.iter().map(|(_, dispatch, _)| dispatch);
    let ids: Vec<Uuid> = dispatches.iter().map(|(id, _, _)| id.uuid()).collect();
    let attempts: Vec<i32> = each().map(|one| column_count(one.attempts)).collect();
    let first_at: Vec<_> = each().map(|one| column(one.first_attempt_at)).collect();
    let round: Vec<i32> = each().map(|one| column_count(one.round_attempts)).collect();
    let round_at: Vec<_> = each().map(|one| column(one.round_began_at)).collect();
    let next_at: Vec<_> = each().map(|one| column(one.next_attempt_at)).collect();
    let ambiguous: Vec<bool> = each().map(|one| one.ambiguous).collect();
    let ended: Vec<bool> = dispatches
        .iter()
        .map(|(_, _, error)| error.is_some())
        .collect();
    let errors: Vec<Option<&str>> = dispatches
        .iter()
        .map(|(_, _, error)| error.as_ref().and_then(|error| error.as_deref()))
        .collect();
    sqlx::query(
        "UPDATE payout_dispatch d
         SET attempts = n.attempts, first_attempt_at = n.first_attempt_at,
             round_attempts = n.round_attempts, round_began_at = n.round_began_at,
             next_attempt_at = n.next_attempt_at, ambiguous = n.ambiguous,
             last_error = CASE WHEN n.ended THEN n.error ELSE d.last_error END,
             -- Without a lease the sum is NULL, which is what no attempt in flight means.
             leased_until = clock_timestamp() + $10 * interval '1 millisecond'
         FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::int[], $5::timestamptz[],
                     $6::timestamptz[], $7::boolean[], $8::boolean[], $9::text[])
              AS n (payout_id, attempts, first_attempt_at, round_attempts, round_began_at,
                    next_attempt_at, ambiguous, ended, error)
         WHERE d.payout_id = n.payout_id",
    )
    .bind(ids)
    .bind(attempts)
    .bind(first_at)
    .bind(round)
    .bind(round_at)
    .bind(next_at)
    .bind(ambiguous)
    .bind(ended)
    .bind(errors)
    .bind(lease_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts stay far below the column's limit; at the limit they stop.
pub(super) fn column_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
