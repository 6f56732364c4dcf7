//! The statements that compute buckets. Numbers only are put into them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Datelike;
use clickhouse::Client;
use schemas::Timestamp;

use super::Hour;

const HOURLY_CLICKS: &str = include_str!("hourly_clicks.sql");
const HOURLY_CONVERSIONS: &str = include_str!("hourly_conversions.sql");
const DAILY_CLICKS: &str = include_str!("daily_clicks.sql");
const DAILY_CONVERSIONS: &str = include_str!("daily_conversions.sql");

const DAY_SECONDS: u32 = 24 * 60 * 60;
/// So many days are computed by one statement: each costs some tens of milliseconds however little
/// it has to do, and holds its rows in memory until they are written at once.
const DAYS_MAX: usize = 5;

/// Hours of a few days of one month, whose buckets are computed together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// Of claims: all of them.
    pub(super) hours: BTreeSet<Hour>,
    /// Of clicks too.
    pub(super) of_clicks: BTreeSet<Hour>,
}

impl Span {
    /// Spans in order; with each hour, whether its clicks have to be computed.
    pub(super) fn group(hours: impl IntoIterator<Item = (Hour, bool)>) -> Vec<Self> {
        let sorted: BTreeMap<Hour, bool> = hours.into_iter().collect();
        let mut spans: Vec<Self> = Vec::new();
        for (hour, clicks) in sorted {
            let mut span = spans.pop().unwrap_or_default();
            if !span.takes(hour) {
                spans.push(std::mem::take(&mut span));
            }
            span.hours.insert(hour);
            if clicks {
                span.of_clicks.insert(hour);
            }
            spans.push(span);
        }
        spans
    }

    /// Whether a later hour belongs to it: one insert may write into one month only.
    fn takes(&self, hour: Hour) -> bool {
        let days = days(&self.hours);
        let same_month = self
            .hours
            .first()
            .is_none_or(|first| month(*first) == month(hour));
        same_month && (days.len() < DAYS_MAX || days.contains(&day(hour)))
    }

    /// Writes the hours, and their days.
    pub(super) async fn compute(
        &self,
        client: &Client,
        version: u64,
    ) -> Result<(), clickhouse::error::Error> {
        for statement in self.statements(version) {
            client.query(&statement).execute().await?;
        }
        Ok(())
    }

    /// The statements, in the order in which they have to run.
    fn statements(&self, version: u64) -> Vec<String> {
        let mut statements = Vec::new();
        let mut add = |hourly: &str, daily: &str, hours: &BTreeSet<Hour>| {
            if !hours.is_empty() {
                statements.push(render(hourly, hours, version));
                statements.push(render(daily, hours, version));
            }
        };
        add(HOURLY_CLICKS, DAILY_CLICKS, &self.of_clicks);
        add(HOURLY_CONVERSIONS, DAILY_CONVERSIONS, &self.hours);
        statements
    }

    /// How many buckets that are: hours and days.
    pub(super) fn buckets(&self) -> u64 {
        [&self.of_clicks, &self.hours]
            .into_iter()
            .map(|hours| (hours.len() + days(hours).len()) as u64)
            .sum()
    }
}

fn render(template: &str, hours: &BTreeSet<Hour>, version: u64) -> String {
    fn list(seconds: impl Iterator<Item = u32>) -> String {
        let seconds: Vec<String> = seconds.map(|seconds| seconds.to_string()).collect();
        seconds.join(", ")
    }
    let days = days(hours);
    let from = days.first().copied().unwrap_or_default();
    let until = days
        .last()
        .map_or(0, |last| last.saturating_add(DAY_SECONDS));
    template
        .replace("{version}", &format!("toUInt64({version})"))
        .replace("{from}", &from.to_string())
        .replace("{until}", &until.to_string())
        .replace("{hours}", &list(hours.iter().map(|hour| hour.seconds())))
        .replace("{days}", &list(days.iter().copied()))
}

/// The beginnings of the hours' days, in seconds since 1970.
fn days(hours: &BTreeSet<Hour>) -> BTreeSet<u32> {
    hours.iter().copied().map(day).collect()
}

const fn day(hour: Hour) -> u32 {
    hour.seconds() / DAY_SECONDS * DAY_SECONDS
}

/// Year and month of an hour.
fn month(hour: Hour) -> (i32, u32) {
    let at = Timestamp::from_millis(i64::from(hour.seconds()) * 1_000).to_datetime();
    (at.year(), at.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 3_600;

    fn spans(hours: &[u32]) -> Vec<Vec<u32>> {
        let hours = hours.iter().map(|hour| (Hour::from_seconds(*hour), true));
        let spans = Span::group(hours).into_iter();
        spans
            .map(|span| span.hours.iter().map(|hour| hour.seconds()).collect())
            .collect()
    }

    #[test]
    fn hours_are_computed_with_others_of_a_few_days_of_their_month() {
        assert!(spans(&[]).is_empty());
        let of_day = |number: u32| number * DAY_SECONDS;
        assert_eq!(spans(&[HOUR, 0]), [[0, HOUR]]);
        let week: Vec<u32> = (0..7).map(of_day).collect();
        assert_eq!(spans(&week), [&week[..5], &week[5..]]);
        let fifth = [
            of_day(0),
            of_day(1),
            of_day(2),
            of_day(3),
            of_day(4),
            of_day(4) + HOUR,
        ];
        assert_eq!(spans(&fifth), [fifth]);
        let turn = [of_day(31) - HOUR, of_day(31)];
        assert_eq!(spans(&turn), [[turn[0]], [turn[1]]]);
    }

    #[test]
    fn a_statement_has_its_numbers_and_no_hole() {
        let span = Span {
            hours: [HOUR, 0, DAY_SECONDS].map(Hour::from_seconds).into(),
            of_clicks: [Hour::from_seconds(0)].into(),
        };
        let statements = span.statements(7);
        assert_eq!(statements.len(), 4);
        assert_eq!(span.buckets(), 2 + 5);
        for (statement, table) in statements.iter().zip([
            "hourly_clicks",
            "daily_clicks",
            "hourly_conversions",
            "daily_conversions",
        ]) {
            assert!(statement.contains(&format!("INSERT INTO hissaback.{table}\n")));
            assert!(statement.contains("toUInt64(7)"), "{statement}");
            assert!(!statement.contains(['{', '}']), "{statement}");
        }
        assert!(statements[2].contains("IN (0, 3600, 86400)"));
        assert!(statements[3].contains("IN (0, 86400)"));
        // A claim that changed leaves the clicks as they are.
        let claims_only = Span {
            of_clicks: BTreeSet::new(),
            ..span
        };
        assert_eq!(claims_only.statements(7).len(), 2);
    }
}
