//! Whether the aggregates add up to the events that they are computed from.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use serde::Deserialize;

/// A total of the aggregates that isn't that of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `hours` or `days`.
    pub level: String,
    /// Of which currency; empty for clicks.
    pub currency: String,
    /// What the events add up to.
    pub events: Totals,
    /// What the aggregates do.
    pub aggregates: Totals,
}

/// Sums of one currency, as the view `v_totals` has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Clicks, those of bots, conversions, and these by status.
    pub counts: Vec<u64>,
    /// Amounts in millionths of a unit.
    pub amounts_micros: Vec<i128>,
}

#[derive(Debug, Row, Deserialize)]
struct TotalsRow {
    level: String,
    currency: String,
    counts: Vec<u64>,
    amounts: Vec<i128>,
}

/// Compares them. They are of one moment if nothing is inserted meanwhile, and comparable while
/// the aggregates are as complete as the events.
///
/// # Errors
/// When ClickHouse can't be reached or its schema is missing.
pub async fn differences(client: &Client) -> Result<Vec<Difference>, clickhouse::error::Error> {
    let rows = client
        .query(
            "SELECT level, currency,
                    [clicks, bot_clicks, conversions, pending, in_review, confirmed, paid,
                     rejected, reversed] AS counts,
                    [gross_commission, net_commission, subsidy, platform_fee, user_earnings,
                     creator_earnings, paid_amount] AS amounts
             FROM hissaback.v_totals",
        )
        .fetch_all::<TotalsRow>()
        .await?;
    let mut levels: BTreeMap<String, BTreeMap<String, Totals>> = BTreeMap::new();
    for row in rows {
        let totals = Totals {
            counts: row.counts,
            amounts_micros: row.amounts,
        };
        let level = levels.entry(row.level).or_default();
        // What adds up to nothing may as well be absent.
        if totals.counts.iter().any(|count| *count > 0) {
            level.insert(row.currency, totals);
        }
    }
    let events = levels.remove("events").unwrap_or_default();
    Ok(["hours", "days"]
        .into_iter()
        .flat_map(|level| {
            let aggregates = levels.remove(level).unwrap_or_default();
            compare(level, &events, &aggregates)
        })
        .collect())
}

fn compare(
    level: &str,
    events: &BTreeMap<String, Totals>,
    aggregates: &BTreeMap<String, Totals>,
) -> Vec<Difference> {
    let mut currencies: Vec<&String> = events.keys().chain(aggregates.keys()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    currencies
        .into_iter()
        .filter(|currency| events.get(*currency) != aggregates.get(*currency))
        .map(|currency| Difference {
            level: level.to_owned(),
            currency: currency.clone(),
            events: events.get(currency).cloned().unwrap_or_default(),
            aggregates: aggregates.get(currency).cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_side_lacks_differs() {
        let totals = |clicks| Totals {
            counts: vec![clicks],
            amounts_micros: vec![0],
        };
        let side = |rows: &[(&str, u64)]| -> BTreeMap<String, Totals> {
            let rows = rows.iter();
            rows.map(|(currency, clicks)| ((*currency).to_owned(), totals(*clicks)))
                .collect()
        };
        let events = side(&[("", 3), ("INR", 2)]);
        assert!(compare("days", &events, &events).is_empty());
        let differing: Vec<String> = compare("days", &events, &side(&[("", 4), ("USD", 1)]))
            .into_iter()
            .map(|difference| difference.currency)
            .collect();
        assert_eq!(differing, ["", "INR", "USD"]);
    }
}
