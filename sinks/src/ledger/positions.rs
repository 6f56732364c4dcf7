//! Positions: of the topics that are read, and of the reports that were applied.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Position, Topic};
use sqlx::{PgConnection, Row};

use super::LedgerError;

/// The ledger's name among consumers.
pub const CONSUMER: &str = "ledger";

/// Where to read on; a partition that was never read is at 0.
pub(super) async fn stored(
    connection: &mut PgConnection,
    topic: Topic,
    partition: i32,
) -> Result<i64, LedgerError> {
    sqlx::query("INSERT INTO consumer_positions VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING")
        .bind(CONSUMER)
        .bind(topic.name())
        .bind(partition)
        .execute(&mut *connection)
        .await?;
    let position = sqlx::query_scalar(
        "SELECT next_offset FROM consumer_positions
         WHERE consumer = $1 AND topic = $2 AND partition = $3",
    )
    .bind(CONSUMER)
    .bind(topic.name())
    .bind(partition)
    .fetch_one(connection)
    .await?;
    Ok(position)
}

/// Moves the positions by compare-and-swap, and keeps their rows locked until the transaction
/// ends: a consumer that is stale is fenced here, before it changes anything.
pub(super) async fn advance(
    connection: &mut PgConnection,
    expected: &BTreeMap<(Topic, i32), i64>,
    next: &BTreeMap<(Topic, i32), i64>,
) -> Result<(), LedgerError> {
    let (topics, partitions) = keys(next);
    let rows = sqlx::query(
        "SELECT topic, partition, next_offset FROM consumer_positions
         WHERE consumer = $1
           AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
         ORDER BY topic, partition FOR UPDATE",
    )
    .bind(CONSUMER)
    .bind(&topics)
    .bind(&partitions)
    .fetch_all(&mut *connection)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let topic: Topic = row
            .get::<&str, _>(0)
            .parse()
            .map_err(LedgerError::Invalid)?;
        found.insert((topic, row.get::<i32, _>(1)), row.get::<i64, _>(2));
    }
    for (topic, partition) in next.keys() {
        let key = (*topic, *partition);
        let expected = expected.get(&key).copied().unwrap_or_default();
        let found = found.get(&key).copied().unwrap_or_default();
        if found != expected {
            return Err(LedgerError::Fenced {
                topic: *topic,
                partition: *partition,
                expected,
                found,
            });
        }
    }
    sqlx::query(
        "UPDATE consumer_positions p SET next_offset = n.next_offset
         FROM unnest($2::text[], $3::int[], $4::bigint[]) AS n (topic, partition, next_offset)
         WHERE p.consumer = $1 AND p.topic = n.topic AND p.partition = n.partition",
    )
    .bind(CONSUMER)
    .bind(&topics)
    .bind(&partitions)
    .bind(next.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

fn keys(offsets: &BTreeMap<(Topic, i32), i64>) -> (Vec<&'static str>, Vec<i32>) {
    offsets
        .keys()
        .map(|(topic, partition)| (topic.name(), *partition))
        .unzip()
}

/// Marks positions of `conversions` as applied, and gives those that hadn't been: the first
/// decision for a position counts.
pub(super) async fn apply_once(
    connection: &mut PgConnection,
    positions: &BTreeSet<Position>,
) -> Result<BTreeSet<Position>, LedgerError> {
    let mut by_partition: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for position in positions {
        by_partition
            .entry(position.partition)
            .or_default()
            .insert(position.offset);
    }
    let mut fresh = BTreeSet::new();
    for (partition, offsets) in by_partition {
        for offset in apply_in_partition(connection, partition, offsets).await? {
            fresh.insert(Position {
                topic: Topic::Conversions,
                partition,
                offset,
            });
        }
    }
    Ok(fresh)
}

async fn apply_in_partition(
    connection: &mut PgConnection,
    partition: i32,
    offsets: BTreeSet<i64>,
) -> Result<Vec<i64>, LedgerError> {
    sqlx::query("INSERT INTO positions_applied VALUES ($1, 0) ON CONFLICT DO NOTHING")
        .bind(partition)
        .execute(&mut *connection)
        .await?;
    let next: i64 = sqlx::query_scalar(
        "SELECT next_offset FROM positions_applied WHERE source_partition = $1 FOR UPDATE",
    )
    .bind(partition)
    .fetch_one(&mut *connection)
    .await?;
    // The set is small unless a gap never closes (the log was trimmed before the ledger began, or
    // a decision could not be read). Then nothing advances, and only these offsets matter.
    let beyond = if offsets.contains(&next) {
        sqlx::query_scalar(
            "SELECT source_offset FROM positions_applied_beyond WHERE source_partition = $1",
        )
        .bind(partition)
    } else {
        sqlx::query_scalar(
            "SELECT source_offset FROM positions_applied_beyond
             WHERE source_partition = $1 AND source_offset = ANY($2)",
        )
        .bind(partition)
        .bind(offsets.iter().copied().collect::<Vec<_>>())
    };
    let beyond: Vec<i64> = beyond.fetch_all(&mut *connection).await?;
    let advanced = advance_contiguous(next, &beyond.into_iter().collect(), &offsets);
    if advanced.next != next {
        sqlx::query("UPDATE positions_applied SET next_offset = $2 WHERE source_partition = $1")
            .bind(partition)
            .bind(advanced.next)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "DELETE FROM positions_applied_beyond
             WHERE source_partition = $1 AND source_offset < $2",
        )
        .bind(partition)
        .bind(advanced.next)
        .execute(&mut *connection)
        .await?;
    }
    if !advanced.beyond.is_empty() {
        sqlx::query("INSERT INTO positions_applied_beyond SELECT $1, * FROM unnest($2::bigint[])")
            .bind(partition)
            .bind(&advanced.beyond)
            .execute(connection)
            .await?;
    }
    Ok(advanced.fresh)
}

#[derive(Debug, PartialEq, Eq)]
struct Advanced {
    /// All offsets below are applied.
    next: i64,
    /// Newly applied offsets beyond it.
    beyond: Vec<i64>,
    /// Offsets that hadn't been applied.
    fresh: Vec<i64>,
}

fn advance_contiguous(next: i64, beyond: &BTreeSet<i64>, offsets: &BTreeSet<i64>) -> Advanced {
    let fresh: Vec<_> = offsets
        .iter()
        .filter(|offset| **offset >= next && !beyond.contains(offset))
        .copied()
        .collect();
    let mut advanced = next;
    while beyond.contains(&advanced) || offsets.contains(&advanced) {
        advanced += 1;
    }
    let beyond = fresh
        .iter()
        .filter(|offset| **offset > advanced)
        .copied()
        .collect();
    Advanced {
        next: advanced,
        beyond,
        fresh,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_are_remembered_and_closed() {
        let first = advance_contiguous(0, &BTreeSet::new(), &[0, 1, 3, 4].into());
        assert_eq!(
            first,
            Advanced {
                next: 2,
                beyond: vec![3, 4],
                fresh: vec![0, 1, 3, 4]
            }
        );
        let second = advance_contiguous(2, &[3, 4].into(), &[1, 2, 4].into());
        assert_eq!(
            second,
            Advanced {
                next: 5,
                beyond: vec![],
                fresh: vec![2]
            }
        );
    }

    proptest! {
        #[test]
        fn each_offset_is_fresh_once_whatever_the_order(
            batches in prop::collection::vec(prop::collection::btree_set(0_i64..30, 0..8), 1..20)
        ) {
            let (mut next, mut beyond) = (0, BTreeSet::new());
            let mut seen = BTreeSet::new();
            for batch in batches {
                let advanced = advance_contiguous(next, &beyond, &batch);
                let expected: Vec<_> = batch.difference(&seen).copied().collect();
                prop_assert_eq!(&advanced.fresh, &expected);
                seen.extend(batch);
                next = advanced.next;
                beyond.extend(advanced.beyond);
                beyond.retain(|offset| *offset > next);
                prop_assert!((0..next).all(|offset| seen.contains(&offset)));
                prop_assert_eq!(seen.len(), usize::try_from(next).expect("small") + beyond.len());
            }
        }
    }
}
