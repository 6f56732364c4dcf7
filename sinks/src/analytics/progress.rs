//! What goes on beside the work itself, so that it goes on while the work stands still: telling how
//! far analytics is (lag to operators, completeness to analysts), and computing aggregates.

use std::collections::BTreeMap;

use schemas::{Timestamp, Topic};
use stream::Partition;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    aggregates::{AggregateError, Turn},
    batch::Source,
    sink::{AnalyticsError, AnalyticsSink},
    store::Progress,
};

/// Computing aggregates is left alone for so many times as long as it took: an hour that grows is
/// computed anew each time, and must not cost more than what fills it.
const REST: u32 = 10;

/// Tells it again and again, and never returns.
pub(super) async fn report_progress(sink: &AnalyticsSink) {
    let mut ticks = every(sink.settings.progress_interval);
    loop {
        ticks.tick().await;
        if let Err(error) = report_once(sink).await {
            tracing::debug!(%error, "the progress of analytics can't be told");
        }
    }
}

/// Computes aggregates again and again, and never returns. While the sink is far behind, marks
/// gather: an hour that many batches touch is computed once for all of them.
pub(super) async fn keep_aggregates(sink: &AnalyticsSink) {
    let mut ticks = every(sink.settings.aggregate_interval);
    let longest = sink.settings.aggregate_interval_behind;
    let mut turn = None;
    let mut rested_at = Instant::now();
    let mut overdue_at = rested_at;
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        if begun < rested_at || (begun < overdue_at && far_behind(sink).await.unwrap_or(true)) {
            continue;
        }
        match compute_once(sink, &mut turn).await {
            Ok(()) => {
                rested_at = Instant::now() + (begun.elapsed() * REST).min(longest);
                overdue_at = Instant::now() + longest;
            }
            Err(error) => {
                turn = None;
                sink.metrics.computation_failures.inc();
                tracing::debug!(%error, "aggregates can't be computed");
            }
        }
    }
}

fn every(interval: std::time::Duration) -> Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Computes what is marked, unless another instance has the turn to.
async fn compute_once(sink: &AnalyticsSink, turn: &mut Option<Turn>) -> Result<(), AggregateError> {
    if turn.is_none() {
        *turn = sink.aggregates.take_turn().await?;
    }
    if let Some(turn) = turn {
        let computed = sink.aggregates.compute(turn).await?;
        sink.metrics.buckets_computed.inc_by(computed.buckets);
    }
    let stale = sink.aggregates.stale_hours().await?;
    sink.metrics
        .stale_hours
        .set(i64::try_from(stale).unwrap_or(i64::MAX));
    Ok(())
}

/// Whether more than a batch is left to be inserted.
async fn far_behind(sink: &AnalyticsSink) -> Result<bool, AnalyticsError> {
    let reach = Reach::of(sink).await?;
    let lag: i64 = reach.lags.values().sum();
    Ok(lag > i64::try_from(sink.settings.records_max).unwrap_or(i64::MAX))
}

async fn report_once(sink: &AnalyticsSink) -> Result<(), AnalyticsError> {
    // What ClickHouse itself says: one that was replaced must not be told of what it never got.
    // While it is down the lag is told all the same.
    let stored = sink.store.next_offsets().await.unwrap_or_default();
    // Before the log's end is read: what the log takes later is not missing.
    let now = sink.clock.now();
    let reach = Reach::of(sink).await?;
    for (topic, lag) in &reach.lags {
        let labels = [topic.name()];
        sink.metrics
            .lag_records
            .with_label_values(&labels)
            .set(*lag);
        let age_ms = age_ms_of_missing(sink, &reach, *topic, now).await?;
        sink.metrics
            .lag_seconds
            .with_label_values(&labels)
            .set(age_ms / 1_000);
    }
    let complete: Vec<Progress> = reach
        .ends
        .into_iter()
        // Of a partition that nothing was ever in, nothing is missing.
        .filter(|(partition, end)| stored.get(partition).copied().unwrap_or_default() == *end)
        .map(|(partition, next_offset)| Progress {
            partition,
            next_offset,
            complete_up_to: now,
        })
        .collect();
    Ok(sink.store.note_progress(&complete).await?)
}

/// How old the oldest record of a topic is that is not in yet; nothing is missing: 0.
async fn age_ms_of_missing(
    sink: &AnalyticsSink,
    reach: &Reach,
    topic: Topic,
    now: Timestamp,
) -> Result<i64, AnalyticsError> {
    let mut age_ms = 0;
    let of_topic = reach
        .missing
        .iter()
        .filter(|(missing, _)| missing.0 == topic);
    for ((_, partition), next_offset) in of_topic {
        let oldest = sink.log.read(topic, *partition, *next_offset, 1).await?;
        if let Some(oldest) = oldest.first() {
            age_ms = age_ms.max(now.millis_since(oldest.appended_at));
        }
    }
    Ok(age_ms)
}

/// How the journal stands to the log.
struct Reach {
    /// Where each partition goes on that isn't in to its end.
    missing: BTreeMap<Partition, i64>,
    /// Records that are not in yet.
    lags: BTreeMap<Topic, i64>,
    /// Where each partition of the log ends.
    ends: BTreeMap<Partition, i64>,
}

impl Reach {
    async fn of(sink: &AnalyticsSink) -> Result<Self, AnalyticsError> {
        let kept = sink.journal.load().await?;
        let mut reach = Self {
            missing: BTreeMap::new(),
            lags: BTreeMap::new(),
            ends: BTreeMap::new(),
        };
        for source in Source::ALL {
            let topic = source.topic();
            let lag: &mut i64 = reach.lags.entry(topic).or_default();
            for partition in 0..topic.partitions() {
                let watermarks = sink.log.watermarks(topic, partition).await?;
                let next_offset = kept
                    .get(&(topic, partition))
                    .map_or(watermarks.low, |kept| kept.next_offset);
                *lag += (watermarks.high - next_offset).max(0);
                if next_offset < watermarks.high {
                    let first = next_offset.max(watermarks.low);
                    reach.missing.insert((topic, partition), first);
                }
                reach.ends.insert((topic, partition), watermarks.high);
            }
        }
        Ok(reach)
    }
}
