//! One partition, copied and compared.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use schemas::{Position, Timestamp, Topic};
use serde::Serialize;
use stream::{Log, NewRecord, Record, Refusal};
use tokio::time::{Instant, sleep};

use super::{
    Step,
    checksum::{Checksum, Digest},
    failure::CopyError,
    plan::PartitionPlan,
    reader::{BATCH_RECORDS, Reader},
};

/// The header of a record that only takes an offset, until it is trimmed.
pub const PLACEHOLDER: &str = "hissaback-placeholder";

/// How long a target that refuses for now is asked again.
const PATIENCE: Duration = Duration::from_mins(1);
const ASKS_EVERY: Duration = Duration::from_millis(200);

/// A partition as it is in both logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionCopied {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The first offset kept.
    pub low: i64,
    /// The next offset to be written.
    pub high: i64,
    /// What stands in between, in the one and in the other.
    #[serde(flatten)]
    pub digest: Digest,
}

/// The copy of one partition.
#[derive(Clone, Copy)]
pub(super) struct PartitionCopy<'a> {
    pub(super) from: &'a dyn Log,
    pub(super) to: &'a dyn Log,
    pub(super) plan: PartitionPlan,
    pub(super) progress: &'a (dyn Fn(Step) + Sync),
}

/// A partition whose target is the beginning of a copy, or empty.
pub(super) struct PartitionBegun<'a> {
    copy: PartitionCopy<'a>,
    /// Of the source's records that are there.
    expected: Checksum,
}

impl PartitionBegun<'_> {
    /// Writes what is missing, and compares all of it.
    pub(super) async fn finish(mut self) -> Result<PartitionCopied, CopyError> {
        let copy = self.copy;
        let PartitionPlan {
            partition: (topic, partition),
            source,
            target,
        } = copy.plan;
        copy.fill_the_head().await?;
        copy.copy_the_rest(&mut self.expected).await?;
        let digest = self.expected.digest();
        copy.compare(&digest, source.low..source.high, Step::ReadBack)
            .await?;
        if target.low < source.low {
            copy.to
                .trim(topic, partition, source.low)
                .await
                .map_err(CopyError::Target)?;
        }
        let copied = copy
            .to
            .watermarks(topic, partition)
            .await
            .map_err(CopyError::Target)?;
        if copied != source {
            return Err(copy.foreign("its offsets are others at the end of the copy"));
        }
        Ok(PartitionCopied {
            topic,
            partition,
            low: source.low,
            high: source.high,
            digest,
        })
    }
}

impl<'a> PartitionCopy<'a> {
    /// What an interrupted copy left has to be the source's.
    pub(super) async fn compare_what_is_there(self) -> Result<PartitionBegun<'a>, CopyError> {
        let PartitionPlan { source, target, .. } = self.plan;
        let mut expected = Checksum::default();
        let mut head = self.reader(self.to, target.low..target.high.min(source.low));
        while let Some(records) = head.next().await.map_err(CopyError::of_target)? {
            if !records.iter().all(takes_an_offset_only) {
                return Err(self.foreign("a record stands where the source's were trimmed"));
            }
            (self.progress)(Step::Found(count(&records)));
        }
        let mut there = self.reader(self.from, source.low..self.plan.found());
        while let Some(records) = there.next().await.map_err(CopyError::of_source)? {
            for record in &records {
                expected.add(record);
            }
        }
        let span = source.low..self.plan.found();
        self.compare(&expected.digest(), span, Step::Found).await?;
        Ok(PartitionBegun {
            copy: self,
            expected,
        })
    }

    /// Placeholders where the source's records were trimmed.
    async fn fill_the_head(&self) -> Result<(), CopyError> {
        let PartitionPlan { source, target, .. } = self.plan;
        if target.high >= source.low {
            return Ok(());
        }
        let at = self.time_of_the_head().await?;
        let placeholder = NewRecord::new(Bytes::new(), Bytes::new())
            .in_partition(self.plan.partition.1)
            .with_header(PLACEHOLDER, Bytes::new())
            .appended_at(at);
        let mut next = target.high;
        while next < source.low {
            let left = usize::try_from(source.low - next).unwrap_or(usize::MAX);
            let batch = vec![placeholder.clone(); left.min(BATCH_RECORDS)];
            let filled = self.append(next, batch).await?;
            next += filled;
            (self.progress)(Step::Filled(filled.unsigned_abs()));
        }
        Ok(())
    }

    /// Not later than the first record's that is kept, since append times never decrease.
    async fn time_of_the_head(&self) -> Result<Timestamp, CopyError> {
        let PartitionPlan {
            partition: (topic, partition),
            source,
            ..
        } = self.plan;
        let first = self
            .from
            .read(topic, partition, source.low, 1)
            .await
            .map_err(CopyError::Source)?;
        Ok(first
            .first()
            .map_or(Timestamp::default(), |record| record.appended_at))
    }

    async fn copy_the_rest(&self, expected: &mut Checksum) -> Result<(), CopyError> {
        let source = self.plan.source;
        let mut rest = self.reader(self.from, self.plan.found()..source.high);
        while let Some(records) = rest.next().await.map_err(CopyError::of_source)? {
            let at = records[0].position.offset;
            let copied = count(&records);
            let batch = records
                .into_iter()
                .inspect(|record| expected.add(record))
                .map(copy_of)
                .collect();
            self.append(at, batch).await?;
            (self.progress)(Step::Copied(copied));
        }
        Ok(())
    }

    /// Appends in one go, and returns how many once they stand where they have to.
    async fn append(&self, offset: i64, batch: Vec<NewRecord>) -> Result<i64, CopyError> {
        let (topic, partition) = self.plan.partition;
        let at = |offset| Position {
            topic,
            partition,
            offset,
        };
        let deadline = Instant::now() + PATIENCE;
        let positions = loop {
            match self.to.append(topic, batch.clone()).await {
                Ok(positions) => break positions,
                // Nothing was written, so that it may be tried again.
                Err(error)
                    if error.refusal().is_some_and(Refusal::temporary)
                        && Instant::now() < deadline =>
                {
                    sleep(ASKS_EVERY).await;
                }
                Err(cause) => {
                    return Err(CopyError::Append {
                        at: at(offset),
                        cause,
                    });
                }
            }
        };
        let mut next = offset;
        for found in positions {
            if found != at(next) {
                return Err(CopyError::Misplaced {
                    expected: at(next),
                    found,
                });
            }
            next += 1;
        }
        Ok(next - offset)
    }

    /// Reads the target, and fails unless it has what is expected.
    async fn compare(
        &self,
        expected: &Digest,
        span: Range<i64>,
        step: fn(u64) -> Step,
    ) -> Result<(), CopyError> {
        let mut found = Checksum::default();
        let mut there = self.reader(self.to, span);
        while let Some(records) = there.next().await.map_err(CopyError::of_target)? {
            for record in &records {
                found.add(record);
            }
            (self.progress)(step(count(&records)));
        }
        let found = found.digest();
        if found == *expected {
            return Ok(());
        }
        let (topic, partition) = self.plan.partition;
        Err(CopyError::Different {
            topic,
            partition,
            expected: expected.clone(),
            found,
        })
    }

    fn reader<'log>(&self, log: &'log dyn Log, left: Range<i64>) -> Reader<'log> {
        Reader {
            log,
            partition: self.plan.partition,
            left,
        }
    }

    fn foreign(&self, reason: &'static str) -> CopyError {
        let (topic, partition) = self.plan.partition;
        CopyError::Foreign {
            topic,
            partition,
            reason,
        }
    }
}

fn copy_of(record: Record) -> NewRecord {
    NewRecord {
        partition: Some(record.position.partition),
        key: record.key,
        value: record.value,
        headers: record.headers,
        appended_at: Some(record.appended_at),
    }
}

fn takes_an_offset_only(record: &Record) -> bool {
    record.key.is_empty() && record.value.is_empty() && record.header(PLACEHOLDER).is_some()
}

fn count(records: &[Record]) -> u64 {
    records.len() as u64
}
