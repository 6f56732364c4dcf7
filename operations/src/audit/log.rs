//! The ledger holds what the log holds: no position below what was folded is missing, none is
//! there that the log hasn't (design section 9, invariant 1).

use std::collections::BTreeMap;

use schemas::Topic;
use sqlx::PgConnection;
use stream::Log;

use super::{
    AuditError,
    report::{Finding, Invariant},
};

pub(super) const INVARIANT: Invariant = Invariant {
    number: 1,
    name: "log_is_accounted",
    statement: "every report that the log holds has its fate, once its decision was folded",
    money: true,
};

/// Compares with the log as it is now, which is the snapshot's or later. Positions ahead of the log
/// are always wrong. Missing ones are, where nothing is in between: every decision that the log
/// holds is folded, and every report that it holds is decided.
pub(super) async fn check(
    connection: &mut PgConnection,
    log: &dyn Log,
) -> Result<Finding, AuditError> {
    let applied: BTreeMap<i32, (i64, i64)> = sqlx::query_as(
        "SELECT source_partition, next_offset,
                (SELECT count(*) FROM positions_applied_beyond b
                 WHERE b.source_partition = p.source_partition)
         FROM positions_applied p",
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .map(|(partition, next, beyond): (i32, i64, i64)| (partition, (next, beyond)))
    .collect();
    let decisions: BTreeMap<i32, i64> = sqlx::query_as(
        "SELECT partition, next_offset FROM consumer_positions
         WHERE consumer = $1 AND topic = $2",
    )
    .bind(sinks::ledger::CONSUMER)
    .bind(Topic::Decisions.name())
    .fetch_all(connection)
    .await?
    .into_iter()
    .collect();

    let mut offending = Vec::new();
    let mut lagging = 0;
    for partition in 0..Topic::Conversions.partitions() {
        let end = log.watermarks(Topic::Conversions, partition).await?.high;
        // A decision stands in the partition of its report.
        let decided = log
            .committed(processors::stage::GROUP, Topic::Conversions, partition)
            .await?
            .unwrap_or_default();
        let decisions_end = log.watermarks(Topic::Decisions, partition).await?.high;
        let folded = decisions.get(&partition).copied().unwrap_or_default();
        let (next, beyond) = applied.get(&partition).copied().unwrap_or_default();
        let settled = decided >= end && folded >= decisions_end;
        if next > end || (settled && (next != end || beyond != 0)) {
            offending.push(serde_json::json!({
                "partition": partition, "log_end": end, "applied_below": next,
                "applied_beyond": beyond,
            }));
        } else if !settled {
            lagging += 1;
        }
    }
    if offending.is_empty() && lagging > 0 {
        let reason = format!("{lagging} partitions are on their way");
        return Ok(Finding::not_checked(INVARIANT, reason));
    }
    let figure = i64::try_from(offending.len()).unwrap_or(i64::MAX);
    Ok(Finding::of_rows(INVARIANT, figure, offending))
}
