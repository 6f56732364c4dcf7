//! Over the topic, page by page.

use schemas::Topic;
use stream::{Log, LogError, Record};

use super::Filter;

/// Records read together.
pub(super) const PAGE_RECORDS: usize = 500;

/// Where a walk over the topic stands.
#[derive(Default)]
pub(super) struct Walk {
    partition: i32,
    /// The next offset of the partition, once it is begun.
    offset: Option<i64>,
}

impl Walk {
    pub(super) async fn next_records(
        &mut self,
        log: &dyn Log,
        filter: &Filter,
    ) -> Result<Option<Vec<Record>>, LogError> {
        while self.partition < Topic::DeadLetters.partitions() {
            let (topic, partition) = (Topic::DeadLetters, self.partition);
            let marks = log.watermarks(topic, partition).await?;
            let offset = match (self.offset, filter.from) {
                (Some(offset), _) => offset,
                (None, None) => marks.low,
                (None, Some(from)) => {
                    let first = log.offset_for_time(topic, partition, from).await?;
                    first.unwrap_or(marks.high)
                }
            };
            let records = if offset < marks.high {
                log.read(topic, partition, offset, PAGE_RECORDS).await?
            } else {
                Vec::new()
            };
            if let Some(last) = records.last() {
                self.offset = Some(last.position.offset + 1);
                return Ok(Some(records));
            }
            self.partition += 1;
            self.offset = None;
        }
        Ok(None)
    }
}
