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
    if by_partition.is_empty() {
        return Ok(BTreeSet::new());
    }
    let next = lock_applied(connection, by_partition.keys().copied().collect()).await?;
    let mut beyond = applied_beyond(connection, &by_partition, &next).await?;
    let mut fresh = BTreeSet::new();
    let (mut moved, mut gaps) = (Vec::new(), Vec::new());
    let mut closed = false;
    for (partition, offsets) in by_partition {
        let next = next.get(&partition).copied().unwrap_or_default();
        let beyond = beyond.remove(&partition).unwrap_or_default();
        let advanced = advance_contiguous(next, &beyond, &offsets);
        if advanced.next != next {
            moved.push((partition, advanced.next));
            closed |= !beyond.is_empty();
        }
        gaps.extend(
            advanced
                .beyond
                .into_iter()
                .map(|offset| (partition, offset)),
        );
        fresh.extend(advanced.fresh.into_iter().map(|offset| Position {
            topic: Topic::Conversions,
            partition,
            offset,
        }));
    }
    move_applied(connection, moved, closed).await?;
    if !gaps.is_empty() {
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = gaps.into_iter().unzip();
        sqlx::query(
            "INSERT INTO positions_applied_beyond SELECT * FROM unnest($1::int[], $2::bigint[])",
        )
        .bind(&partitions)
        .bind(&offsets)
        .execute(connection)
        .await?;
    }
    Ok(fresh)
}

/// Locks the rows of partitions, in their order, and gives the offsets below which all is applied.
async fn lock_applied(
    connection: &mut PgConnection,
    partitions: Vec<i32>,
) -> Result<BTreeMap<i32, i64>, LedgerError> {
    let locked = "SELECT source_partition, next_offset FROM positions_applied
        WHERE source_partition = ANY($1) ORDER BY source_partition FOR UPDATE";
    let found: Vec<(i32, i64)> = sqlx::query_as(locked)
        .bind(&partitions)
        .fetch_all(&mut *connection)
        .await?;
    if found.len() == partitions.len() {
        return Ok(found.into_iter().collect());
    }
    sqlx::query(
        "INSERT INTO positions_applied SELECT source_partition, 0
         FROM unnest($1::int[]) AS n (source_partition)
         ON CONFLICT DO NOTHING",
    )
    .bind(&partitions)
    .execute(&mut *connection)
    .await?;
    let found: Vec<(i32, i64)> = sqlx::query_as(locked)
        .bind(&partitions)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}

/// Offsets applied beyond those: all of a partition that advances, else the ones asked about. The
/// set is small unless a gap never closes (the log was trimmed before the ledger began, or a
/// decision could not be read). Then nothing advances, and only these offsets matter.
async fn applied_beyond(
    connection: &mut PgConnection,
    by_partition: &BTreeMap<i32, BTreeSet<i64>>,
    next: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, BTreeSet<i64>>, LedgerError> {
    let mut advancing = Vec::new();
    let (mut partitions, mut asked) = (Vec::new(), Vec::new());
    for (partition, offsets) in by_partition {
        if offsets.contains(&next.get(partition).copied().unwrap_or_default()) {
            advancing.push(*partition);
        } else {
            partitions.extend(offsets.iter().map(|_| *partition));
            asked.extend(offsets.iter().copied());
        }
    }
    let rows: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT source_partition, source_offset FROM positions_applied_beyond
         WHERE source_partition = ANY($1)
         UNION ALL
         SELECT source_partition, source_offset
         FROM unnest($2::int[], $3::bigint[]) AS n (source_partition, source_offset)
         JOIN positions_applied_beyond USING (source_partition, source_offset)",
    )
    .bind(&advancing)
    .bind(&partitions)
    .bind(&asked)
    .fetch_all(connection)
    .await?;
    let mut beyond: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for (partition, offset) in rows {
        beyond.entry(partition).or_default().insert(offset);
    }
    Ok(beyond)
}

/// Moves partitions on; `closed` where offsets that lay beyond may lie below now.
async fn move_applied(
    connection: &mut PgConnection,
    moved: Vec<(i32, i64)>,
    closed: bool,
) -> Result<(), LedgerError> {
    if moved.is_empty() {
        return Ok(());
    }
    let (partitions, next): (Vec<i32>, Vec<i64>) = moved.into_iter().unzip();
    sqlx::query(
        "UPDATE positions_applied p SET next_offset = n.next_offset
         FROM unnest($1::int[], $2::bigint[]) AS n (source_partition, next_offset)
         WHERE p.source_partition = n.source_partition",
    )
    .bind(&partitions)
    .bind(&next)
    .execute(&mut *connection)
    .await?;
    if closed {
        sqlx::query(
            "DELETE FROM positions_applied_beyond b
             USING unnest($1::int[], $2::bigint[]) AS n (source_partition, next_offset)
             WHERE b.source_partition = n.source_partition AND b.source_offset < n.next_offset",
        )
        .bind(&partitions)
        .bind(&next)
        .execute(connection)
        .await?;
    }
    Ok(())
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
