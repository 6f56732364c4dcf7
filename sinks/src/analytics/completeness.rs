//! How much of the log ClickHouse holds, and what it adds up to, for the audit to compare with
//! PostgreSQL at a watermark (design section 9, invariant 6).

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use schemas::{
    Currency, Timestamp, Topic,
    events::{ClaimStatus, PayoutStep},
};
use serde::Deserialize;
use stream::Partition;

/// How far a partition of the log is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completeness {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// Every record below this offset is in.
    pub next_offset: i64,
    /// Every record that the log took before this time is in.
    pub complete_up_to: Timestamp,
}

/// What ClickHouse holds, after deduplication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClickHouseTotals {
    /// Clicks.
    pub clicks: u64,
    /// Reports: records of `conversions` that a decision was made on.
    pub reports: u64,
    /// Claims that are not retired, and their money.
    pub claims: BTreeMap<(Currency, ClaimStatus), ClaimTotals>,
    /// Payouts, by their newest step; `None` is `queued`.
    pub payouts: BTreeMap<(Currency, Option<PayoutStep>), PayoutTotals>,
}

/// Claims of one currency and status. Sums are in millionths of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClaimTotals {
    /// How many.
    pub claims: u64,
    /// What will be, or is, owed.
    pub expected: SplitTotals,
    /// What stands in the books.
    pub posted: SplitTotals,
    /// What was paid out of the users' part.
    pub paid_micros: i128,
}

/// The parts of many splits, each summed, in millionths of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitTotals {
    /// What networks owe.
    pub commission_micros: i128,
    /// What the platform adds.
    pub subsidy_micros: i128,
    /// What the platform keeps.
    pub fee_micros: i128,
    /// The shoppers' parts.
    pub user_micros: i128,
    /// The creators' parts.
    pub creator_micros: i128,
}

/// Payouts of one currency and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayoutTotals {
    /// How many.
    pub payouts: u64,
    /// Their amounts, in millionths of a unit.
    pub amount_micros: i128,
}

/// Why totals can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TotalsError {
    /// ClickHouse refused or can't be reached.
    #[error("totals can't be read from ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// A column holds something that this program did not write.
    #[error("ClickHouse holds {found:?}, which is no {expected}")]
    Unexpected {
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
}

#[derive(Debug, Row, Deserialize)]
struct CompletenessRow {
    topic: String,
    partition: i32,
    next_offset: u64,
    complete_up_to: i64,
}

/// How far each partition is in, by topic and partition; one that nothing came from yet is
/// absent. An answer from the tables of a topic is complete up to the earliest of its partitions.
///
/// # Errors
/// When ClickHouse can't be reached or its schema is missing.
pub async fn complete_up_to(
    client: &Client,
) -> Result<Vec<Completeness>, clickhouse::error::Error> {
    reached(client, "hissaback.v_completeness").await
}

/// How far each partition is in the aggregates, likewise.
///
/// # Errors
/// As [`complete_up_to`].
pub async fn aggregates_complete_up_to(
    client: &Client,
) -> Result<Vec<Completeness>, clickhouse::error::Error> {
    reached(client, "hissaback.v_aggregate_completeness").await
}

async fn reached(
    client: &Client,
    view: &str,
) -> Result<Vec<Completeness>, clickhouse::error::Error> {
    let rows = client
        .query(&format!(
            "SELECT ?fields FROM {view} ORDER BY topic, partition"
        ))
        .fetch_all::<CompletenessRow>()
        .await?;
    rows.into_iter()
        .map(|row| {
            let invalid = |what: String| clickhouse::error::Error::Custom(what);
            Ok(Completeness {
                topic: row.topic.parse().map_err(invalid)?,
                partition: row.partition,
                next_offset: i64::try_from(row.next_offset)
                    .map_err(|_| invalid(format!("offset {} is out of range", row.next_offset)))?,
                complete_up_to: Timestamp::from_millis(row.complete_up_to),
            })
        })
        .collect()
}

/// Whether everything below the given end of each partition is in. An end of 0 always is.
pub fn covers(complete: &[Completeness], ends: &BTreeMap<Partition, i64>) -> bool {
    ends.iter().all(|((topic, partition), end)| {
        let reached = complete
            .iter()
            .find(|found| found.topic == *topic && found.partition == *partition)
            .map_or(0, |found| found.next_offset);
        reached >= *end
    })
}

#[derive(Debug, Row, Deserialize)]
struct ClaimTotalsRow {
    currency: String,
    status: String,
    claims: u64,
    expected_commission_sum: i128,
    expected_subsidy_sum: i128,
    expected_fee_sum: i128,
    expected_user_sum: i128,
    expected_creator_sum: i128,
    posted_commission_sum: i128,
    posted_subsidy_sum: i128,
    posted_fee_sum: i128,
    posted_user_sum: i128,
    posted_creator_sum: i128,
    paid_sum: i128,
}

#[derive(Debug, Row, Deserialize)]
struct PayoutTotalsRow {
    currency: String,
    state: String,
    payouts: u64,
    amount_sum: i128,
}

/// What ClickHouse holds. Several queries: the numbers belong together only while nothing is
/// inserted, or if [`complete_up_to`] says the same before and after.
///
/// # Errors
/// When ClickHouse can't be reached, or holds what this program did not write.
pub async fn totals(client: &Client) -> Result<ClickHouseTotals, TotalsError> {
    Ok(ClickHouseTotals {
        clicks: count(client, "SELECT count() FROM hissaback.v_clicks").await?,
        reports: count(client, "SELECT count() FROM hissaback.v_conversions").await?,
        claims: claims(client).await?,
        payouts: payouts(client).await?,
    })
}

async fn count(client: &Client, query: &str) -> Result<u64, TotalsError> {
    Ok(client.query(query).fetch_one().await?)
}

async fn claims(
    client: &Client,
) -> Result<BTreeMap<(Currency, ClaimStatus), ClaimTotals>, TotalsError> {
    // Aliases must not be the columns' names: an aggregate would be taken of the aggregate.
    let rows = client
        .query(
            "SELECT currency, status, count() AS claims,
                 sum(expected_commission) AS expected_commission_sum,
                 sum(expected_subsidy) AS expected_subsidy_sum,
                 sum(expected_fee) AS expected_fee_sum,
                 sum(expected_user) AS expected_user_sum,
                 sum(expected_creator) AS expected_creator_sum,
                 sum(posted_commission) AS posted_commission_sum,
                 sum(posted_subsidy) AS posted_subsidy_sum,
                 sum(posted_fee) AS posted_fee_sum,
                 sum(posted_user) AS posted_user_sum,
                 sum(posted_creator) AS posted_creator_sum,
                 sum(paid_amount) AS paid_sum
             FROM hissaback.v_claims GROUP BY currency, status",
        )
        .fetch_all::<ClaimTotalsRow>()
        .await?;
    rows.into_iter()
        .map(|row| {
            let key = (parse_currency(&row.currency)?, parse_status(&row.status)?);
            let totals = ClaimTotals {
                claims: row.claims,
                expected: SplitTotals {
                    commission_micros: row.expected_commission_sum,
                    subsidy_micros: row.expected_subsidy_sum,
                    fee_micros: row.expected_fee_sum,
                    user_micros: row.expected_user_sum,
                    creator_micros: row.expected_creator_sum,
                },
                posted: SplitTotals {
                    commission_micros: row.posted_commission_sum,
                    subsidy_micros: row.posted_subsidy_sum,
                    fee_micros: row.posted_fee_sum,
                    user_micros: row.posted_user_sum,
                    creator_micros: row.posted_creator_sum,
                },
                paid_micros: row.paid_sum,
            };
            Ok((key, totals))
        })
        .collect()
}

async fn payouts(
    client: &Client,
) -> Result<BTreeMap<(Currency, Option<PayoutStep>), PayoutTotals>, TotalsError> {
    let rows = client
        .query(
            "SELECT currency, state, count() AS payouts, sum(amount) AS amount_sum
             FROM hissaback.v_payouts GROUP BY currency, state",
        )
        .fetch_all::<PayoutTotalsRow>()
        .await?;
    rows.into_iter()
        .map(|row| {
            let key = (
                parse_currency(&row.currency)?,
                parse_payout_state(&row.state)?,
            );
            Ok((
                key,
                PayoutTotals {
                    payouts: row.payouts,
                    amount_micros: row.amount_sum,
                },
            ))
        })
        .collect()
}

fn parse_currency(text: &str) -> Result<Currency, TotalsError> {
    text.parse().map_err(|_| unexpected(text, "currency"))
}

fn parse_status(text: &str) -> Result<ClaimStatus, TotalsError> {
    [
        ClaimStatus::Pending,
        ClaimStatus::Review,
        ClaimStatus::Confirmed,
        ClaimStatus::Rejected,
        ClaimStatus::Paid,
        ClaimStatus::Reversed,
    ]
    .into_iter()
    .find(|status| status.name() == text)
    .ok_or_else(|| unexpected(text, "claim status"))
}

fn parse_payout_state(text: &str) -> Result<Option<PayoutStep>, TotalsError> {
    if text == "queued" {
        return Ok(None);
    }
    [
        PayoutStep::Sending,
        PayoutStep::Cancelled,
        PayoutStep::Funded,
        PayoutStep::ErrorSoft,
        PayoutStep::ErrorHard,
    ]
    .into_iter()
    .find(|step| step.name() == text)
    .map(Some)
    .ok_or_else(|| unexpected(text, "payout state"))
}

fn unexpected(found: &str, expected: &'static str) -> TotalsError {
    TotalsError::Unexpected {
        found: found.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_when_every_partition_has_reached_its_end() {
        let complete = [Completeness {
            topic: Topic::Clicks,
            partition: 0,
            next_offset: 10,
            complete_up_to: Timestamp::from_millis(0),
        }];
        let ends = |ends: &[(i32, i64)]| -> BTreeMap<Partition, i64> {
            ends.iter()
                .map(|(partition, end)| ((Topic::Clicks, *partition), *end))
                .collect()
        };
        assert!(covers(&complete, &ends(&[(0, 10), (1, 0)])));
        assert!(!covers(&complete, &ends(&[(0, 11)])));
        assert!(!covers(&complete, &ends(&[(0, 10), (1, 1)])));
    }

    #[test]
    fn states_are_read_back_and_others_refused() {
        assert_eq!(
            parse_status("reversed").expect("known"),
            ClaimStatus::Reversed
        );
        assert_eq!(parse_payout_state("queued").expect("known"), None);
        assert_eq!(
            parse_payout_state("error_soft").expect("known"),
            Some(PayoutStep::ErrorSoft)
        );
        for result in [
            parse_status("gone").map(|_| ()),
            parse_payout_state("gone").map(|_| ()),
            parse_currency("XXX").map(|_| ()),
        ] {
            assert!(matches!(result, Err(TotalsError::Unexpected { .. })));
        }
    }
}
