//! What the stage counts.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use schemas::events::Outcome;

use super::{batch::Decided, failure::StageError};

/// The stage's counters. Clones count together, so one registration serves all instances of a
/// process.
#[derive(Debug, Clone)]
pub struct StageMetrics {
    decisions: IntCounterVec,
    clicks_found: IntCounter,
    retries: IntCounterVec,
}

impl StageMetrics {
    /// Registers the counters.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = IntCounterVec::new(
            Opts::new(
                "hissaback_processors_decisions_total",
                "Decisions appended, repeats included, by outcome",
            ),
            &["outcome"],
        )?;
        let clicks_found = IntCounter::new(
            "hissaback_processors_clicks_found_total",
            "Bare click ids whose click was found, once per batch",
        )?;
        let retries = IntCounterVec::new(
            Opts::new(
                "hissaback_processors_retries_total",
                "Batches that were not done and are read again, by what failed",
            ),
            &["cause"],
        )?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(clicks_found.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        Ok(Self {
            decisions,
            clicks_found,
            retries,
        })
    }

    pub(super) fn decided(&self, decided: &[Decided<'_>], clicks_found: usize) {
        for decided in decided {
            self.decisions
                .with_label_values(&[label(decided.outcome())])
                .inc();
        }
        self.clicks_found
            .inc_by(u64::try_from(clicks_found).unwrap_or(u64::MAX));
    }

    pub(super) fn retried(&self, error: &StageError) {
        self.retries.with_label_values(&[error.cause()]).inc();
    }
}

const fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Matched(_) => "matched",
        Outcome::Unmatched(_) => "unmatched",
        Outcome::Ignored(_) => "ignored",
        Outcome::Poisoned(_) => "poisoned",
    }
}
