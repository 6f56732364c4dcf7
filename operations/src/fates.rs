//! What became of every accepted report (design section 9, invariant 1).

use serde::Serialize;
use sqlx::PgPool;

/// Counts of reports by fate. A report counts once: one that was healed counts where its heal in
/// force does, and no more as unmatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, sqlx::FromRow)]
pub struct FateCounts {
    /// All of them: the sum of the fates below.
    #[sqlx(default)]
    pub accepted: i64,
    /// First of a new claim.
    pub ledgered: i64,
    /// Says something new about a claim.
    pub updates: i64,
    /// Says nothing new.
    pub repetitions: i64,
    /// First of a claim on an order that another claim owns.
    pub duplicates: i64,
    /// Its click isn't known.
    pub unmatched: i64,
    /// Can't be used; kept.
    pub ignored: i64,
    /// Can't be read; its bytes are in `dead-letters`.
    pub dead_lettered: i64,
}

impl FateCounts {
    fn sum(&self) -> i64 {
        self.ledgered
            + self.updates
            + self.repetitions
            + self.duplicates
            + self.unmatched
            + self.ignored
            + self.dead_lettered
    }
}

/// Counts the fates of everything that the ledger has applied.
///
/// # Errors
/// When the database can't be read.
pub async fn count(pool: &PgPool) -> sqlx::Result<FateCounts> {
    let counts: FateCounts = sqlx::query_as(
        "SELECT ledgered, updates, repetitions, duplicates, unmatched, ignored, dead_lettered
         FROM (SELECT count(*) FILTER (WHERE fate = 'ledgered') AS ledgered,
                      count(*) FILTER (WHERE fate = 'update') AS updates,
                      count(*) FILTER (WHERE fate = 'repetition') AS repetitions,
                      count(*) FILTER (WHERE fate = 'duplicate') AS duplicates
               FROM reports) AS matched,
              (SELECT count(*) FILTER (WHERE state IN ('parked', 'discarded')) AS unmatched,
                      count(*) FILTER (WHERE state = 'ignored') AS ignored,
                      count(*) FILTER (WHERE state = 'dead_lettered') AS dead_lettered
               FROM unmatched_conversions) AS others",
    )
    .fetch_one(pool)
    .await?;
    Ok(FateCounts {
        accepted: counts.sum(),
        ..counts
    })
}
