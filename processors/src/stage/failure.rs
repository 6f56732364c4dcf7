//! What can go wrong in the stage, and how long it waits then.

use std::time::Duration;

use schemas::codec::CodecError;
use stream::{AppendError, LogError, Refusal};

use super::lookup::LookupError;

/// Why a batch is not done.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The log could not be read.
    #[error("conversions can't be read")]
    Read(#[from] LogError),
    /// Clicks could not be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Decisions or dead letters could not be appended, or it isn't known whether they were.
    #[error("decisions can't be written")]
    Append(#[from] AppendError),
    /// The offsets could not be committed.
    #[error("offsets can't be committed")]
    Commit(#[source] LogError),
    /// Revoked partitions could not be given up: only leaving the group frees them.
    #[error("partitions can't be given up")]
    Release(#[source] LogError),
    /// A decision could not be encoded.
    #[error("a decision can't be encoded")]
    Encode(#[from] CodecError),
}

impl StageError {
    /// Whether waiting and doing the batch again may help.
    pub fn temporary(&self) -> bool {
        match self {
            Self::Lookup(_) => true,
            Self::Read(error)
            | Self::Commit(error)
            | Self::Append(AppendError::Indeterminate(error)) => may_recover(error),
            Self::Append(AppendError::Determinate(refusal)) => match refusal {
                Refusal::Unavailable(error) => may_recover(error),
                Refusal::Overloaded { .. }
                | Refusal::BatchTooLarge { .. }
                | Refusal::RecordTooLarge { .. }
                | Refusal::NoSuchPartition { .. } => refusal.temporary(),
            },
            Self::Release(_) | Self::Encode(_) => false,
        }
    }

    /// Warns of it, with its sources.
    pub(super) fn log(&self, remedy: &str) {
        tracing::warn!(error = self as &dyn std::error::Error, "{remedy}");
    }

    /// What failed, as a metric's label.
    pub(super) const fn cause(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Lookup(_) => "lookup",
            Self::Append(_) => "append",
            Self::Commit(_) => "commit",
            Self::Release(_) => "release",
            Self::Encode(_) => "encode",
        }
    }
}

/// Whether the log may come back by itself.
fn may_recover(error: &LogError) -> bool {
    match error {
        LogError::Storage { .. } => true,
        LogError::Closed
        | LogError::Failed { .. }
        | LogError::Damaged { .. }
        | LogError::NoSuchPartition { .. }
        | LogError::PositionBeyondEnd { .. }
        | LogError::PositionBeforeStart { .. }
        | LogError::NotAssigned { .. }
        | LogError::InUse { .. }
        | LogError::Fenced { .. }
        | LogError::Unusable { .. } => false,
    }
}

/// The waits after failures in a row: each twice the one before, up to a limit.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min.min(max),
        }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        wait
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.next = self.min.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_begin_anew_after_a_success() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        let waits: Vec<_> = (0..5).map(|_| backoff.next()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5].map(seconds));
        backoff.reset();
        assert_eq!(backoff.next(), seconds(1));
    }

    #[test]
    fn waiting_does_not_mend_what_only_a_person_can() {
        let storage = LogError::Storage {
            doing: "reading",
            cause: std::sync::Arc::new(std::io::Error::other("test")),
        };
        let refusal = |refusal| StageError::Append(AppendError::Determinate(refusal));
        let too_large = Refusal::RecordTooLarge {
            index: 0,
            bytes: 2,
            bytes_max: 1,
        };
        let overloaded = Refusal::Overloaded {
            in_flight_records: 1,
            in_flight_bytes: 1,
        };
        for (error, temporary) in [
            (StageError::Lookup(LookupError::new("down")), true),
            (StageError::Read(storage.clone()), true),
            (
                StageError::Append(AppendError::Indeterminate(storage.clone())),
                true,
            ),
            (refusal(Refusal::Unavailable(storage)), true),
            (refusal(overloaded), true),
            (refusal(too_large), false),
            (refusal(Refusal::Unavailable(LogError::Closed)), false),
            (StageError::Read(LogError::Closed), false),
            (
                StageError::Commit(LogError::Failed {
                    reason: "test".to_owned(),
                }),
                false,
            ),
        ] {
            assert_eq!(error.temporary(), temporary, "{error}");
        }
    }
}
