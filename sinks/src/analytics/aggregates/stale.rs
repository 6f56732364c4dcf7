//! Which hours have to be computed: table `analytics_stale_hours`.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use super::Hour;

/// Hours that a batch came for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::analytics) struct Touched {
    /// By the hour, whether its clicks are touched or its claims only.
    hours: BTreeMap<Hour, bool>,
}

impl Touched {
    /// Adds hours whose clicks changed; claims of theirs get the clicks' devices.
    pub(in crate::analytics) fn clicks(&mut self, hours: impl IntoIterator<Item = Hour>) {
        self.hours
            .extend(hours.into_iter().map(|hour| (hour, true)));
    }

    /// Adds hours whose claims changed.
    pub(in crate::analytics) fn claims(&mut self, hours: impl IntoIterator<Item = Hour>) {
        for hour in hours {
            self.hours.entry(hour).or_default();
        }
    }

    /// The hours, and whether their clicks are touched.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Hour, bool)> {
        self.hours.iter().map(|(hour, clicks)| (*hour, *clicks))
    }

    pub(in crate::analytics) fn len(&self) -> usize {
        self.hours.len()
    }

    /// Marks the hours, all anew.
    pub(in crate::analytics) async fn mark(
        &self,
        executor: impl PgExecutor<'_>,
    ) -> sqlx::Result<()> {
        if self.hours.is_empty() {
            return Ok(());
        }
        // Sorted, so that two who mark the same hours wait for each other and go on.
        let (hours, clicks): (Vec<i64>, Vec<bool>) = self
            .hours
            .iter()
            .map(|(hour, clicks)| (i64::from(hour.seconds()), *clicks))
            .unzip();
        sqlx::query(
            "INSERT INTO analytics_stale_hours (hour, clicks)
             SELECT to_timestamp(hour), clicks
             FROM unnest($1::bigint[], $2::boolean[]) WITH ORDINALITY
                  AS touched (hour, clicks, number)
             ORDER BY number
             ON CONFLICT (hour) DO UPDATE
             SET clicks = analytics_stale_hours.clicks OR EXCLUDED.clicks, mark = EXCLUDED.mark",
        )
        .bind(hours)
        .bind(clicks)
        .execute(executor)
        .await?;
        Ok(())
    }
}

/// An hour that is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StaleHour {
    pub(super) hour: Hour,
    pub(super) clicks: bool,
    mark: Uuid,
}

/// All that are marked.
pub(super) async fn load(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<StaleHour>> {
    sqlx::query("SELECT extract(epoch FROM hour)::bigint, clicks, mark FROM analytics_stale_hours")
        .fetch_all(executor)
        .await?
        .into_iter()
        .map(|row| {
            Ok(StaleHour {
                hour: Hour::of_millis(row.try_get::<i64, _>(0)?.saturating_mul(1_000)),
                clicks: row.try_get(1)?,
                mark: row.try_get(2)?,
            })
        })
        .collect()
}

/// Forgets hours that are computed, but for those that were marked again.
pub(super) async fn forget(
    executor: impl PgExecutor<'_>,
    hours: &BTreeSet<Hour>,
    loaded: &[StaleHour],
) -> sqlx::Result<()> {
    let (hours, marks): (Vec<i64>, Vec<Uuid>) = loaded
        .iter()
        .filter(|stale| hours.contains(&stale.hour))
        .map(|stale| (i64::from(stale.hour.seconds()), stale.mark))
        .unzip();
    sqlx::query(
        "DELETE FROM analytics_stale_hours AS stale
         USING unnest($1::bigint[], $2::uuid[]) AS computed (hour, mark)
         WHERE stale.hour = to_timestamp(computed.hour) AND stale.mark = computed.mark",
    )
    .bind(hours)
    .bind(marks)
    .execute(executor)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_outweigh_claims_whichever_comes_first() {
        let [first, second] = [0, 3_600].map(Hour::from_seconds);
        for claims_first in [true, false] {
            let mut touched = Touched::default();
            if claims_first {
                touched.claims([first, second]);
            }
            touched.clicks([second]);
            touched.claims([first, second]);
            assert_eq!(touched.hours, [(first, false), (second, true)].into());
        }
    }
}
