//! ClickHouse equals PostgreSQL at a watermark, in counts and sums (design section 9, invariant 6):
//! its events, and what they are aggregated to by hour and by day.

use std::collections::BTreeMap;

use clickhouse::Client;
use processors::rules::payouts::PayoutState;
use schemas::{
    Currency, Topic,
    events::{ClaimStatus, PayoutStep},
};
use sinks::analytics::{
    MigrationError,
    aggregates::{self, Difference},
    completeness::{self, ClaimTotals, ClickHouseTotals, PayoutTotals, SplitTotals},
    outstanding_migrations,
};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use stream::{Log, Partition};

use super::{
    AuditError,
    report::{Finding, Invariant},
};

const INVARIANT: Invariant = Invariant {
    number: 6,
    name: "analytics_agree",
    statement: "ClickHouse equals PostgreSQL at a watermark, in counts and sums",
    money: false,
};

/// What ClickHouse's tables are filled from.
const TOPICS: [Topic; 5] = [
    Topic::Clicks,
    Topic::Decisions,
    Topic::Ledger,
    Topic::Payouts,
    Topic::PayoutResults,
];

pub(super) async fn check(
    pool: &PgPool,
    clickhouse: Option<&Client>,
    log: &dyn Log,
) -> Result<Finding, AuditError> {
    let Some(client) = clickhouse else {
        return Ok(Finding::not_checked(INVARIANT, "analytics is off"));
    };
    match outstanding_migrations(client).await {
        Ok(outstanding) if outstanding.is_empty() => {}
        Ok(_) => {
            let reason = "ClickHouse's schema isn't up to date yet";
            return Ok(Finding::not_checked(INVARIANT, reason));
        }
        Err(MigrationError::ClickHouse(error)) => return Err(error.into()),
        // Of another version of the program, such as the next one while it is rolled out.
        Err(error @ (MigrationError::Newer { .. } | MigrationError::Changed { .. })) => {
            return Ok(Finding::not_checked(INVARIANT, error.to_string()));
        }
    }
    let complete = completeness::complete_up_to(client).await?;
    let aggregated = completeness::aggregates_complete_up_to(client).await?;
    let mut snapshot = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    let ledger = totals_of_ledger(&mut snapshot).await?;
    let folded = folded(&mut snapshot).await?;
    snapshot.commit().await?;
    let analytics = completeness::totals(client).await?;
    let aggregates = aggregates::differences(client).await?;

    // Read last: whoever reached these ends has all that the log ever held up to here.
    let ends = ends(log).await?;
    let Some(folded) = folded else {
        let reason = "the ledger has changes that are not in the log yet";
        return Ok(Finding::not_checked(INVARIANT, reason));
    };
    let reached = |partition: &Partition| folded.get(partition).copied().unwrap_or_default();
    let ledger_behind = ends
        .iter()
        .any(|(partition, end)| partition.0 != Topic::Ledger && reached(partition) < *end);
    if ledger_behind {
        return Ok(Finding::not_checked(INVARIANT, "the ledger is behind"));
    }
    if !completeness::covers(&complete, &ends) {
        return Ok(Finding::not_checked(INVARIANT, "ClickHouse is behind"));
    }
    if !completeness::covers(&aggregated, &ends) {
        return Ok(Finding::not_checked(INVARIANT, "the aggregates are behind"));
    }
    let mut differences = differences(&ledger, &analytics);
    differences.extend(aggregates.iter().map(aggregate_difference));
    let figure = i64::try_from(differences.len()).unwrap_or(i64::MAX);
    Ok(Finding::of_rows(INVARIANT, figure, differences))
}

async fn ends(log: &dyn Log) -> Result<BTreeMap<Partition, i64>, AuditError> {
    let mut ends = BTreeMap::new();
    for topic in TOPICS {
        for partition in 0..topic.partitions() {
            let high = log.watermarks(topic, partition).await?.high;
            ends.insert((topic, partition), high);
        }
    }
    Ok(ends)
}

/// How far the ledger has read; `None` while its outbox holds something.
async fn folded(
    connection: &mut PgConnection,
) -> Result<Option<BTreeMap<Partition, i64>>, AuditError> {
    let outbox: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM outbox)")
        .fetch_one(&mut *connection)
        .await?;
    if outbox {
        return Ok(None);
    }
    let rows: Vec<(String, i32, i64)> = sqlx::query_as(
        "SELECT topic, partition, next_offset FROM consumer_positions WHERE consumer = $1",
    )
    .bind(sinks::ledger::CONSUMER)
    .fetch_all(connection)
    .await?;
    let mut folded = BTreeMap::new();
    for (topic, partition, next) in rows {
        folded.insert(
            (topic.parse().map_err(AuditError::Invalid)?, partition),
            next,
        );
    }
    Ok(Some(folded))
}

/// The ledger's side, in ClickHouse's shape.
async fn totals_of_ledger(connection: &mut PgConnection) -> Result<ClickHouseTotals, AuditError> {
    let (clicks, reports): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM clicks),
                (SELECT count(*) FROM reports) + (SELECT count(*) FROM unmatched_conversions)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let claims = sqlx::query(
        "SELECT currency::text AS currency, status, count(*) AS count,
                sum(expected_commission) AS expected_commission,
                sum(expected_subsidy) AS expected_subsidy, sum(expected_fee) AS expected_fee,
                sum(user_amount) AS expected_user, sum(creator_amount) AS expected_creator,
                sum(posted_commission) AS posted_commission,
                sum(posted_subsidy) AS posted_subsidy, sum(posted_fee) AS posted_fee,
                sum(posted_user) AS posted_user, sum(posted_creator) AS posted_creator,
                sum(paid_amount) AS paid
         FROM ledger GROUP BY 1, 2",
    )
    .fetch_all(&mut *connection)
    .await?;
    let payouts = sqlx::query(
        "SELECT currency::text AS currency, state, count(*) AS count, sum(amount) AS amount
         FROM payouts GROUP BY 1, 2",
    )
    .fetch_all(connection)
    .await?;
    Ok(ClickHouseTotals {
        clicks: count(clicks)?,
        reports: count(reports)?,
        claims: claims.iter().map(claim_totals).collect::<Result<_, _>>()?,
        payouts: payouts
            .iter()
            .map(payout_totals)
            .collect::<Result<_, _>>()?,
    })
}

fn claim_totals(row: &PgRow) -> Result<((Currency, ClaimStatus), ClaimTotals), AuditError> {
    let split = |[commission, subsidy, fee, user, creator]: [&str; 5]| {
        Ok::<_, AuditError>(SplitTotals {
            commission_micros: micros(row, commission)?,
            subsidy_micros: micros(row, subsidy)?,
            fee_micros: micros(row, fee)?,
            user_micros: micros(row, user)?,
            creator_micros: micros(row, creator)?,
        })
    };
    let status: &str = row.try_get("status")?;
    let status = serde_json::from_value(status.into())
        .map_err(|error| AuditError::Invalid(format!("status {status:?}: {error}")))?;
    let totals = ClaimTotals {
        claims: count(row.try_get("count")?)?,
        expected: split([
            "expected_commission",
            "expected_subsidy",
            "expected_fee",
            "expected_user",
            "expected_creator",
        ])?,
        posted: split([
            "posted_commission",
            "posted_subsidy",
            "posted_fee",
            "posted_user",
            "posted_creator",
        ])?,
        paid_micros: micros(row, "paid")?,
    };
    Ok(((currency(row)?, status), totals))
}

fn payout_totals(
    row: &PgRow,
) -> Result<((Currency, Option<PayoutStep>), PayoutTotals), AuditError> {
    let name: &str = row.try_get("state")?;
    let state = PayoutState::ALL
        .into_iter()
        .find(|state| state.name() == name)
        .ok_or_else(|| AuditError::Invalid(format!("payout state {name:?}")))?;
    let step = match state {
        PayoutState::Queued => None,
        PayoutState::Sending => Some(PayoutStep::Sending),
        PayoutState::Cancelled => Some(PayoutStep::Cancelled),
        PayoutState::Funded => Some(PayoutStep::Funded),
        PayoutState::ErrorSoft => Some(PayoutStep::ErrorSoft),
        PayoutState::ErrorHard => Some(PayoutStep::ErrorHard),
    };
    let totals = PayoutTotals {
        payouts: count(row.try_get("count")?)?,
        amount_micros: micros(row, "amount")?,
    };
    Ok(((currency(row)?, step), totals))
}

fn currency(row: &PgRow) -> Result<Currency, AuditError> {
    let code: &str = row.try_get("currency")?;
    code.parse()
        .map_err(|error| AuditError::Invalid(format!("currency {code:?}: {error}")))
}

fn count(number: i64) -> Result<u64, AuditError> {
    u64::try_from(number).map_err(|_| AuditError::Invalid(format!("a count of {number}")))
}

/// A sum in millionths of a unit.
fn micros(row: &PgRow, column: &str) -> Result<i128, AuditError> {
    let sum: rust_decimal::Decimal = row.try_get(column)?;
    let invalid = || AuditError::Invalid(format!("{column} {sum}"));
    let exact = sum.normalize();
    let places = 6_u32.checked_sub(exact.scale()).ok_or_else(invalid)?;
    exact
        .mantissa()
        .checked_mul(10_i128.pow(places))
        .ok_or_else(invalid)
}

/// An aggregate that isn't what its events add up to.
fn aggregate_difference(difference: &Difference) -> serde_json::Value {
    serde_json::json!({
        "total": format!("{} {}", difference.level, difference.currency),
        "events": format!("{:?}", difference.events),
        "aggregates": format!("{:?}", difference.aggregates),
    })
}

/// Every total that differs, with both sides.
fn differences(ledger: &ClickHouseTotals, analytics: &ClickHouseTotals) -> Vec<serde_json::Value> {
    fn by_key<K: Ord + std::fmt::Debug, T: PartialEq + std::fmt::Debug>(
        what: &str,
        ledger: &BTreeMap<K, T>,
        analytics: &BTreeMap<K, T>,
        found: &mut Vec<serde_json::Value>,
    ) {
        let mut keys: Vec<_> = ledger.keys().chain(analytics.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let (left, right) = (ledger.get(key), analytics.get(key));
            if left != right {
                found.push(serde_json::json!({
                    "total": format!("{what} {key:?}"),
                    "postgresql": left.map(|totals| format!("{totals:?}")),
                    "clickhouse": right.map(|totals| format!("{totals:?}")),
                }));
            }
        }
    }
    let mut found = Vec::new();
    for (what, left, right) in [
        ("clicks", ledger.clicks, analytics.clicks),
        ("reports", ledger.reports, analytics.reports),
    ] {
        if left != right {
            found.push(serde_json::json!({
                "total": what, "postgresql": left, "clickhouse": right,
            }));
        }
    }
    by_key("claims", &ledger.claims, &analytics.claims, &mut found);
    by_key("payouts", &ledger.payouts, &analytics.payouts, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_totals_differ_nowhere_and_others_are_shown_with_both_sides() {
        let payouts = |count| {
            let totals = PayoutTotals {
                payouts: count,
                amount_micros: 5_000_000,
            };
            BTreeMap::from([((Currency::INR, Some(PayoutStep::Funded)), totals)])
        };
        let ledger = ClickHouseTotals {
            clicks: 3,
            payouts: payouts(1),
            ..ClickHouseTotals::default()
        };
        assert!(differences(&ledger, &ledger).is_empty());
        let analytics = ClickHouseTotals {
            clicks: 2,
            payouts: BTreeMap::new(),
            ..ClickHouseTotals::default()
        };
        let found = differences(&ledger, &analytics);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["postgresql"], 3);
        assert_eq!(found[1]["clickhouse"], serde_json::Value::Null);
    }
}
