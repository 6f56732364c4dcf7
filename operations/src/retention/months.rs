//! Months of clicks and reports as partitions.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use schemas::Timestamp;
use sqlx::PgPool;

/// A table by months of the click's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Clicks,
    Conversions,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::Conversions => "conversions",
        }
    }

    const fn count(self) -> &'static str {
        match self {
            Self::Clicks => {
                "SELECT count(*) FROM clicks WHERE clicked_at >= $1 AND clicked_at < $2"
            }
            Self::Conversions => {
                "SELECT count(*) FROM conversions WHERE clicked_at >= $1 AND clicked_at < $2"
            }
        }
    }
}

/// A partition.
#[derive(Debug)]
pub(super) struct Month {
    pub partition: String,
    table: Table,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// The beginning of the month that a period before now lies in.
pub(super) fn beginning(now: Timestamp, period: Months) -> Timestamp {
    let now = now.to_datetime();
    let then = now.checked_sub_months(period).unwrap_or(now).date_naive();
    midnight(then.with_day(1).unwrap_or(then)).into()
}

impl Month {
    /// From the name that `ensure_partitions` gives, such as `clicks_2026_09`.
    fn parse(table: Table, partition: String) -> Option<Self> {
        let (year, month) = partition
            .strip_prefix(table.name())?
            .strip_prefix('_')?
            .split_once('_')?;
        let first = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
        Some(Self {
            table,
            from: midnight(first),
            until: midnight(first.checked_add_months(Months::new(1))?),
            partition,
        })
    }

    /// The months of a table that end no later than an instant, in their order.
    pub async fn expired(
        pool: &PgPool,
        table: Table,
        before: Timestamp,
    ) -> sqlx::Result<Vec<Self>> {
        let partitions: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = $1::regclass ORDER BY 1",
        )
        .bind(table.name())
        .fetch_all(pool)
        .await?;
        let mut months = Vec::new();
        for partition in partitions {
            match Self::parse(table, partition) {
                Some(month) if month.until <= before.to_datetime() => months.push(month),
                Some(_) => {}
                None => tracing::warn!(table = table.name(), "a partition that isn't a month"),
            }
        }
        Ok(months)
    }

    pub async fn rows(&self, pool: &PgPool) -> sqlx::Result<i64> {
        sqlx::query_scalar(self.table.count())
            .bind(self.from)
            .bind(self.until)
            .fetch_one(pool)
            .await
    }

    /// Takes the month out of its table, and says so in the audit log. Gives its rows.
    pub async fn detach(&self, pool: &PgPool, before: Timestamp) -> sqlx::Result<i64> {
        let mut transaction = pool.begin().await?;
        let rows: i64 = sqlx::query_scalar(self.table.count())
            .bind(self.from)
            .bind(self.until)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("SELECT detach_month($1, $2)")
            .bind(&self.partition)
            .bind(before.to_datetime())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ('retention', 'detach_month', $1, jsonb_build_object('rows', $2::bigint))",
        )
        .bind(&self.partition)
        .bind(rows)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(rows)
    }
}

/// How many claims on clicks before an instant aren't settled, and the instant before which all
/// are.
pub(super) async fn unsettled(pool: &PgPool, before: Timestamp) -> sqlx::Result<(i64, Timestamp)> {
    let (claims, month): (i64, Option<DateTime<Utc>>) = sqlx::query_as(
        "SELECT claims, date_trunc('month', first_clicked_at, 'UTC')
         FROM unsettled_claims_before($1)",
    )
    .bind(before.to_datetime())
    .fetch_one(pool)
    .await?;
    Ok((claims, month.map_or(before, Timestamp::from)))
}

/// Makes claims on clicks before an instant final, as far as they are settled; gives the instant
/// that holds from now on.
pub(super) async fn make_final(pool: &PgPool, before: Timestamp) -> sqlx::Result<Timestamp> {
    let instant: DateTime<Utc> = sqlx::query_scalar("SELECT retire_reports_before($1)")
        .bind(before.to_datetime())
        .fetch_one(pool)
        .await?;
    Ok(instant.into())
}

/// Drops the months that are detached, whoever detached them, and says so in the audit log.
pub(super) async fn drop_detached(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "WITH dropped AS (SELECT partition FROM drop_detached_months() AS partition),
              noted AS (INSERT INTO audit_log (author, action, subject)
                        SELECT 'retention', 'drop_month', partition FROM dropped)
         SELECT partition FROM dropped ORDER BY partition",
    )
    .fetch_all(pool)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("an instant")
    }

    #[test]
    fn a_month_goes_once_all_of_it_is_past_its_period() {
        let two_years = Months::new(24);
        for (now, from) in [
            ("2026-09-21T14:13:20Z", "2024-09-01T00:00:00Z"),
            ("2026-09-01T00:00:00Z", "2024-09-01T00:00:00Z"),
            ("2026-08-31T23:59:59.999Z", "2024-08-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", "2026-02-01T00:00:00Z"),
        ] {
            assert_eq!(beginning(at(now), two_years), at(from), "{now}");
        }
        let month = Month::parse(Table::Clicks, "clicks_2024_12".to_owned()).expect("a month");
        assert_eq!(Timestamp::from(month.from), at("2024-12-01T00:00:00Z"));
        assert_eq!(Timestamp::from(month.until), at("2025-01-01T00:00:00Z"));
        for strange in [
            "clicks",
            "clicks_2024",
            "clicks_2024_13",
            "conversions_2024_12",
        ] {
            assert!(Month::parse(Table::Clicks, strange.to_owned()).is_none());
        }
    }
}
