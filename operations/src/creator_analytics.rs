//! What a creator's shop earned: from the aggregates in ClickHouse, which may lag and say how far
//! they are.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use chrono::{Days, NaiveDate};
use clickhouse::{Client, Row};
use rust_decimal::Decimal;
use schemas::{Currency, TenantId, Timestamp, Topic};
use serde::{Deserialize, Serialize, Serializer};
use sinks::analytics::completeness::{self, Completeness};
use stream::Clock;

/// How old the newest complete state may be before an answer says that it is behind.
const BEHIND_MS: i64 = 60_000;
/// What the figures come from.
const TOPICS: [Topic; 2] = [Topic::Clicks, Topic::Ledger];

/// Whole days of clicks up to today, both in, UTC. As text: `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    days: u16,
}

/// This is no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period is a number of days from 1d to {}d", Period::DAYS_MAX)]
pub struct PeriodError;

impl Period {
    /// The longest: as long as clicks are kept by default.
    pub const DAYS_MAX: u16 = 731;

    /// First and last day of the period that ends now.
    fn until(self, now: Timestamp) -> (NaiveDate, NaiveDate) {
        let today = now.to_datetime().date_naive();
        let before = Days::new(u64::from(self.days) - 1);
        (today.checked_sub_days(before).unwrap_or(today), today)
    }
}

impl Default for Period {
    /// 30 days.
    fn default() -> Self {
        Self { days: 30 }
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let digits = text.strip_suffix('d').ok_or(PeriodError)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PeriodError);
        }
        let days = digits.parse().map_err(|_| PeriodError)?;
        if (1..=Self::DAYS_MAX).contains(&days) {
            Ok(Self { days })
        } else {
            Err(PeriodError)
        }
    }
}

/// What a tenant's clicks of a period came to. Money is what stands in the ledger's books, per
/// currency, in units of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreatorSummary {
    /// Whose.
    pub tenant_id: TenantId,
    /// First day of clicks, UTC.
    pub from: NaiveDate,
    /// Last day of clicks, itself in.
    pub to: NaiveDate,
    /// Clicks, without those of known bots.
    pub clicks: u64,
    /// Claims on the period's clicks, whatever their status.
    pub conversions: u64,
    /// Of them, those that are confirmed or paid.
    pub approved: u64,
    /// The creator's own part.
    pub earnings: BTreeMap<Currency, Sum>,
    /// What went to shoppers.
    pub shared: BTreeMap<Currency, Sum>,
    /// All that the log took before it is counted; nothing while that isn't known of every
    /// partition.
    pub complete_up_to: Option<Timestamp>,
    /// Whether that is more than a minute ago.
    pub behind: bool,
}

/// A sum in a currency; in JSON a string with the currency's decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum(Decimal);

impl Sum {
    /// From millionths of a unit. Books hold whole minor units.
    fn of_micros(micros: i128, currency: Currency) -> Option<Self> {
        let mut sum = Decimal::try_from_i128_with_scale(micros, 6).ok()?;
        sum.rescale(currency.exponent());
        Some(Self(sum))
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum CreatorAnalyticsError {
    /// ClickHouse refuses, can't be reached, or was never filled.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// ClickHouse holds what this program did not write.
    #[error("ClickHouse holds {0}")]
    Unexpected(String),
}

#[derive(Debug, Row, Deserialize)]
struct CurrencyRow {
    currency: String,
    clicks: u64,
    conversions: u64,
    approved: u64,
    earnings: i128,
    shared: i128,
}

/// Answers from the aggregates.
#[derive(Clone)]
pub struct CreatorAnalytics {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl CreatorAnalytics {
    /// Of the ClickHouse that `client` speaks to.
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }

    /// What the tenant's clicks of the period came to. Nothing of another tenant is read.
    ///
    /// # Errors
    /// When ClickHouse fails, or holds what this program did not write.
    pub async fn summary(
        &self,
        tenant_id: TenantId,
        period: Period,
    ) -> Result<CreatorSummary, CreatorAnalyticsError> {
        let now = self.clock.now();
        let (from, to) = period.until(now);
        let rows = self
            .client
            .query(
                "SELECT toString(currency) AS currency,
                        toUInt64(sum(clicks) - sum(bot_clicks)) AS clicks,
                        sum(conversions) AS conversions, sum(approved) AS approved,
                        sum(creator_earnings) AS earnings, sum(user_earnings) AS shared
                 FROM hissaback.v_daily_performance
                 WHERE tenant_id = toUUID(?) AND day >= toDate(?) AND day <= toDate(?)
                 GROUP BY currency",
            )
            .bind(tenant_id.to_string())
            .bind(from.to_string())
            .bind(to.to_string())
            .fetch_all::<CurrencyRow>();
        // Before the sums: they are at least as complete as this says.
        let complete = completeness::aggregates_complete_up_to(&self.client).await?;
        let complete_up_to = complete_up_to(&complete);
        let mut summary = CreatorSummary {
            tenant_id,
            from,
            to,
            clicks: 0,
            conversions: 0,
            approved: 0,
            earnings: BTreeMap::new(),
            shared: BTreeMap::new(),
            complete_up_to,
            behind: complete_up_to.is_none_or(|at| now.millis_since(at) > BEHIND_MS),
        };
        for row in rows.await? {
            summary.add(&row)?;
        }
        Ok(summary)
    }
}

impl CreatorSummary {
    fn add(&mut self, row: &CurrencyRow) -> Result<(), CreatorAnalyticsError> {
        self.clicks += row.clicks;
        self.conversions += row.conversions;
        self.approved += row.approved;
        // Clicks stand apart: they have no currency.
        if row.currency.is_empty() {
            return Ok(());
        }
        let unexpected = |what: String| CreatorAnalyticsError::Unexpected(what);
        let currency: Currency = row
            .currency
            .parse()
            .map_err(|_| unexpected(format!("the currency {:?}", row.currency)))?;
        for (sums, micros) in [
            (&mut self.earnings, row.earnings),
            (&mut self.shared, row.shared),
        ] {
            let sum = Sum::of_micros(micros, currency)
                .ok_or_else(|| unexpected(format!("a sum of {micros} millionths")))?;
            sums.insert(currency, sum);
        }
        Ok(())
    }
}

/// The earliest of all partitions.
fn complete_up_to(complete: &[Completeness]) -> Option<Timestamp> {
    let mut earliest = None;
    for topic in TOPICS {
        for partition in 0..topic.partitions() {
            let found = complete
                .iter()
                .find(|found| (found.topic, found.partition) == (topic, partition))?;
            let at = found.complete_up_to;
            earliest = Some(earliest.map_or(at, |earliest: Timestamp| earliest.min(at)));
        }
    }
    earliest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_of_days() {
        let until = |text: &str| {
            let period: Period = text.parse().expect("a period");
            let (from, to) = period.until(Timestamp::from_millis(1_790_000_000_000));
            (from.to_string(), to.to_string())
        };
        let day = |text: &str| text.to_owned();
        assert_eq!(until("1d"), (day("2026-09-21"), day("2026-09-21")));
        assert_eq!(until("30d"), (day("2026-08-23"), day("2026-09-21")));
        assert_eq!("30d".parse(), Ok(Period::default()));
        for text in [
            "", "d", "30", "0d", "732d", "-1d", "+1d", "1.5d", "30D", "99999d",
        ] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError), "{text}");
        }
    }

    #[test]
    fn a_sum_has_the_decimals_of_its_currency() {
        for (code, micros, text) in [
            ("INR", 63_970_000, "63.97"),
            ("INR", -5_000_000, "-5.00"),
            ("JPY", 5_000_000, "5"),
            ("KWD", 1_234_000, "1.234"),
        ] {
            let sum = Sum::of_micros(micros, code.parse().expect("a currency"));
            assert_eq!(sum.expect("small").0.to_string(), text);
        }
        assert!(Sum::of_micros(i128::MAX, Currency::INR).is_none());
    }

    #[test]
    fn complete_is_what_every_partition_is() {
        let partition = |topic, partition, millis| Completeness {
            topic,
            partition,
            next_offset: 1,
            complete_up_to: Timestamp::from_millis(millis),
        };
        let mut all: Vec<Completeness> = TOPICS
            .into_iter()
            .flat_map(|topic| {
                (0..topic.partitions()).map(move |number| partition(topic, number, 500))
            })
            .collect();
        assert_eq!(complete_up_to(&all), Some(Timestamp::from_millis(500)));
        all[1].complete_up_to = Timestamp::from_millis(400);
        assert_eq!(complete_up_to(&all), Some(Timestamp::from_millis(400)));
        all.remove(0);
        assert_eq!(complete_up_to(&all), None);
    }
}
