use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets,
};

use super::trouble::{Trouble, Waiting};

/// What the ledger says of itself.
#[derive(Clone)]
pub struct LedgerMetrics {
    pub(super) reports: IntCounterVec,
    pub(super) batches: IntCounter,
    pub(super) fenced: IntCounter,
    pub(super) retries: IntCounter,
    pub(super) undecodable: IntCounter,
    pub(super) payouts_cancelled: IntCounter,
    pub(super) conflicts: IntCounterVec,
    pub(super) postback_to_ledger_seconds: Histogram,
    pub(super) batch_seconds: Histogram,
    waiting_seconds: Gauge,
    waiting: Arc<ArcSwapOption<Waiting>>,
}

impl LedgerMetrics {
    /// Registers the metrics; once per registry.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.001, 2.0, 16)?;
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let reports = IntCounterVec::new(
            Opts::new(
                "hissaback_ledger_reports_total",
                "Reports applied, by fate on arrival.",
            ),
            &["fate"],
        )?;
        registry.register(Box::new(reports.clone()))?;
        let conflicts = IntCounterVec::new(
            Opts::new(
                "hissaback_ledger_conflicts_total",
                "Records that contradict what is kept under the same key, by kind.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(conflicts.clone()))?;
        for kind in ["click", "command", "decision"] {
            // Shown before there is one: an alert can't tell absent from none.
            let _ = conflicts.with_label_values(&[kind]);
        }
        let waiting_seconds = Gauge::new(
            "hissaback_ledger_waiting_seconds",
            "How long the ledger has waited for its database; 0 while it works.",
        )?;
        registry.register(Box::new(waiting_seconds.clone()))?;
        Ok(Self {
            reports,
            conflicts,
            batches: counter("hissaback_ledger_batches_total", "Batches committed.")?,
            fenced: counter(
                "hissaback_ledger_fenced_total",
                "Batches refused because another consumer had moved the position.",
            )?,
            retries: counter("hissaback_ledger_retries_total", "Batches tried again.")?,
            undecodable: counter(
                "hissaback_ledger_undecodable_total",
                "Records sent to dead-letters because they can't be read.",
            )?,
            payouts_cancelled: counter(
                "hissaback_ledger_payouts_cancelled_total",
                "Queued payouts cancelled because what they paid was taken back.",
            )?,
            postback_to_ledger_seconds: histogram(
                "hissaback_postback_to_ledger_seconds",
                "From a report's receipt to its commit in the ledger.",
            )?,
            batch_seconds: histogram("hissaback_ledger_batch_seconds", "Duration of a batch.")?,
            waiting_seconds,
            waiting: Arc::default(),
        })
    }

    /// What the ledger waits for at present, if it does.
    pub fn waiting(&self) -> Option<Waiting> {
        self.waiting.load().as_deref().copied()
    }

    /// Another try has failed.
    pub(super) fn waits(&self, trouble: Trouble) {
        self.retries.inc();
        let since = self
            .waiting()
            .map_or_else(Instant::now, |waiting| waiting.since);
        let waiting = Waiting { trouble, since };
        self.waiting_seconds.set(waiting.lasted().as_secs_f64());
        self.waiting.store(Some(Arc::new(waiting)));
    }

    /// The database works.
    pub(super) fn works(&self) {
        if self.waiting.swap(None).is_some() {
            self.waiting_seconds.set(0.0);
        }
    }
}
