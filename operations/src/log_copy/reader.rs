//! Reads a span of a partition in order, and sees to it that nothing is left out.

use std::ops::Range;

use schemas::Position;
use stream::{Log, LogError, Partition, Record};

/// Records asked for at a time; the log also bounds their bytes.
pub(crate) const BATCH_RECORDS: usize = 4_096;

/// Why a span could not be read.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    Log(LogError),
    /// There is no record at this position, though there are later ones.
    Missing(Position),
}

/// A reader of one partition.
pub(crate) struct Reader<'a> {
    pub(crate) log: &'a dyn Log,
    pub(crate) partition: Partition,
    /// What is still to be read.
    pub(crate) left: Range<i64>,
}

impl Reader<'_> {
    /// The next records, at least one; nothing at the end of the span.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadFailure> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let (topic, partition) = self.partition;
        let mut records = self
            .log
            .read(topic, partition, self.left.start, BATCH_RECORDS)
            .await
            .map_err(ReadFailure::Log)?;
        records.retain(|record| record.position.offset < self.left.end);
        let missing = |offset| {
            ReadFailure::Missing(Position {
                topic,
                partition,
                offset,
            })
        };
        if records.is_empty() {
            return Err(missing(self.left.start));
        }
        for record in &records {
            // Offsets are the copy's too, and a gap can't be written into any log.
            if record.position.offset != self.left.start {
                return Err(missing(self.left.start));
            }
            self.left.start += 1;
        }
        Ok(Some(records))
    }
}
