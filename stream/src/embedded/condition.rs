//! How the writer is doing, as others see it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::error;

use crate::{error::LogError, log::Health};

/// A batch that takes longer than this is reported by the health.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// The writer's state as others see it.
pub(super) struct Condition {
    failure: Mutex<Option<String>>,
    opened: Instant,
    /// Milliseconds from `opened` to the start of the batch being written; 0 when idle.
    busy_since_ms: AtomicU64,
}

impl Condition {
    pub(super) fn new() -> Self {
        Self {
            failure: Mutex::default(),
            opened: Instant::now(),
            busy_since_ms: AtomicU64::new(0),
        }
    }

    /// Fails after the first failure, for good: what the store says about writes after a failed
    /// one can't be trusted.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Err(LogError::Failed {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health_after(self.opened.elapsed())
    }

    fn health_after(&self, open_for: Duration) -> Health {
        if let Err(failed) = self.check() {
            return Health::Failed {
                reason: failed.to_string(),
            };
        }
        let busy_since_ms = self.busy_since_ms.load(Ordering::Relaxed);
        let busy = open_for.saturating_sub(Duration::from_millis(busy_since_ms));
        if busy_since_ms > 0 && busy > STALLED_AFTER {
            let seconds = busy.as_secs();
            return Health::Unavailable {
                reason: format!("a write has been waiting for the disk for {seconds} s"),
            };
        }
        Health::Ready
    }

    /// Keeps the first failure.
    pub(super) fn fail(&self, reason: &str) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            error!(
                reason,
                "the log has failed and takes no more records; restart to recover"
            );
            *failure = Some(reason.to_owned());
        }
    }

    /// The writer begins or ends a batch.
    pub(super) fn busy(&self, busy: bool) {
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.busy_since_ms
            .store(if busy { now_ms.max(1) } else { 0 }, Ordering::Relaxed);
    }
}

/// A writer that panics must not look healthy.
pub(super) struct PanicWatch {
    condition: Arc<Condition>,
}

impl PanicWatch {
    pub(super) fn new(condition: &Arc<Condition>) -> Self {
        Self {
            condition: Arc::clone(condition),
        }
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.condition.fail("the writer panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_hangs_is_reported_until_it_ends() {
        let condition = Condition::new();
        let much_later = Duration::from_hours(1);
        assert_eq!(condition.health_after(much_later), Health::Ready);
        condition.busy(true);
        assert_eq!(condition.health(), Health::Ready);
        assert!(matches!(
            condition.health_after(much_later),
            Health::Unavailable { .. }
        ));
        condition.busy(false);
        assert_eq!(condition.health_after(much_later), Health::Ready);
    }

    #[test]
    fn the_first_failure_stands() {
        let condition = Condition::new();
        condition.fail("the disk is full");
        condition.fail("poisoned");
        let health = condition.health();
        assert!(
            matches!(&health, Health::Failed { reason } if reason.contains("the disk is full")),
            "{health:?}"
        );
    }

    #[test]
    fn a_panicking_writer_is_a_failure() {
        let condition = Arc::new(Condition::new());
        let watched = Arc::clone(&condition);
        let writer = std::thread::spawn(move || {
            let _watch = PanicWatch::new(&watched);
            panic!("as the test wants it");
        });
        assert!(writer.join().is_err());
        assert!(condition.check().is_err());
    }
}
