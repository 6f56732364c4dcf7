//! Rows to values and back.

use chrono::{DateTime, Utc};
use processors::rules::payouts::PayoutState;
use rust_decimal::Decimal;
use schemas::{Amount, Currency, PayoutId, Timestamp};
use sqlx::{PgConnection, Row, postgres::PgRow};

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
    let state: String = row.try_get("state")?;
    Ok(Dispatch {
        state: parse_state(&state).ok_or(StoreError::Unreadable {
            payout_id,
            column: "state",
        })?,
        attempts: count("attempts")?,
        first_attempt_at: instant(row, "first_attempt_at")?,
        round_attempts: count("round_attempts")?,
        round_began_at: instant(row, "round_began_at")?,
        next_attempt_at: instant(row, "next_attempt_at")?,
        ambiguous: row.try_get("ambiguous")?,
        in_flight: instant(row, "leased_until")?.is_some(),
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

fn parse_state(text: &str) -> Option<PayoutState> {
    PayoutState::ALL
        .into_iter()
        .find(|state| state.name() == text)
}

pub(super) async fn write_state(
    connection: &mut PgConnection,
    payout_id: PayoutId,
    state: PayoutState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE payouts SET state = $2 WHERE payout_id = $1")
        .bind(payout_id.uuid())
        .bind(state.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes everything but the payout's state. `lease_ms` is given exactly when an attempt is in
/// flight.
pub(super) async fn write_dispatch(
    connection: &mut PgConnection,
    payout_id: PayoutId,
    dispatch: &Dispatch,
    lease_ms: Option<i64>,
) -> Result<(), StoreError> {
    debug_assert_eq!(dispatch.in_flight, lease_ms.is_some());
    sqlx::query(
        "UPDATE payout_dispatch
         SET attempts = $2, first_attempt_at = $3, round_attempts = $4, round_began_at = $5,
             next_attempt_at = $6, ambiguous = $7,
             leased_until = clock_timestamp() + $8 * interval '1 millisecond'
         WHERE payout_id = $1",
    )
    .bind(payout_id.uuid())
    .bind(column_count(dispatch.attempts))
    .bind(dispatch.first_attempt_at.map(Timestamp::to_datetime))
    .bind(column_count(dispatch.round_attempts))
    .bind(dispatch.round_began_at.map(Timestamp::to_datetime))
    .bind(dispatch.next_attempt_at.map(Timestamp::to_datetime))
    .bind(dispatch.ambiguous)
    // Without a lease the sum is NULL, which is what no attempt in flight means.
    .bind(lease_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts stay far below the column's limit; at the limit they stop.
pub(super) fn column_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
