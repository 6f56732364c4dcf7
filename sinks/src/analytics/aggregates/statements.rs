//! The statements that compute buckets. Numbers only are put into them.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Client;

use super::Hour;

const HOURLY_CLICKS: &str = include_str!("hourly_clicks.sql");
const HOURLY_CONVERSIONS: &str = include_str!("hourly_conversions.sql");
const DAILY_CLICKS: &str = include_str!("daily_clicks.sql");
const DAILY_CONVERSIONS: &str = include_str!("daily_conversions.sql");

const DAY_SECONDS: u32 = 24 * 60 * 60;

/// Hours of one day that have to be computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DayOfHours {
    /// Of claims: all of them.
    pub(super) hours: BTreeSet<Hour>,
    /// Of clicks too.
    pub(super) of_clicks: BTreeSet<Hour>,
}

impl DayOfHours {
    /// Hours by the beginnings of their days, in seconds since 1970; with each hour, whether its
    /// clicks have to be computed.
    pub(super) fn group(hours: impl IntoIterator<Item = (Hour, bool)>) -> BTreeMap<u32, Self> {
        let mut days: BTreeMap<u32, Self> = BTreeMap::new();
        for (hour, clicks) in hours {
            let day = days
                .entry(hour.seconds() / DAY_SECONDS * DAY_SECONDS)
                .or_default();
            day.hours.insert(hour);
            if clicks {
                day.of_clicks.insert(hour);
            }
        }
        days
    }

    /// Writes the day's hours, and the day.
    pub(super) async fn compute(
        &self,
        client: &Client,
        day: u32,
        version: u64,
    ) -> Result<(), clickhouse::error::Error> {
        for statement in self.statements(day, version) {
            client.query(&statement).execute().await?;
        }
        Ok(())
    }

    /// The statements, in the order in which they have to run.
    fn statements(&self, day: u32, version: u64) -> Vec<String> {
        let mut statements = Vec::new();
        let mut add = |hourly: &str, daily: &str, hours: &BTreeSet<Hour>| {
            if !hours.is_empty() {
                statements.push(render(hourly, day, hours, version));
                statements.push(render(daily, day, hours, version));
            }
        };
        add(HOURLY_CLICKS, DAILY_CLICKS, &self.of_clicks);
        add(HOURLY_CONVERSIONS, DAILY_CONVERSIONS, &self.hours);
        statements
    }

    /// How many buckets that are: hours, and the day.
    pub(super) fn buckets(&self) -> u64 {
        [&self.of_clicks, &self.hours]
            .into_iter()
            .filter(|hours| !hours.is_empty())
            .map(|hours| hours.len() as u64 + 1)
            .sum()
    }
}

fn render(template: &str, day: u32, hours: &BTreeSet<Hour>, version: u64) -> String {
    let hours: Vec<String> = hours
        .iter()
        .map(|hour| hour.seconds().to_string())
        .collect();
    template
        .replace("{version}", &format!("toUInt64({version})"))
        .replace("{day_start}", &day.to_string())
        .replace("{day_end}", &day.saturating_add(DAY_SECONDS).to_string())
        .replace("{hours}", &hours.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_computed_with_the_others_of_their_day() {
        let [first, last, next] = [0, 82_800, 86_400].map(Hour::from_seconds);
        let days = DayOfHours::group([(next, false), (first, true), (last, false)]);
        assert_eq!(days.keys().copied().collect::<Vec<_>>(), [0, 86_400]);
        assert_eq!(days[&0].hours, [first, last].into());
        assert_eq!(days[&0].of_clicks, [first].into());
    }

    #[test]
    fn a_statement_has_its_numbers_and_no_hole() {
        let hours: BTreeSet<Hour> = [3_600, 0].map(Hour::from_seconds).into();
        let day = DayOfHours {
            of_clicks: [Hour::from_seconds(0)].into(),
            hours,
        };
        let statements = day.statements(0, 7);
        assert_eq!(statements.len(), 4);
        assert_eq!(day.buckets(), 5);
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
        assert!(statements[2].contains("IN (0, 3600)"));
        // A claim that changed leaves the clicks as they are.
        let claims_only = DayOfHours {
            of_clicks: BTreeSet::new(),
            ..day
        };
        assert_eq!(claims_only.statements(0, 7).len(), 2);
    }
}
