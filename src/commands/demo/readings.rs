//! Reads what the product made of the demo's traffic: from PostgreSQL, ClickHouse and the fake
//! gift-card service.

use std::{collections::HashMap, time::SystemTime};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemas::{ClickId, EventId, TenantId, Timestamp, UserId};
use sinks::{analytics::completeness::ClickHouseTotals, payouts::fake_agcod::FakeAgcod};
use sqlx::{PgPool, Row};

use crate::demo::{
    oracle::{ClaimKey, Fates},
    summary::{
        Actual, ActualBalance, ActualClaim, ActualPayee, ActualPayout, AnalyticsSum, RailCard,
    },
};

/// When each report was committed, on the real clock.
pub type Commits = HashMap<EventId, SystemTime>;

/// Everything that the summary compares.
///
/// # Errors
/// When the database can't be read.
pub async fn read(
    pool: &PgPool,
    fates: Fates,
    commits: &Commits,
    agcod: &FakeAgcod,
    analytics: Option<&ClickHouseTotals>,
) -> sqlx::Result<Actual> {
    Ok(Actual {
        fates,
        claims: claims(pool, commits).await?,
        balances: balances(pool).await?,
        payees: payees(pool).await?,
        payouts: payouts(pool).await?,
        rail_cards: Some(cards(agcod)),
        analytics: analytics.map(sums),
    })
}

async fn claims(pool: &PgPool, commits: &Commits) -> sqlx::Result<Vec<ActualClaim>> {
    let rows = sqlx::query(
        "SELECT l.led_id, l.click_id, c.network_conversion_id, c.txn_id, c.goal_id, l.status,
                l.currency::text AS currency, l.posted_commission, l.posted_subsidy, l.posted_fee,
                l.posted_user, l.posted_creator, l.paid_amount
         FROM ledger l
         JOIN conversions c ON c.conv_id = l.led_id AND c.click_id = l.click_id
              AND c.clicked_at = l.clicked_at AND c.fate <> 'undone'",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ActualClaim {
                key: ClaimKey {
                    click_id: ClickId::new(row.try_get("click_id")?),
                    conversion_id: row.try_get("network_conversion_id")?,
                    txn_id: row.try_get("txn_id")?,
                    goal_id: row.try_get("goal_id")?,
                },
                status: row.try_get("status")?,
                currency: row.try_get("currency")?,
                commission: row.try_get("posted_commission")?,
                subsidy: row.try_get("posted_subsidy")?,
                fee: row.try_get("posted_fee")?,
                user: row.try_get("posted_user")?,
                creator: row.try_get("posted_creator")?,
                paid: row.try_get("paid_amount")?,
                written_at: commits.get(&EventId::new(row.try_get("led_id")?)).copied(),
            })
        })
        .collect()
}

async fn balances(pool: &PgPool) -> sqlx::Result<Vec<ActualBalance>> {
    let rows = sqlx::query(
        "SELECT tenant_id, account, currency::text AS currency, sum(amount) AS amount
         FROM postings GROUP BY tenant_id, account, currency",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ActualBalance {
                tenant_id: TenantId::new(row.try_get("tenant_id")?),
                account: row.try_get("account")?,
                currency: row.try_get("currency")?,
                amount: row.try_get("amount")?,
            })
        })
        .collect()
}

async fn payees(pool: &PgPool) -> sqlx::Result<Vec<ActualPayee>> {
    let rows = sqlx::query(
        "SELECT tenant_id, user_id, currency::text AS currency, sum(amount) AS amount
         FROM postings WHERE account = 'user_payable' GROUP BY tenant_id, user_id, currency",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ActualPayee {
                tenant_id: TenantId::new(row.try_get("tenant_id")?),
                user_id: UserId::new(row.try_get("user_id")?),
                currency: row.try_get("currency")?,
                amount: row.try_get("amount")?,
            })
        })
        .collect()
}

async fn payouts(pool: &PgPool) -> sqlx::Result<Vec<ActualPayout>> {
    let rows = sqlx::query(
        "SELECT as_of, tenant_id, user_id, currency::text AS currency, amount, state
         FROM payouts WHERE state <> 'cancelled'",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let as_of: DateTime<Utc> = row.try_get("as_of")?;
            Ok(ActualPayout {
                as_of: Timestamp::from(as_of),
                tenant_id: TenantId::new(row.try_get("tenant_id")?),
                user_id: UserId::new(row.try_get("user_id")?),
                currency: row.try_get("currency")?,
                amount: row.try_get("amount")?,
                state: row.try_get("state")?,
            })
        })
        .collect()
}

/// Cards that somebody can spend, by the service's own account.
fn cards(agcod: &FakeAgcod) -> Vec<RailCard> {
    agcod
        .cards()
        .into_values()
        .filter(|card| !card.refunded)
        .map(|card| RailCard {
            currency: card.currency.to_string(),
            amount: card.amount.to_decimal(),
        })
        .collect()
}

fn sums(totals: &ClickHouseTotals) -> Vec<AnalyticsSum> {
    let units = |micros: i128| Decimal::from_i128_with_scale(micros, 6).normalize();
    let mut sums: HashMap<String, AnalyticsSum> = HashMap::new();
    for ((currency, _status), claims) in &totals.claims {
        let currency = currency.to_string();
        let sum = sums
            .entry(currency.clone())
            .or_insert_with(|| AnalyticsSum {
                currency,
                claims: 0,
                commission: Decimal::ZERO,
                user: Decimal::ZERO,
                creator: Decimal::ZERO,
                fee: Decimal::ZERO,
            });
        sum.claims += claims.claims;
        sum.commission += units(claims.posted.commission_micros);
        sum.user += units(claims.posted.user_micros);
        sum.creator += units(claims.posted.creator_micros);
        sum.fee += units(claims.posted.fee_micros);
    }
    sums.into_values().collect()
}
