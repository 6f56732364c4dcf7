//! Why a log could not be copied.

use schemas::{Position, Topic};
use stream::{AppendError, LogError};

use super::{checksum::Digest, reader::ReadFailure};

/// Why a log could not be copied. The source is as it was in every case.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target holds something.
    #[error(
        "the target isn't empty: {topic}/{partition} goes up to offset {high} already; a copy that \
         was interrupted is continued with --resume, and anything else needs an empty target"
    )]
    NotEmpty {
        /// The first topic that holds something.
        topic: Topic,
        /// Its partition.
        partition: i32,
        /// Its end.
        high: i64,
    },
    /// The target holds something else than the beginning of a copy of this source.
    #[error("{topic}/{partition} of the target is no copy of this source: {reason}")]
    Foreign {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
        /// What is different.
        reason: &'static str,
    },
    /// The source lacks a record within a partition.
    #[error(
        "the source has no record at {0}, though it has later ones: it can't be copied with its offsets"
    )]
    Gap(Position),
    /// The target lacks a record that was written.
    #[error("the target has no record at {0}, though it was copied")]
    Lost(Position),
    /// The target put a record elsewhere than expected.
    #[error(
        "a record was to stand at {expected}, and stands at {found}: something else writes to the target"
    )]
    Misplaced {
        /// Where it should stand.
        expected: Position,
        /// Where it stands.
        found: Position,
    },
    /// What was read back isn't what was copied.
    #[error(
        "{topic}/{partition} of the target differs from the source: {} records with checksum {} \
         instead of {} with {}",
        found.records, found.sha256, expected.records, expected.sha256
    )]
    Different {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
        /// What the source has.
        expected: Digest,
        /// What the target has.
        found: Digest,
    },
    /// Somebody wrote to the source, or trimmed it, while it was copied.
    #[error(
        "{topic}/{partition} of the source changed while it was copied: stop what uses it, and go \
         on with --resume"
    )]
    SourceMoved {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: i32,
    },
    /// Members of a consumer group are at work on the target.
    #[error("group {group} has other members on the target: stop them, and go on with --resume")]
    GroupAtWork {
        /// The group.
        group: &'static str,
    },
    /// The source can't be read.
    #[error("the source can't be read: {0}")]
    Source(LogError),
    /// The target can't be read, or told something.
    #[error("the target can't be used: {0}")]
    Target(LogError),
    /// The target did not take a batch.
    #[error("the target didn't take the records from {at} on ({cause}): go on with --resume")]
    Append {
        /// The first record of the batch.
        at: Position,
        /// Why.
        cause: AppendError,
    },
}

impl CopyError {
    pub(super) fn of_source(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Log(error) => Self::Source(error),
            ReadFailure::Missing(position) => Self::Gap(position),
        }
    }

    pub(super) fn of_target(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Log(error) => Self::Target(error),
            ReadFailure::Missing(position) => Self::Lost(position),
        }
    }
}
