//! Rates of commission, partners' own rates, and how far books are locked.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use schemas::{
    OfferId, TenantId, Timestamp,
    events::Rate,
    reference::{OverrideTerms, RateOverride, Versions},
};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Gathered, amount, percentage};
use crate::ledger::LedgerError;

/// The rate in two columns, of which one at most is set.
pub(super) fn of_row(
    row: &PgRow,
    percentage_column: &str,
    flat_column: &str,
) -> Result<Option<Rate>, LedgerError> {
    let percentage = percentage(row, percentage_column)?;
    match (percentage, amount(row, flat_column)?) {
        (Some(percentage), None) => Ok(Some(Rate::Percentage(percentage))),
        (None, Some(flat)) => Ok(Some(Rate::Flat(flat))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(LedgerError::Invalid(format!(
            "{percentage_column} and {flat_column} are both set"
        ))),
    }
}

/// Rates of single goals, by offer and version.
pub(super) async fn of_goals(
    connection: &mut PgConnection,
) -> Result<HashMap<(OfferId, i32), BTreeMap<String, Rate>>, LedgerError> {
    let mut rates: HashMap<_, BTreeMap<_, _>> = HashMap::new();
    for row in &sqlx::query("SELECT * FROM offer_goal_rates")
        .fetch_all(connection)
        .await?
    {
        let offer_id = OfferId::new(row.try_get("offer_id")?);
        let rate = of_row(row, "commission_pct", "commission_flat")?.ok_or_else(|| {
            LedgerError::Invalid(format!("offer {offer_id} has a goal without a rate"))
        })?;
        rates
            .entry((offer_id, row.try_get("version")?))
            .or_default()
            .insert(row.try_get("goal_id")?, rate);
    }
    Ok(rates)
}

/// Tenants' own rates, by tenant and offer.
pub(super) async fn overrides(
    connection: &mut PgConnection,
) -> Result<HashMap<(TenantId, OfferId), Vec<RateOverride>>, LedgerError> {
    let mut terms = Gathered::new();
    for row in &sqlx::query("SELECT * FROM commission_overrides")
        .fetch_all(connection)
        .await?
    {
        let valid_until: Option<DateTime<Utc>> = row.try_get("valid_until")?;
        let value = OverrideTerms {
            rate: of_row(row, "commission_pct", "commission_flat")?,
            valid_until: valid_until.map(Timestamp::from),
        };
        let goal_id: String = row.try_get("goal_id")?;
        let key = (
            TenantId::new(row.try_get("tenant_id")?),
            OfferId::new(row.try_get("offer_id")?),
            (!goal_id.is_empty()).then_some(goal_id),
        );
        terms.push(key, row, value)?;
    }
    let mut overrides: HashMap<_, Vec<_>> = HashMap::new();
    for ((tenant, offer, goal_id), versions) in terms.finish() {
        overrides
            .entry((tenant, offer))
            .or_default()
            .push(RateOverride { goal_id, versions });
    }
    for goals in overrides.values_mut() {
        goals.sort_by(|one, other| one.goal_id.cmp(&other.goal_id));
    }
    Ok(overrides)
}

/// Until when tenants' books are locked: the end of the last locked day.
pub(super) async fn locks(
    connection: &mut PgConnection,
) -> Result<HashMap<TenantId, Versions<Timestamp>>, LedgerError> {
    let mut locks = Gathered::new();
    let rows = sqlx::query(
        "SELECT tenant_id, version, effective_at,
                (locked_through + 1)::timestamp AT TIME ZONE 'UTC' AS locked_before
         FROM tenant_locks",
    )
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let locked_before: DateTime<Utc> = row.try_get("locked_before")?;
        let tenant = TenantId::new(row.try_get("tenant_id")?);
        locks.push(tenant, row, Timestamp::from(locked_before))?;
    }
    Ok(locks.finish())
}
