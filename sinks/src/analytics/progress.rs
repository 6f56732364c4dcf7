//! Tells how far analytics is: lag to operators, completeness to analysts. Apart from the work
//! itself, so that the lag is told above all while the work stands still.

use std::collections::BTreeMap;

use super::{
    batch::Source,
    sink::{AnalyticsError, AnalyticsSink},
    store::Progress,
};

/// Tells it again and again, and never returns.
pub(super) async fn report_progress(sink: &AnalyticsSink) {
    let mut ticks = tokio::time::interval(sink.settings.progress_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = report_once(sink).await {
            tracing::debug!(%error, "the progress of analytics can't be told");
        }
    }
}

async fn report_once(sink: &AnalyticsSink) -> Result<(), AnalyticsError> {
    let kept = sink.journal.load().await?;
    // What ClickHouse itself says: one that was replaced must not be told of what it never got.
    // While it is down the lag is told all the same.
    let stored = sink.store.next_offsets().await.unwrap_or_default();
    // Before the log's end is read: what the log takes later is not missing.
    let now = sink.clock.now();
    let mut lags = BTreeMap::new();
    let mut complete = Vec::new();
    for source in Source::ALL {
        let topic = source.topic();
        let lag: &mut i64 = lags.entry(topic).or_default();
        for partition in 0..topic.partitions() {
            let watermarks = sink.log.watermarks(topic, partition).await?;
            let next_offset = kept
                .get(&(topic, partition))
                .map_or(watermarks.low, |kept| kept.next_offset);
            *lag += (watermarks.high - next_offset).max(0);
            if stored.get(&(topic, partition)) == Some(&watermarks.high) {
                complete.push(Progress {
                    partition: (topic, partition),
                    next_offset: watermarks.high,
                    complete_up_to: now,
                });
            }
        }
    }
    for (topic, lag) in lags {
        sink.metrics
            .lag_records
            .with_label_values(&[topic.name()])
            .set(lag);
    }
    Ok(sink.store.note_progress(&complete).await?)
}
