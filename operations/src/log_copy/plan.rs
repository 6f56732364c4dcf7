//! What there is to be copied, and whether it may be.

use schemas::Topic;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use stream::{Log, Partition, Watermarks};

use super::failure::CopyError;

/// What both logs hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Every partition of every topic.
    pub partitions: Vec<PartitionPlan>,
}

/// What both logs hold of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Which.
    pub partition: Partition,
    /// What the source holds.
    pub source: Watermarks,
    /// What the target holds.
    pub target: Watermarks,
}

impl Serialize for PartitionPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("PartitionPlan", 6)?;
        plan.serialize_field("topic", &self.partition.0)?;
        plan.serialize_field("partition", &self.partition.1)?;
        plan.serialize_field("source_low", &self.source.low)?;
        plan.serialize_field("source_high", &self.source.high)?;
        plan.serialize_field("target_low", &self.target.low)?;
        plan.serialize_field("target_high", &self.target.high)?;
        plan.end()
    }
}

impl PartitionPlan {
    /// Where the records that the source still has begin, in the part of the target that is there.
    pub(super) fn found(&self) -> i64 {
        self.target.high.max(self.source.low)
    }

    /// Fails if what is in the target can't be the beginning of a copy.
    fn check_resumable(&self) -> Result<(), CopyError> {
        let (topic, partition) = self.partition;
        let reason = if self.target.high > self.source.high {
            "it goes on after the source's end"
        } else if self.target.low > self.source.low {
            "it begins after the source's first record"
        } else {
            return Ok(());
        };
        Err(CopyError::Foreign {
            topic,
            partition,
            reason,
        })
    }
}

impl Plan {
    /// Looks at both logs; a target that doesn't exist yet is empty.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub async fn make(from: &dyn Log, to: Option<&dyn Log>) -> Result<Self, CopyError> {
        let mut partitions = Vec::new();
        for topic in Topic::ALL {
            for partition in 0..topic.partitions() {
                let source = from
                    .watermarks(topic, partition)
                    .await
                    .map_err(CopyError::Source)?;
                let target = match to {
                    Some(to) => to
                        .watermarks(topic, partition)
                        .await
                        .map_err(CopyError::Target)?,
                    None => Watermarks { low: 0, high: 0 },
                };
                partitions.push(PartitionPlan {
                    partition: (topic, partition),
                    source,
                    target,
                });
            }
        }
        Ok(Self { partitions })
    }

    /// Fails unless the target is empty; with `resume`, unless it can be the beginning of a copy.
    ///
    /// # Errors
    /// [`CopyError::NotEmpty`], [`CopyError::Foreign`].
    pub fn check(&self, resume: bool) -> Result<(), CopyError> {
        if resume {
            return self
                .partitions
                .iter()
                .try_for_each(PartitionPlan::check_resumable);
        }
        let occupied = self.partitions.iter().find(|plan| plan.target.high > 0);
        match occupied {
            None => Ok(()),
            Some(plan) => Err(CopyError::NotEmpty {
                topic: plan.partition.0,
                partition: plan.partition.1,
                high: plan.target.high,
            }),
        }
    }

    /// Records that the source holds.
    pub fn records(&self) -> u64 {
        self.sum(|plan| plan.source.high - plan.source.low)
    }

    /// Offsets at the heads of partitions that the source holds no more.
    pub fn trimmed(&self) -> u64 {
        self.sum(|plan| plan.source.low)
    }

    /// Records that the target holds from an earlier copy, with placeholders.
    pub fn found(&self) -> u64 {
        self.sum(|plan| plan.target.high - plan.target.low)
    }

    /// Records to be written: copies and placeholders.
    pub fn to_write(&self) -> u64 {
        self.sum(|plan| plan.source.high - plan.target.high)
    }

    fn sum(&self, offsets: impl Fn(&PartitionPlan) -> i64) -> u64 {
        self.partitions
            .iter()
            .map(|plan| u64::try_from(offsets(plan)).unwrap_or(0))
            .sum()
    }

    /// Fails if the source was written to or trimmed since.
    pub(super) async fn check_unchanged(&self, from: &dyn Log) -> Result<(), CopyError> {
        for plan in &self.partitions {
            let (topic, partition) = plan.partition;
            let now = from
                .watermarks(topic, partition)
                .await
                .map_err(CopyError::Source)?;
            if now != plan.source {
                return Err(CopyError::SourceMoved { topic, partition });
            }
        }
        Ok(())
    }
}
