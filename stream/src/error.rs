//! What can go wrong. For an append the question that matters is whether it may have happened.
//!
//! Every message tells the whole story down to its cause, so that it is complete wherever it is
//! shown. Causes are fields; `source()` does not repeat them.

use std::{path::PathBuf, sync::Arc};

use schemas::Topic;

/// Why an append did not return positions.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written and nothing will be: appending again can't double anything.
    #[error("nothing was appended: {0}")]
    Determinate(Refusal),
    /// Some, all or none of the records may be in the log, now or after a restart.
    #[error("the append's outcome is unknown: {0}")]
    Indeterminate(LogError),
}

impl AppendError {
    /// The refusal, if the log is certain that nothing was written.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Determinate(refusal) => Some(refusal),
            Self::Indeterminate(_) => None,
        }
    }
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        Self::Determinate(refusal)
    }
}

/// Why the log did not take records.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The bound on what is in flight is used up. Temporary: answer 503 with Retry-After.
    #[error(
        "the log is overloaded: {in_flight_records} records ({in_flight_bytes} bytes) are in flight"
    )]
    Overloaded {
        /// Records in flight when the append was refused.
        in_flight_records: usize,
        /// Their bytes.
        in_flight_bytes: usize,
    },
    /// The batch alone is larger than what may ever be in flight: it has to be split.
    #[error(
        "a batch of {records} records ({bytes} bytes) exceeds what may be in flight: \
         {records_max} records, {bytes_max} bytes"
    )]
    BatchTooLarge {
        /// Records in the batch.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// The bound in records.
        records_max: usize,
        /// The bound in bytes.
        bytes_max: usize,
    },
    /// One record is over the size limit.
    #[error("record {index} of the batch has {bytes} bytes, and {bytes_max} are allowed")]
    RecordTooLarge {
        /// Which record of the batch, from 0.
        index: usize,
        /// Its bytes: key, value and headers.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        partition: i32,
    },
    /// The log takes nothing at all: it was closed, has failed, or can't be reached.
    #[error("the log takes no records: {0}")]
    Unavailable(LogError),
}

impl Refusal {
    /// Whether the same append may succeed later (answer 503) or never will (a fault of the
    /// records themselves).
    pub fn temporary(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unavailable(_) => true,
            Self::BatchTooLarge { .. }
            | Self::RecordTooLarge { .. }
            | Self::NoSuchPartition { .. } => false,
        }
    }
}

/// Why the log could not be opened, read, or told something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The log was closed by its owner.
    #[error("the log is closed")]
    Closed,
    /// The store under the log failed; the text says what it was doing.
    #[error("{doing}: {cause}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// The store's own error; shared, since one failure may concern many waiting callers.
        cause: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier write failed, and since then nothing that the store says about writes can be
    /// trusted: the process has to be restarted, which recovers what is on the disk.
    #[error("an earlier write failed ({reason}); restart to recover")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// The store holds something that this program did not write.
    #[error("the log is damaged at {at}: {reason}")]
    Damaged {
        /// Where: a position or a key.
        at: String,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        partition: i32,
    },
    /// The position lies beyond the log's end: the log is older than whoever keeps the position.
    /// A consumer refuses to start.
    #[error("offset {offset} lies beyond the end of {topic}/{partition}, which is {end}")]
    PositionBeyondEnd {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
        /// The next offset to be written.
        end: i64,
    },
    /// The position lies below the first offset that is kept: retention took records that were
    /// never read. Refused, since skipping them silently would lose events.
    #[error("offset {offset} of {topic}/{partition} was trimmed, the first one kept is {start}")]
    PositionBeforeStart {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
        /// The first offset kept.
        start: i64,
    },
    /// This member of the group does not hold the partition (any more).
    #[error("{topic}/{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
    },
    /// Another process has the log open.
    #[error(
        "the log in {directory} is in use by another process: stop that one, or choose another \
         data directory"
    )]
    InUse {
        /// The log's directory.
        directory: PathBuf,
    },
    /// Another process has joined a consumer group under the name of a member of this one, which
    /// thereby is out of it. To join again would shut out the other one in turn.
    #[error(
        "another process has joined the consumer group {group} as {instance_id}, and this one is \
         out of it: give each process a group_instance_id (KAFKA_GROUP_INSTANCE_ID) of its own"
    )]
    Fenced {
        /// The group.
        group: String,
        /// The member's name (`group.instance.id`).
        instance_id: String,
    },
    /// The directory holds something else, or a log of another version.
    #[error("{directory} can't be used as a log: {reason}")]
    Unusable {
        /// The log's directory.
        directory: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
}

impl LogError {
    /// A failure of the store while `doing` something.
    pub(crate) fn storage(
        doing: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Storage {
            doing,
            cause: Arc::new(cause),
        }
    }
}
