//! Retention by time: forget what is older than a topic's term.

use schemas::{Timestamp, Topic};

use crate::{error::LogError, log::Log};

/// Trims every partition of `topic` to the records appended at or after `kept_from`, and returns
/// how many offsets were forgotten. Partition by partition, so it can be stopped and repeated.
///
/// It does not ask whether anybody still needs the records: terms are years (design section 3),
/// and a consumer that is behind by more than that has to be told, not silently served less.
pub async fn trim_older_than(
    log: &dyn Log,
    topic: Topic,
    kept_from: Timestamp,
) -> Result<u64, LogError> {
    let mut forgotten = 0;
    for partition in 0..topic.partitions() {
        // The watermarks first: what is appended in between is kept.
        let watermarks = log.watermarks(topic, partition).await?;
        let first_kept = log
            .offset_for_time(topic, partition, kept_from)
            .await?
            .unwrap_or(watermarks.high)
            .min(watermarks.high);
        if first_kept > watermarks.low {
            let low = log.trim(topic, partition, first_kept).await?;
            forgotten += low.saturating_sub(watermarks.low).unsigned_abs();
        }
    }
    Ok(forgotten)
}
