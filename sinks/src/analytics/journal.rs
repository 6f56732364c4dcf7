//! What is in ClickHouse, per partition, kept in PostgreSQL: table `analytics_positions`.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool, Row};
use stream::Partition;

use super::{aggregates::Touched, batch::Bounds};

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// Every record below it is in ClickHouse.
    pub(super) next_offset: i64,
    /// Last record of the batch that begins at `next_offset` and may be in or not.
    pub(super) pending_last: Option<i64>,
}

/// Where to go on, and what to do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumption {
    /// The next record to be read, once the pending batch is in.
    pub(super) next_offset: i64,
    /// A batch whose insert may have happened: to be made again as it was.
    pub(super) pending: Option<Bounds>,
    /// Set when ClickHouse holds less than the journal says: it was replaced, or restored from a
    /// backup. The journal has to go back as well.
    pub(super) rewound: bool,
}

impl Resumption {
    /// Decides from what the journal and ClickHouse itself say, and the first offset that the log
    /// keeps. Each batch is noted in ClickHouse before it is in the journal, so that ClickHouse
    /// can be ahead of the journal, and is behind only if it lost something.
    pub(super) fn decide(
        partition: Partition,
        kept: Option<Kept>,
        stored: Option<i64>,
        low: i64,
    ) -> Self {
        let Some(kept) = kept else {
            return Self {
                next_offset: low,
                pending: None,
                rewound: false,
            };
        };
        // A ClickHouse that was never told of the partition holds nothing of it.
        let stored = stored.unwrap_or(low);
        if stored < kept.next_offset {
            return Self {
                next_offset: stored.max(low),
                pending: None,
                rewound: true,
            };
        }
        match kept.pending_last {
            Some(last) => Self {
                next_offset: last + 1,
                pending: Some(Bounds {
                    partition,
                    first: kept.next_offset,
                    last,
                }),
                rewound: false,
            },
            None => Self {
                next_offset: kept.next_offset,
                pending: None,
                rewound: false,
            },
        }
    }
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// PostgreSQL refused or can't be reached.
    #[error("the positions of analytics can't be kept in PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// Another instance has moved the partition: this one is stale, and nothing was changed.
    #[error("another instance has taken over {0} partitions")]
    Fenced(u64),
    /// The table holds something that this program did not write.
    #[error("the positions of analytics are damaged: {0}")]
    Damaged(String),
}

/// The table `analytics_positions`.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pool: PgPool,
}

impl Journal {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Where every partition stands that was ever begun.
    pub(super) async fn load(&self) -> Result<BTreeMap<Partition, Kept>, JournalError> {
        sqlx::query(
            "SELECT topic, partition, next_offset, pending_last_offset FROM analytics_positions",
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| {
            let topic = row
                .try_get::<&str, _>(0)?
                .parse()
                .map_err(JournalError::Damaged)?;
            let kept = Kept {
                next_offset: row.try_get(2)?,
                pending_last: row.try_get(3)?,
            };
            Ok(((topic, row.try_get(1)?), kept))
        })
        .collect()
    }

    /// Stores the bounds of batches that are about to be inserted, all or none.
    pub(super) async fn open(&self, batches: &[Bounds]) -> Result<(), JournalError> {
        let opened = "
            INSERT INTO analytics_positions (topic, partition, next_offset, pending_last_offset)
            SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
            ON CONFLICT (topic, partition)
            DO UPDATE SET pending_last_offset = EXCLUDED.pending_last_offset
            WHERE analytics_positions.next_offset = EXCLUDED.next_offset
              AND analytics_positions.pending_last_offset IS NULL";
        let mut transaction = self.pool.begin().await?;
        compare_and_swap(&mut transaction, opened, batches).await?;
        Ok(transaction.commit().await?)
    }

    /// Moves past batches that ClickHouse has acknowledged, all or none, and marks the hours that
    /// they touched.
    pub(super) async fn close(
        &self,
        batches: &[Bounds],
        touched: &Touched,
    ) -> Result<(), JournalError> {
        let closed = "
            UPDATE analytics_positions AS kept
            SET next_offset = batch.last + 1, pending_last_offset = NULL
            FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
                 AS batch (topic, partition, first, last)
            WHERE kept.topic = batch.topic AND kept.partition = batch.partition
              AND kept.next_offset = batch.first AND kept.pending_last_offset = batch.last";
        let mut transaction = self.pool.begin().await?;
        compare_and_swap(&mut transaction, closed, batches).await?;
        touched.mark(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Goes back to what ClickHouse still has.
    pub(super) async fn rewind(
        &self,
        (topic, partition): Partition,
        next_offset: i64,
    ) -> Result<(), JournalError> {
        sqlx::query(
            "UPDATE analytics_positions SET next_offset = $3, pending_last_offset = NULL
             WHERE topic = $1 AND partition = $2",
        )
        .bind(topic.name())
        .bind(partition)
        .bind(next_offset)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Runs a statement that moves all of the batches' partitions, unless somebody else moved one.
async fn compare_and_swap(
    connection: &mut PgConnection,
    statement: &'static str,
    batches: &[Bounds],
) -> Result<(), JournalError> {
    let (mut topics, mut partitions) = (Vec::new(), Vec::new());
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for batch in batches {
        topics.push(batch.partition.0.name());
        partitions.push(batch.partition.1);
        firsts.push(batch.first);
        lasts.push(batch.last);
    }
    let moved = sqlx::query(statement)
        .bind(topics)
        .bind(partitions)
        .bind(firsts)
        .bind(lasts)
        .execute(connection)
        .await?
        .rows_affected();
    // The caller's transaction ends with this.
    match (batches.len() as u64).saturating_sub(moved) {
        0 => Ok(()),
        stale => Err(JournalError::Fenced(stale)),
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;

    use super::*;

    const PARTITION: Partition = (Topic::Clicks, 1);

    fn decide(kept: Option<(i64, Option<i64>)>, stored: Option<i64>, low: i64) -> Resumption {
        let kept = kept.map(|(next_offset, pending_last)| Kept {
            next_offset,
            pending_last,
        });
        Resumption::decide(PARTITION, kept, stored, low)
    }

    fn goes_on_at(next_offset: i64) -> Resumption {
        Resumption {
            next_offset,
            pending: None,
            rewound: false,
        }
    }

    #[test]
    fn begins_with_the_first_record_kept_and_goes_on_where_it_stopped() {
        assert_eq!(decide(None, None, 3), goes_on_at(3));
        assert_eq!(decide(None, Some(50), 3), goes_on_at(3));
        assert_eq!(decide(Some((50, None)), Some(50), 3), goes_on_at(50));
        // The crash came between the note in ClickHouse and the journal's.
        assert_eq!(decide(Some((50, None)), Some(60), 3), goes_on_at(50));
    }

    #[test]
    fn a_pending_batch_is_made_again_whether_or_not_it_is_in() {
        for stored in [50, 60] {
            let resumption = decide(Some((50, Some(59))), Some(stored), 3);
            assert_eq!(
                resumption,
                Resumption {
                    next_offset: 60,
                    pending: Some(Bounds {
                        partition: PARTITION,
                        first: 50,
                        last: 59
                    }),
                    rewound: false,
                }
            );
        }
        // The very first batch: ClickHouse has no note yet.
        let first = decide(Some((3, Some(9))), None, 3);
        assert_eq!(
            first.pending,
            Some(Bounds {
                partition: PARTITION,
                first: 3,
                last: 9
            })
        );
    }

    #[test]
    fn a_clickhouse_that_lost_something_is_filled_again() {
        let back_to = |next_offset| Resumption {
            next_offset,
            pending: None,
            rewound: true,
        };
        assert_eq!(decide(Some((50, Some(59))), None, 3), back_to(3));
        assert_eq!(decide(Some((50, None)), Some(20), 3), back_to(20));
        assert_eq!(decide(Some((50, None)), Some(20), 30), back_to(30));
    }
}
